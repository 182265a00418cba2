"""The parser of the command line: what all commands share. Each has its own options beside its `run`."""

from __future__ import annotations

import difflib
from argparse import SUPPRESS, Action, ArgumentError, RawDescriptionHelpFormatter, _SubParsersAction
from argparse import ArgumentParser as StandardParser
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, NoReturn

from rag.cli.commands import add_commands, table_for
from rag.cli.console import plain
from rag.core.errors import did_you_mean
from rag.core.our_plugins import where_it_is
from rag.core.version import VERSION

DAILY = ("index", "add", "remove", "sources", "ls", "show", "search", "ask", "chat", "serve")
"""Commands that stand first."""

_WIDTH = 100


class ArgumentParser(StandardParser):
    """The standard one; what a wrong command line holds is told in plain characters, with the nearest name that there is."""

    def error(self, message: str) -> NoReturn:
        super().error(plain(message + self._options_like(message)))

    def _options_like(self, message: str) -> str:
        """The nearest options of the command, where the message is of options that there are not; other commands have none here."""
        if not message.startswith("unrecognized arguments: "):
            return ""
        commands = [action for action in self._actions if isinstance(action, _SubParsersAction)]
        known = [option for each in commands for sub in each.choices.values() for option in sub._option_string_actions]
        wrong = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        near = [found for word in wrong for found in difflib.get_close_matches(word, set(known), n=1, cutoff=0.7)]
        return f". Did you mean {' and '.join(map(repr, dict.fromkeys(near)))}?" if near else ""

    def _check_value(self, action: Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            ours = where_it_is(f"command.{value}") if action.dest in ("command", "action") else ""
            if ours and action.dest == "action":  # such as `rag models distil`, for one release
                ours = f"`rag {value}` is a command by itself now. {ours}"
            hint = ours or did_you_mean(str(value), map(str, action.choices))
            raise ArgumentError(action, f"there is no {value!r}. {hint}")


def parser(words: Sequence[str] | None = None) -> ArgumentParser:
    """The parser of the `rag` command.

    Args:
        words: what was typed: it has the options of the command that they name. Without, those of all.
    """
    root = ArgumentParser(
        prog="rag",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        epilog="exit codes: 0 ok · 1 a gate was not passed, a run no longer holds, or what was erased is still somewhere · "
        "2 usage or configuration · 3 missing dependency or model · 4 bad or mismatched index · 5 a stage failed",
        formatter_class=RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"ragline {VERSION}")
    table = table_for(words)
    # the description has them
    add_commands(root, table, words, dest="command", metavar="COMMAND", prog="rag", help=SUPPRESS)
    root.description = front_page({name: command.help for name, command in table.items()})
    return root


def front_page(said: Mapping[str, str]) -> str:
    """What `rag --help` says before the options. `said`: what every command does, in the order in which they are told."""
    others = [name for name in said if name not in DAILY]
    return "\n".join(
        [
            "Search and ask over your own documents with retrieval graphs.",
            "",
            "every day:",
            *_lines(said, [name for name in DAILY if name in said]),
            "",
            "more:",
            *_lines(said, others),
            "",
            "`rag COMMAND --help` says what a command takes.",
        ]
    )


def _lines(said: Mapping[str, str], names: Sequence[str]) -> list[str]:
    width = max(map(len, said)) + 4
    return [
        line
        for name in names
        for line in wrap(said[name], _WIDTH, initial_indent=f"  {name}".ljust(width), subsequent_indent=" " * width)
    ]
