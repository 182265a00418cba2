"""The table of systems: `systems.yaml` -> `reference/systems.md`. Every part, graph, command and section is looked up."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from functools import cache
from os.path import relpath
from pathlib import Path
from textwrap import fill

from pydantic import BaseModel, ConfigDict

from rag.cli.parser import parser
from rag.core.errors import SpecError
from rag.core.recipe import recipe_of
from rag.core.yaml_source import parse_yaml
from rag.graph.kinds import TABLES
from rag.graph.load import builtin_names, load_spec

HERE = Path(__file__).parent
RESULTS = "reference/results.md"
_INTRODUCTION = """
The text systems behind this library: what is here of each, what came out, and what differs from the paper. A figure
leads to its table, with the command that makes it. Systems whose worth lies in trained weights are here by what needs
no training. Written by `make docs` from `systems.yaml`, which may only name what there is.
"""


class System(BaseModel):
    """An entry. `section`: how a heading of the results begins, or a page; without one nothing is measured yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    source: str
    parts: tuple[str, ...]
    section: str | None = None
    figure: str = ""
    differs: str


def systems_page(text: str) -> str:
    """The page of what `systems.yaml` says.

    Raises:
        SpecError: an entry names what there is not, or the recipe that a graph or a component says it is has no entry with it.
    """
    systems = [System.model_validate(entry) for entry in parse_yaml(text, name="systems.yaml").data]
    if problems := [*_unlisted(systems), *(f"systems.yaml: {one.system}: {p}" for one in systems for p in _wrong(one))]:
        raise SpecError(*problems)
    table = ["| system | here | what came out | what differs |", "| --- | --- | --- | --- |"]
    table += [_row(one) for one in sorted(systems, key=lambda one: one.system.casefold())]
    return "\n".join(["# Systems", "", fill(_INTRODUCTION.strip(), 118), "", *table, ""])


def _row(one: System) -> str:
    parts = ", ".join(f"`{part}`" if "." in part or part.startswith("rag ") else _graph(part) for part in one.parts)
    found = f"{one.figure} ([table]({_link(one.section)}))" if one.section else "not measured yet"
    return f"| **{one.system}**<br>{one.source} | {parts} | {found} | {one.differs} |"


def _graph(part: str) -> str:
    return f"graph `{part.removeprefix('graph ')}`"


def _link(section: str) -> str:
    """From the page, which lies beside the results."""
    if section.endswith(".md"):
        return relpath(section, Path(RESULTS).parent)
    heading = next(heading for heading in _headings() if heading.startswith(section))
    return f"{Path(RESULTS).name}#{re.sub(r'[^a-z0-9 _-]', '', heading.lower()).replace(' ', '-')}"


@cache
def _headings() -> list[str]:
    return re.findall(r"^## (.+)$", (HERE / RESULTS).read_text(encoding="utf-8"), re.MULTILINE)


def _wrong(one: System) -> Iterator[str]:
    """What an entry names that there is not."""
    there = {"graph": builtin_names(), "rag": _commands(), **{stage: [*table] for stage, (table, _) in TABLES.items()}}
    for part in one.parts:
        kind, _, name = part.partition(" ") if " " in part else part.partition(".")
        if name not in there.get(kind, ()):
            yield f"there is no '{part}'"
    page = one.section is not None and one.section.endswith(".md")
    if page and not (HERE / str(one.section)).is_file():
        yield f"there is no page '{one.section}'"
    if one.section and not page and not any(heading.startswith(one.section) for heading in _headings()):
        yield f"no heading of {RESULTS} begins with '{one.section}'"
    if bool(one.section) != bool(one.figure):
        yield "a figure needs the section where it stands, and a section the figure"


def _unlisted(systems: Sequence[System]) -> Iterator[str]:
    """Built-in graphs and components that say that they are a system which no entry has with them."""
    known = {(one.system, part) for one in systems for part in one.parts}
    said = {f"graph {name}": load_spec(name).graph.recipe for name in builtin_names()}
    said |= {f"{stage}.{name}": recipe_of(table.get(name)) for stage, (table, _) in TABLES.items() for name in table}
    for part, recipe in said.items():
        if recipe is not None and (recipe.system, part) not in known:
            yield f"systems.yaml: no entry '{recipe.system}' has the part '{part}', which says that it is one"


def _commands(of: argparse.ArgumentParser | None = None) -> list[str]:
    """All commands, and those below them as "lab gate"."""
    choices = (action.choices for action in (of or parser())._actions if isinstance(action, argparse._SubParsersAction))
    named = [(name, below) for commands in choices for name, below in commands.items()]
    return [each for name, below in named for each in (name, *(f"{name} {other}" for other in _commands(below)))]
