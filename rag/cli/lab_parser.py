"""The command line of `rag lab`: a function for each of its actions, each with a module `rag.cli.lab_ACTION`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

ACTIONS: dict[str, Callable[[ArgumentParser], None]] = {}
"""By name, in the order of help: what adds an action's options. The first line of its docstring is the help."""


def add_actions(lab: ArgumentParser) -> None:
    """Every action of `ACTIONS`, as a command below `rag lab`."""
    actions: Any = lab.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, add_options in ACTIONS.items():
        help = (add_options.__doc__ or "").partition("\n")[0].rstrip(".")
        sub = actions.add_parser(name, help=help, description=help)
        sub.set_defaults(module=f"lab_{name}")
        add_options(sub)
