"""What the options of several commands share."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

GRAPH_HELP = "built-in name (see `rag list graph`) or YAML file"


def add_plugins(sub: ArgumentParser) -> None:
    """The option of a command that reads graphs."""
    plugin_help = "module or .py file whose components graphs may use; may be repeated"
    sub.add_argument("--plugin", action="append", default=[], metavar="MODULE", help=plugin_help)


def positive(text: str) -> int:
    """An integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value
