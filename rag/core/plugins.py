"""Components that others ship: found by entry points of installed packages, or in a module that the user names.

    [project.entry-points."ragline.rerank"]
    longest = "my_package.longest:LongestReranker"

makes `rerank.longest` known wherever that package is installed. A module named with `--plugin` registers its own when it is
imported: `RERANKERS.add("longest", LongestReranker)`. Nothing is imported before a component of it is asked for, or named.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path

from rag.core.errors import SpecError

GROUP = "ragline"

_loaded: list[str] = []
_registered = 0


@cache
def shipped(stage: str) -> dict[str, str]:
    """Name -> "module:Class" of a stage's components in installed packages. Looked up once a process."""
    from importlib.metadata import entry_points  # it costs as much as the rest of `import rag`

    return {point.name: point.value for point in entry_points(group=f"{GROUP}.{stage}")}


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
        raise SpecError(f"plug-in '{name}' cannot be imported: {type(cause).__name__}: {cause}") from cause
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
