"""Options of `rag index` that are about a shadow."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.core.errors import SpecError


def add_options(index: ArgumentParser) -> None:
    """Add them to the command."""
    shadow = index.add_argument_group("another encoder, built beside the one that serves")
    shadow.add_argument("--shadow", action="store_true", help="build it (--encoder), judge it (--questions), or both")
    shadow.add_argument("--encoder", metavar="NAME", help="packaged name, sentence-transformers folder or hub id")
    shadow.add_argument("--questions", type=Path, metavar="FILE", help="ask both indexes these, and compare")
    shadow.add_argument("--qrels", type=Path, metavar="FILE", help="judgements of the questions (default: --teacher)")
    teacher_help = "reranker that grades what both find, where there are no judgements (attention)"
    shadow.add_argument("--teacher", default="attention", metavar="NAME", help=teacher_help)
    promote = shadow.add_mutually_exclusive_group()
    promote.add_argument("--promote-if-better", action="store_true", help="let it take the index's place if it wins")
    promote.add_argument("--promote", action="store_true", help="let it take the index's place, judged or not")
    promote.add_argument("--drop", action="store_true", help="delete it")


def require_shadow(given: Namespace) -> None:
    """Raise SpecError where an option stands without the switch that it goes with."""
    for name in ("encoder", "questions", "qrels", "promote_if_better", "promote", "drop"):
        if getattr(given, name):
            raise SpecError(f"rag index: --{name.replace('_', '-')} goes with --shadow")
