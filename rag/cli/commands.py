"""The commands of `rag`: a table that is read without loading any. Each has a module with its options beside its `run`."""

from __future__ import annotations

import ast
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.core.plugins import shipped


@dataclass(frozen=True, slots=True)
class Command:
    """`module`: has `options(parser)` and `run(given)`, which returns an exit code. `help`: what it does, in a line."""

    module: str
    help: str


COMMANDS = {
    "index": Command("rag.cli.index", "files, folders or a BEIR folder -> an index directory, made or added to"),
    "add": Command("rag.cli.add", "documents of JSON lines -> an index, without reading what it has"),
    "sources": Command("rag.cli.sources", "where the documents of an index come from"),
    "remove": Command("rag.cli.remove", "take sources or documents out of an index"),
    "ls": Command("rag.cli.ls", "the documents of an index"),
    "show": Command("rag.cli.show", "a document, as the index holds it"),
    "init": Command("rag.cli.init", "write a commented graph to begin with"),
    "completion": Command("rag.cli.completion", "a script that completes commands in your shell"),
    "search": Command("rag.cli.search", "ranked passages for a query"),
    "ask": Command("rag.cli.ask", "an answer with numbered citations"),
    "chat": Command("rag.cli.chat", "a conversation: questions that follow one another, each answered as ask does"),
    "batch": Command("rag.cli.batch", "a file of questions -> a file of answers, durably"),
    "log": Command("rag.cli.log", "what was asked and answered, where --log kept it: shown, rated, taken out"),
    "eval": Command("rag.cli.evaluate", "a BEIR-layout folder and a graph -> measures"),
    "compare": Command(
        "rag.cli.compare", "runs over the same queries -> which is better, by how much, and on which queries"
    ),
    "check": Command("rag.cli.check", "validate a graph without loading weights"),
    "draw": Command("rag.cli.draw", "a picture of a graph"),
    "list": Command("rag.cli.listing", "components with parameters and sources"),
    "doctor": Command("rag.cli.doctor", "what is installed and works"),
    "models": Command("rag.cli.models", "the model cache"),
}
"""In the order in which they are told."""


def table_for(words: Sequence[str] | None) -> dict[str, Command]:
    """Ours, and those that installed packages add, by entry points of the group `ragline.command`: a name, and a module as here.

    What such a one does is the first line of its module's docstring. Where words name a command, no other module is loaded.
    """
    named = _named(words)
    if named in COMMANDS:
        return COMMANDS
    others = {name: each for name, each in sorted(shipped("command").items()) if name not in COMMANDS}
    found = {named: others[named]} if named in others else others
    return COMMANDS | {name: Command(each.component, _first_line(each.component)) for name, each in found.items()}


def _first_line(module: str) -> str:
    """Of the docstring, which is read and not loaded: a command may need libraries that take seconds."""
    try:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            return f"cannot be loaded: there is no module '{module}'"
        text = ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) or ""
    except Exception as cause:  # the other commands work, whatever a plug-in does
        return f"cannot be loaded: {type(cause).__name__}: {cause}"
    return text.partition("\n")[0]


def add_commands(
    parser: ArgumentParser, table: Mapping[str, Command], words: Sequence[str] | None = None, **shown: Any
) -> None:
    """Commands below a parser.

    Args:
        words: what was typed behind it. Options are those of the command that it names alone, so that no other module is
            loaded; of all without words.
        shown: how argparse is to show them.
    Raises:
        SpecError: the named command is of a plug-in, and cannot be loaded.
    """
    commands = parser.add_subparsers(**shown)
    named = _named(words)
    for name, command in table.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        if named not in (None, name):
            continue
        sub.set_defaults(module=command.module, plugin=[], wants_index="no", index=None)
        loudness = sub.add_mutually_exclusive_group()
        loudness.add_argument("-q", "--quiet", action="store_true", help="results and errors alone")
        loudness.add_argument(
            "-v", "--verbose", action="store_true", help="also what is logged, and where errors came from"
        )
        _module(name, command).options(sub)
        if sub.get_default("asking") is not None:
            from rag.cli.asking import add_asking

            add_asking(sub, words)


def _named(words: Sequence[str] | None) -> str | None:
    """The command that words name; empty where they name none, None where there are no words."""
    return None if words is None else next((word for word in words if not word.startswith("-")), "")


def _module(name: str, command: Command) -> Any:
    try:
        return import_module(command.module)
    except Exception as cause:
        if name not in shipped("command"):
            raise
        package = shipped("command")[name].package
        raise SpecError(
            f"rag {name} of the installed plug-in '{package}' cannot be loaded from {command.module}: {type(cause).__name__}: "
            f"{cause}. Update it, or: pip uninstall {package}"
        ) from cause
