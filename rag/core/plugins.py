"""What others ship: found by entry points of installed packages, or in a module that the user names.

    [project.entry-points."ragline.rerank"]
    longest = "my_package.longest:LongestReranker"

    [project.entry-points."ragline.graphs"]
    mine = "my_package.graphs"

makes `rerank.longest` known wherever that package is installed, and every graph of the folder `my_package/graphs` by the name
of its file. A module named with `--plugin` registers its own when it is imported: `RERANKERS.add("longest", LongestReranker)`.
Nothing is imported before something of it is asked for, or named.
"""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.core.words import first_of

log = logging.getLogger(__name__)

GROUP = "ragline"
MOST_PLUGINS = 10
"""Plug-ins that a message names."""

_loaded: list[str] = []
_registered = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A component of an installed package: "module:Class", and the package's name and version."""

    component: str
    package: str
    version: str


@cache
def shipped(stage: str) -> dict[str, Shipped]:
    """The components of a stage in installed packages, by name. Looked up once a process."""
    return all_shipped().get(stage, {})


@cache
def all_shipped() -> dict[str, dict[str, Shipped]]:
    """The same of all stages."""
    from importlib.metadata import distributions  # it costs as much as the rest of `import rag`

    found: dict[str, dict[str, Shipped]] = {}
    for package in distributions():
        ours = [point for point in package.entry_points if point.group.partition(".")[0] == GROUP]
        if not ours:
            continue
        said = package.metadata  # read anew whenever it is asked for
        for point in ours:  # of two on the path, the first is the one that is imported
            each = Shipped(component=point.value, package=said["Name"] or "", version=said["Version"] or "")
            found.setdefault(point.group.partition(".")[2], {}).setdefault(point.name, each)
    return found


def installed() -> list[tuple[str, str]]:
    """Names and versions of the packages that add something, by name."""
    return sorted({(each.package, each.version) for parts in all_shipped().values() for each in parts.values()})


@cache
def shipped_files(kind: str) -> dict[str, Path]:
    """YAML files of installed packages by their names: of the folders that entry points of the group `ragline.KIND` name.

    Looked up once a process. A package that cannot be loaded is told in the log, and has none.
    """
    from importlib.util import find_spec

    found: dict[str, Path] = {}
    for name, each in sorted(shipped(kind).items()):
        try:
            spec = find_spec(each.component)
        except Exception:
            log.warning("%s of the plug-in '%s' (%s) cannot be read", kind, each.package, name, exc_info=True)
            continue
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for file in sorted(Path(folder).glob("*.yaml")):
                found.setdefault(file.stem, file)
    return found


def names_of_files(kind: str, own: Path) -> list[str]:
    """Names of our YAML files in a folder, and of those that installed packages bring."""
    return sorted({file.stem for file in own.glob("*.yaml")} | set(shipped_files(kind)))


def file_named(name: str, kind: str, own: Path) -> Path | None:
    """The file of this name, ours first; packages are looked up where we have none. None where it is no name, or of no file."""
    if not re.fullmatch(r"[\w-]+", name):
        return None
    file = own / f"{name}.yaml"
    return file if file.is_file() else shipped_files(kind).get(name)


def loaded(entry: str) -> Any:
    """What a "module:attribute" names, or a "module"."""
    module, _, attribute = entry.partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)


def where_others_are(stage: str, name: str) -> str:
    """Where a component may be that is not in the table of its stage: in another stage of a plug-in, or in none yet."""
    elsewhere = [
        f"'{each.package}' has {other}.{name}"
        for other, components in all_shipped().items()
        for known, each in components.items()
        if known == name and other != stage
    ]
    if elsewhere:
        return f"The installed plug-in {first_of(elsewhere, MOST_PLUGINS)}."
    names = first_of([package for package, _ in installed()], MOST_PLUGINS) or "none"
    return (
        "One of your own is found with --plugin MODULE, or in Python once its module is imported. "
        f"Installed plug-ins: {names}."
    )


def note_registration() -> None:
    """A component was added to a table."""
    global _registered
    _registered += 1


def loaded_plugins() -> tuple[str, ...]:
    """What `load_plugin` was given in this process, in order."""
    return tuple(_loaded)


def load_plugin(name: str) -> None:
    """Import a module, by its dotted name (also one in the current folder) or as a .py file, so that it registers itself.

    Raises:
        SpecError: it cannot be imported, or registers nothing.
    """
    if name in _loaded:
        return
    before = _registered
    try:
        _import(name)
    except Exception as cause:
        raise SpecError(
            f"plug-in '{name}' cannot be imported: {type(cause).__name__}: {cause}. Mend it, or leave --plugin {name} out"
        ) from cause
    if _registered == before:
        raise SpecError(
            f"plug-in '{name}' registers no component. Let it call add of a table, such as "
            "rerankers.RERANKERS.add('mine', MineReranker)"
        )
    _loaded.append(name)


def _import(name: str) -> None:
    if not name.endswith(".py"):
        sys.path.append(str(Path.cwd()))
        try:
            import_module(name)
        finally:
            sys.path.pop()
        return
    from importlib.util import module_from_spec, spec_from_file_location

    path = Path(name).resolve()
    module_name = f"ragline_plugin_{path.stem}"  # a file called as a module that is loaded does not take its place
    spec = spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no file {name}")
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # annotations are looked up there
    spec.loader.exec_module(module)
