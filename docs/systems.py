"""The table of systems: `systems.yaml` -> `reference/systems.md`. Every part, graph, command, section and line is looked up."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from os.path import relpath
from pathlib import Path
from textwrap import fill
from typing import Literal

from pydantic import BaseModel, ConfigDict

from docs.figures import Figure, Told, shown, told
from rag.cli.parser import parser
from rag.core.errors import SpecError
from rag.core.recipe import recipe_of
from rag.core.yaml_source import parse_yaml
from rag.graph.kinds import TABLES
from rag.graph.load import builtin_names, load_spec

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = "reference/results.md"

Word = Literal["reproduced", "mechanism", "loader", "reader", "form", "outside", "absent"]
WORDS: Mapping[Word, str] = {
    "reproduced": "published figures are met",
    "mechanism": "the published algorithm runs here on real data and real weights, and shows its own effect, or that it has none",
    "loader": "the published layout is read, and with random weights equals the class of a kept library, or a second "
    "implementation where none has it, to 1e-5",
    "reader": "its data or its measure is read, and the measure equals a case worked by hand",
    "form": "the inference of a system whose worth lies in training that is not done here",
    "outside": "no retrieval system: why, and the nearest thing here",
    "absent": "not here",
}
GROUPS: Mapping[str, tuple[str, int]] = {"text": ("Text and code", 28), "media": ("Pictures, sound and pages", 64)}
NO_MODEL = "no model"
_HELD = ("loader", "reader")
_MEASURED = ("reproduced", "mechanism")
_INTRODUCTION = """
The ninety-two systems behind this library, and companions of no list: how far each is here, what came out, what stands
beside it on the same questions, and what differs from the paper. Figures are read out of `benchmarks/results` by `make
docs`, which refuses a row whose line is not of committed code, and one whose part, command, test or table is not there.
"""


class System(BaseModel):
    """An entry. `section`: how a heading of the results begins, or a page. `plain`: why nothing plain stands beside its figures.

    `under`: the system by whose name `rag list recipes` tells what is here of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    source: str = ""
    of: Literal["text", "media", "companion"]
    word: Word
    parts: tuple[str, ...] = ()
    section: str | None = None
    command: str = ""
    test: str = ""
    model: str = ""
    figure: tuple[Figure, ...] = ()
    beside: tuple[Figure, ...] = ()
    plain: str = ""
    under: str = ""
    differs: str = ""


class _Found(BaseModel):
    """What the figures of an entry come to, and those beside them."""

    model_config = ConfigDict(frozen=True)

    figure: tuple[Told, ...]
    beside: tuple[Told, ...]


def systems_page(text: str) -> str:
    """The page of what `systems.yaml` says.

    Raises:
        SpecError: an entry names what there is not, says more than its lines do, or lacks what its word needs; the recipe that
            a graph or a component says it is has no entry with it; the list is not of ninety-two.
    """
    systems = [System.model_validate(entry) for entry in parse_yaml(text, name="systems.yaml").data]
    problems = [*_unlisted(systems), *_miscounted(systems)]
    found: dict[str, _Found] = {}
    for one in systems:
        problems += [f"systems.yaml: {one.system}: {problem}" for problem in _wrong(one)]
        try:
            found[one.system] = _found(one)
        except SpecError as error:
            problems += [f"systems.yaml: {one.system}: {problem}" for problem in error.problems]
            continue
        problems += [f"systems.yaml: {one.system}: {problem}" for problem in _overclaimed(one, found[one.system])]
    if problems:
        raise SpecError(*problems)
    return "\n".join([*_head(systems), *_groups(systems, found)])


def _head(systems: Sequence[System]) -> Iterator[str]:
    yield from (
        "# Systems",
        "",
        fill(_INTRODUCTION.strip(), 118),
        "",
        "| word | means | text | media |",
        "| --- | --- | ---: | ---: |",
    )
    for word, means in WORDS.items():
        counts = [sum(one.word == word and one.of == of for one in systems) for of in GROUPS]
        yield f"| **{word}** | {means} | {' | '.join(str(count or '') for count in counts)} |"
    yield ""


def _groups(systems: Sequence[System], found: Mapping[str, _Found]) -> Iterator[str]:
    for of, heading in [*((of, heading) for of, (heading, _) in GROUPS.items()), ("companion", "Companions")]:
        some = sorted((one for one in systems if one.of == of), key=lambda one: one.system.casefold())
        here = [one for one in some if one.word != "absent"]
        yield from (f"## {heading}", "")
        if here:
            yield from (
                "| system | word | what came out | beside it | here, and what differs |",
                "| --- | --- | --- | --- | --- |",
            )
            yield from (_row(one, found[one.system]) for one in here)
            yield ""
        if absent := [
            f"{one.system}{f' ({one.source})' if one.source else ''}" for one in some if one.word == "absent"
        ]:
            yield from (fill(f"Absent: {'; '.join(absent)}.", 118, break_long_words=False, break_on_hyphens=False), "")


def _row(one: System, found: _Found) -> str:
    names = [part.removeprefix("python ") for part in one.parts]
    parts = ", ".join(f"`{part}`" if "." in part or part.startswith("rag ") else _graph(part) for part in names)
    n = ", ".join(dict.fromkeys(f"{each.n:,}" for each in found.figure))
    figures = "<br>".join(shown(figure, each) for figure, each in zip(one.figure, found.figure, strict=True))
    came = f"{figures}<br>n {n}; {one.model}" if one.figure else "no figure of its own"
    if one.section:
        came += f" ([{'table' if one.figure else 'page'}]({_link(one.section)}))"
    beside = (
        "<br>".join(shown(figure, each) for figure, each in zip(one.beside, found.beside, strict=True)) or one.plain
    )
    bare = dict.fromkeys(figure.bare for figure in one.figure if figure.bare)
    differs = one.differs + "".join(f". Without an interval: {why}" for why in bare)
    made = f"<br>`{one.command}`" if one.command else ""
    return f"| **{one.system}**<br>{one.source} | {one.word} | {came} | {beside} | {parts}{made}<br>{differs} |"


def _graph(part: str) -> str:
    return f"graph `{part.removeprefix('graph ')}`"


def _link(section: str) -> str:
    """From the page, which lies beside the results."""
    if section.endswith(".md"):
        return relpath(section, Path(RESULTS).parent)
    heading = next((heading for heading in _headings() if heading.startswith(section)), section)
    return f"{Path(RESULTS).name}#{re.sub(r'[^a-z0-9 _-]', '', heading.lower()).replace(' ', '-')}"


@cache
def _headings() -> list[str]:
    return re.findall(r"^## (.+)$", (HERE / RESULTS).read_text(encoding="utf-8"), re.MULTILINE)


def _found(one: System) -> _Found:
    """Look its figures up: those beside it over the questions of its own."""
    figure = tuple(told(each) for each in one.figure)
    return _Found(figure=figure, beside=tuple(_told_beside(each, one.figure, figure) for each in one.beside))


def _told_beside(beside: Figure, figures: Sequence[Figure], found: Sequence[Told]) -> Told:
    """Over the questions of the first figure that is of the same file and set, or has no question beyond its own; or all."""
    own = [each.items for figure, each in zip(figures, found, strict=True) if _set(figure) == _set(beside)]
    own += [each.items for each in found if each.items < told(beside).items]
    return told(beside, among=own[0] if own else frozenset())


def _set(figure: Figure) -> tuple[str, object]:
    return figure.lines, figure.where.get("set")


def _overclaimed(one: System, found: _Found) -> Iterator[str]:
    """What its lines do not bear out."""
    pairs = [*zip(one.figure, found.figure, strict=True), *zip(one.beside, found.beside, strict=True)]
    for figure, each in zip(one.figure, found.figure, strict=True):
        if bool(figure.bare) == (each.low is not None):
            why = "it has an interval, so take `bare` out" if figure.bare else "it has no interval: `bare` says why"
            yield f"'{figure.says}' of {figure.lines}.jsonl: {why}"
    for figure, each in pairs:
        if not each.clean:
            yield f"'{figure.says}' of {figure.lines}.jsonl: its lines have no clean commit; ask them again"
    for figure, each in zip(one.figure, found.figure, strict=True):
        model = figure.model or one.model
        if not any(model in text for text in each.texts) and model != NO_MODEL:
            yield f"'{figure.says}' of {figure.lines}.jsonl: its lines do not say the model '{model}'"
    sizes = {each.n for each in found.figure}
    for figure, each in zip(one.beside, found.beside, strict=True):
        if each.n not in sizes:
            yield f"'{figure.says}' beside it is over {each.n} questions, its own figures over {sorted(sizes)}"


def _wrong(one: System) -> Iterator[str]:
    """What an entry names that there is not, and what its word needs and it does not say."""
    there = {"graph": builtin_names(), "rag": _commands(), **{stage: [*table] for stage, (table, _) in TABLES.items()}}
    for part in one.parts:
        kind, _, name = part.partition(" ") if " " in part else part.partition(".")
        if not (_is_name(name) if kind == "python" else name in there.get(kind, ())):
            yield f"there is no '{part}'"
    page = one.section is not None and one.section.endswith(".md")
    if page and not (HERE / str(one.section)).is_file():
        yield f"there is no page '{one.section}'"
    if one.section and not page and not any(heading.startswith(one.section) for heading in _headings()):
        yield f"no heading of {RESULTS} begins with '{one.section}'"
    if one.command and not _runs(one.command):
        yield f"there is no command '{one.command}'"
    if one.test and not _is_test(one.test):
        yield f"there is no test '{one.test}'"
    yield from _lacking(one)


def _lacking(one: System) -> Iterator[str]:
    if one.word == "absent":
        said = [name for name in ("parts", "command", "test", "figure", "beside") if getattr(one, name)]
        if said:
            yield f"is 'absent' and says {', '.join(said)}"
        return
    wanted = ["parts", "section", "differs", *(["test"] if one.word in _HELD else [])]
    wanted += ["figure"] if one.word in _MEASURED and one.of != "companion" else []
    wanted += ["model", "command"] if one.figure else []
    if lacking := [name for name in wanted if not getattr(one, name)]:
        yield f"is '{one.word}' and says no {', '.join(lacking)}"
    if one.figure and not one.beside and not one.plain:
        yield "its figures need what stands beside them, or `plain`: why nothing plain does"


def _miscounted(systems: Sequence[System]) -> Iterator[str]:
    names = [one.system for one in systems]
    if twice := {name for name in names if names.count(name) > 1}:
        yield f"systems.yaml: two entries for {', '.join(sorted(twice))}"
    for of, (_, n) in GROUPS.items():
        if (found := sum(one.of == of for one in systems)) != n:
            yield f"systems.yaml: {found} entries are of '{of}', and the list has {n}"


def _unlisted(systems: Sequence[System]) -> Iterator[str]:
    """Recipes that no entry has, and entries that `rag list recipes` does not tell."""
    known = {(one.system, part) for one in systems for part in one.parts}
    said = {f"graph {name}": load_spec(name).graph.recipe for name in builtin_names()}
    said |= {f"{stage}.{name}": recipe_of(table.get(name)) for stage, (table, _) in TABLES.items() for name in table}
    for part, recipe in said.items():
        if recipe is not None and (recipe.system, part) not in known:
            yield f"systems.yaml: no entry '{recipe.system}' has the part '{part}', which says that it is one"
    listed = {recipe.system for recipe in said.values() if recipe is not None}
    for one in systems:
        whole = [part for part in one.parts if not part.startswith(("rag ", "python "))]
        name = one.under or one.system
        if one.word in ("reproduced", "mechanism", "form", "loader") and whole and name not in listed:
            yield f"systems.yaml: {one.system}: no graph or component says that it is one, so `rag list recipes` does not tell it"


def _runs(command: str) -> bool:
    """Whether a module, a target of make or a command of ours is there."""
    words = shlex.split(command)
    if words[:2] == ["python", "-m"]:
        place = ROOT.joinpath(*words[2].split("."))
        return place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()
    if words[0] == "make":
        return bool(
            re.search(rf"^{re.escape(words[1])}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        )
    return words[0] == "rag" and len(words) > 1 and words[1] in _commands()


def _is_name(path: str) -> bool:
    """Whether a module has it: what is used in Python alone."""
    module, _, name = path.rpartition(".")
    try:
        return name in vars(import_module(module))
    except ImportError:
        return False


def _is_test(test: str) -> bool:
    """Whether `path::name` is a test, or `path` a file of tests."""
    path, _, name = test.partition("::")
    file = ROOT / path
    return file.is_file() and f"def {name}" in file.read_text(encoding="utf-8")


@cache
def _commands() -> tuple[str, ...]:
    """All commands, and those below them as "lab gate"."""
    return tuple(_below(parser()))


def _below(of: argparse.ArgumentParser) -> Iterator[str]:
    choices = (action.choices for action in of._actions if isinstance(action, argparse._SubParsersAction))
    for name, parser_of in ((name, each) for commands in choices for name, each in commands.items()):
        yield from (name, *(f"{name} {other}" for other in _below(parser_of)))
