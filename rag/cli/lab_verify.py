"""`rag lab verify`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rag.cli.compare import require_queries
from rag.cli.compare import show as show_measures
from rag.cli.console import say, say_json
from rag.cli.progress import progress_bar
from rag.lab.drift import Drift, verify
from rag.lab.drift.report import lines_of

DRIFTED = 1
"""Exit code of a run that is no longer what its graph gives."""


def run(given: Namespace) -> int:
    """Ask queries of a run again, and say what differs and why."""
    require_queries(given.queries)
    with progress_bar() as progress:
        drift = verify(
            Path(given.run),
            dataset=Path(given.dataset) if given.dataset else None,
            split=given.split,
            within=given.within,
            graph=given.graph,
            index=given.index,
            n=given.n,
            tolerance=given.tolerance,
            progress=progress,
        )
    if given.json:
        say_json(drift.as_dict())
    else:
        show(drift, queries=given.queries)
    return 0 if drift.holds else DRIFTED


def show(drift: Drift, *, queries: int) -> None:
    """The report as text, and the measures as `rag compare` shows them."""
    for line in lines_of(drift, queries=queries):
        say(line)
    if drift.measures:
        say()
        show_measures(Path(drift.run).name or drift.run, {"asked again": drift.measures}, queries=queries)
