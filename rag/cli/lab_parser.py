"""The command line of `rag lab`: a function for each of its actions, each with a module `rag.cli.lab_ACTION`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from rag.cli.numbers import positive


def _lost(lost: ArgumentParser) -> None:
    """A run of `rag eval` -> where each relevant document was lost: legs, fusion, reranking, prompt, citation."""
    lost.add_argument("run", metavar="RUN", help="folder of `rag eval`")
    _judged(lost)


def _diff(diff: ArgumentParser) -> None:
    """Two runs over the same queries -> at which node one change gained and lost, query by query."""
    diff.add_argument("before", metavar="A", help="folder of `rag eval`")
    diff.add_argument("after", metavar="B", help="the same after a change")
    _judged(diff)
    diff.add_argument("--common", action="store_true", help="over the queries that both have")


def _judged(action: ArgumentParser) -> None:
    """Whose judgements count, how far, and where to show it."""
    action.add_argument("--dataset", required=True, metavar="DIR", help="BEIR-layout folder that the run is of")
    action.add_argument("--split", default="test")
    action.add_argument("-k", type=positive, default=10, metavar="N", help="how far a ranking counts (default: 10)")
    action.add_argument(
        "--queries", type=int, default=3, metavar="N", help="queries to show, those with most first (3)"
    )
    action.add_argument("--out", metavar="DIR", help="folder to write a page into")
    action.add_argument("--json", action="store_true", help="print one JSON document")


ACTIONS: dict[str, Callable[[ArgumentParser], None]] = {"lost": _lost, "diff": _diff}
"""By name, in the order of help: what adds an action's options. The first line of its docstring is the help."""


def add_actions(lab: ArgumentParser) -> None:
    """Every action of `ACTIONS`, as a command below `rag lab`."""
    actions: Any = lab.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, add_options in ACTIONS.items():
        help = (add_options.__doc__ or "").partition("\n")[0].rstrip(".")
        sub = actions.add_parser(name, help=help, description=help)
        sub.set_defaults(module=f"lab_{name}")
        add_options(sub)
