"""Pages of the reference that are tables of what the code says: commands, settings of an index, errors."""

from __future__ import annotations

import re
from argparse import SUPPRESS, Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rag.cli.commands import table_for
from rag.cli.parser import parser
from rag.core import errors
from rag.core.plugins import shipped
from retrievers.encoders.settings import Encoding
from retrievers.index.settings import settings_form
from retrievers.legs.dense.settings import ServedEncoderSettings

EVERYWHERE = ("help", "quiet", "verbose")
"""Options that every command takes."""

_TYPES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict[str, Any]: "an object"}

DO = {
    "SpecError": "the message lists all problems with file and line, and the nearest names",
    "UnknownComponent": "the same; a part of a plug-in is told with the command that installs it",
    "MissingDependency": "[a foreign package](#a-foreign-package-hides-one-of-ours), or run the line of the message",
    "MissingModel": "`rag models pull NAME` while online",
    "IndexProblem": "build it again; look at the [server](../plugins/servers.md#when-something-is-wrong) that does not answer",
    "IndexMismatch": "build it for this graph, or change the graph; both sides are named",
    "NewerIndex": "upgrade, or build it anew from its sources with `--prune`",
    "IndexBusy": "wait for the other, or end it, and try again",
    "NoRoom": "make room, and try again",
    "IngestError": "a single unreadable file is only reported at the end; the others are indexed",
    "ContractError": "mend the component; the message names node and qid",
    "StageError": "the message names node, component and qid; the cause is chained",
}
"""Error -> what whoever gets it does."""


SERVER = "ragline-serve"
"""The plug-in whose guide pages are of the guide."""


def commands_page() -> str:
    """Every command of `rag` and of its server with what it takes; those of other plug-ins are on their own pages."""
    lines = [
        "# Commands",
        "",
        "Written by `make docs` from the parser; `rag COMMAND --help` prints the same. Every command takes `-q` (results and",
        "errors alone) and `-v` (also what is logged, and where errors came from). What they return stands with the",
        "[errors](errors.md). `rag keys`, `rag mcp` and `rag serve` are of the plug-in `ragline-serve`. Commands of other",
        "plug-ins, such as `rag lab`, are on [their pages](../plugins/README.md).",
        "",
    ]
    below = {name: each for name, _, each in _below(parser())}
    for name, command in table_for(None).items():
        if name in shipped("command") and shipped("command")[name].package != SERVER:
            continue
        lines += [f"## rag {name}", "", *_sentence(command.help), *_options(below[name])]
        for inner, told, each in _below(below[name]):
            lines += [f"### rag {name} {inner}", "", *_sentence(told), *_options(each)]
    return "\n".join(lines).rstrip() + "\n"


def settings_page() -> str:
    """Every key of a graph's `index:` section."""
    lines = [
        "# Settings of an index",
        "",
        "Written by `make docs`. A graph says them under `index:`, such as `index: {chunking: {tokens: 400}}`. Legs are not",
        "listed there: those that the graph's retrievers use are built. How to choose is told in [graph files](../graph.md).",
        "",
    ]
    for name, field in settings_form().model_fields.items():
        if name == "legs":
            said = "Each has the keys of its kind, and `kind`. [An example](../which_leg.md#two-legs-of-one-kind)."
            lines += [f"## {name}", "", f"{field.description}", said, ""]
            continue
        kind = _record(field.annotation)
        lines += [f"## {name}", "", f"{_first_line(kind)}", "", *_fields(kind, name)]
        if name == "dense":
            for part, inner in (("dense.encoding", Encoding), ("dense.encoder", ServedEncoderSettings)):
                lines += [f"### {part}", "", f"{_first_line(inner)}", "", *_fields(inner, part)]
    return "\n".join(lines).rstrip() + "\n"


def errors_page(page: str) -> str:
    """The page with its table written again."""
    rows = ["| exit | error | means | do |", "| --- | --- | --- | --- |"]
    for each in sorted(_errors(), key=lambda error: error.exit_code):
        rows.append(f"| {each.exit_code} | `{each.__name__}` | {_first_line(each)} | {DO[each.__name__]} |")
    marked = re.compile(r"(<!-- table: errors -->\n).*?(<!-- end -->)", re.DOTALL)
    return marked.sub(lambda m: m[1] + "\n".join(rows) + "\n" + m[2], page)


def _errors() -> list[type[errors.RagError]]:
    every = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.RagError)]
    return [each for each in every if each is not errors.RagError]


def _below(of: ArgumentParser) -> Iterator[tuple[str, str, ArgumentParser]]:
    """Commands below a parser: name, what it does, and its own parser."""
    for action in of._actions:
        if isinstance(action, _SubParsersAction):
            told = {each.dest: each.help or "" for each in action._choices_actions}
            yield from ((name, told.get(name, ""), each) for name, each in action.choices.items())


def _options(of: ArgumentParser) -> Iterator[str]:
    own = [each for each in of._actions if each.dest not in EVERYWHERE and each.help != SUPPRESS]
    own = [each for each in own if not isinstance(each, _SubParsersAction)]
    if own:
        yield from ("| takes | meaning |", "| --- | --- |")
        yield from (f"|{_cell(_taken(each))} |{_cell(each.help)} |" for each in own)
        yield ""


def _taken(of: Action) -> str:
    value = of.metavar or ("{" + ",".join(map(str, of.choices)) + "}" if of.choices else of.dest.upper())
    if not of.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{name}`" if of.nargs == 0 else f"`{name} {value}`" for name in of.option_strings)


def _fields(kind: type[BaseModel], section: str) -> Iterator[str]:
    if not kind.model_fields:
        return
    yield from ("| key | takes | default | meaning |", "| --- | --- | --- | --- |")
    for name, field in kind.model_fields.items():
        key = f"{section}.{field.alias or name}"
        yield f"| `{key}` | {_type(field)} |{_cell(_default(field))} |{_cell(field.description)} |"
    yield ""


def _record(annotation: Any) -> type[BaseModel]:
    """The record that a section is, or has several of."""
    return next(iter(get_args(annotation)), annotation)  # type: ignore[no-any-return]


def _type(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if callable(extra):
        known: dict[str, Any] = {}
        extra(known)
        return ", ".join(map(str, known["enum"]))
    return _words(field.annotation)


def _words(annotation: Any) -> str:
    options = get_args(annotation)
    if annotation in _TYPES or not options:
        return _TYPES.get(annotation, "an object")
    if all(isinstance(option, str | int) for option in options):
        return ", ".join(map(str, options))
    return " or ".join(_words(option) for option in options if option is not type(None))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    said = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
    return "" if said in (None, "", {}) or isinstance(said, BaseModel) else f"`{said}`"


def _sentence(text: str) -> list[str]:
    return [text[:1].upper() + text[1:].rstrip(".") + ".", ""] if text else []


def _cell(text: str | None) -> str:
    """With the blank before it, where there is something."""
    return "".join(f" {word}" for word in (text or "").split()).replace("|", "\\|")


def _first_line(kind: type[Any]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]
