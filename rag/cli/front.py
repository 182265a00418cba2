"""What `rag --help` says before the options: what each command does, those of every day first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

DAILY = ("index", "add", "remove", "sources", "ls", "show", "search", "ask", "chat", "serve")
"""Commands that stand first."""

_WIDTH = 100


def front_page(said: Mapping[str, str]) -> str:
    """The page. `said`: what every command does, in the order in which they are told."""
    others = [name for name in said if name not in DAILY]
    return "\n".join(
        [
            "Search and ask over your own documents with retrieval graphs.",
            "",
            "every day:",
            *_lines(said, DAILY),
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
