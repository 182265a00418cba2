"""The page of public names: what a plug-in, a notebook or another program may import, and what each is."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

MODULES = (
    "rag",
    "rag.types",
    "rag.protocols",
    "rag.errors",
    "rag.filters",
    "rag.ranking",
    "rag.writing",
    "rag.graphs",
    "rag.indexes",
    "rag.reading",
    "rag.evaluate",
    "rag.files",
    "rag.commands",
    "rag.doors",
    "rag.tracing",
    "prompts",
    "ragline_serve",
    "ragline_serve.parts",
)


def names_page() -> str:
    """A section for each public module, a row for each of its names."""
    lines = [
        "# Public names",
        "",
        "Written by `make docs`. What stands here stays, or is told for one release under its old name; all else may move.",
        "Components, by which graphs are made, are on [a page of their own](components.md).",
        "",
    ]
    for name in MODULES:
        lines += _section(name)
    return "\n".join(lines) + "\n"


def _section(name: str) -> Iterator[str]:
    module = import_module(name)
    yield f"## {name}"
    yield _first_line(module)
    yield ""
    yield "| name | what it is |"
    yield "| --- | --- |"
    for each in module.__all__:
        yield f"| `{each}` | {_told(getattr(module, each))} |"
    yield ""


def _told(value: Any) -> str:
    """The first line of its docstring; of a constant what it is."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return _first_line(value).replace("|", "\\|")
    return f"`{value!r}`" if isinstance(value, str | int) else f"a constant: {type(value).__name__}"


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]
