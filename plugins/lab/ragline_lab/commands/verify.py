"""`rag lab verify`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import GRAPH_HELP, add_plugins, positive, progress_bar, require_queries, say, say_json, show_compared
from ragline_lab.drift.report import Drift, lines_of
from ragline_lab.drift.verify import verify

DRIFTED = 1
"""Exit code of a run that is no longer what its graph gives."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of `rag eval` or `rag batch`")
    dataset_help = "BEIR-layout folder that a run of `rag eval` is of, or that one of `rag batch` is measured by"
    parser.add_argument("--dataset", metavar="DIR", help=dataset_help)
    parser.add_argument("--split", metavar="S", help="of the data set (default: the run's)")
    parser.add_argument("--within", metavar="FIELD", help="a query searches only documents that share its FIELD")
    parser.add_argument("--graph", metavar="G", help=f"ask this one in place of the run's: {GRAPH_HELP}")
    parser.add_argument("--index", metavar="DIR", help="where the index of a run of `rag batch` lies now")
    parser.add_argument("-n", type=positive, default=50, metavar="N", help="queries to ask, chosen by their ids (50)")
    tolerance_help = "scores are equal that differ by at most this share of a ranking's largest (0.0001)"
    parser.add_argument("--tolerance", type=float, default=1e-4, metavar="X", help=tolerance_help)
    parser.add_argument("--queries", type=int, default=3, metavar="N", help="queries to show, of those that differ (3)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


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
    say("\n".join(lines_of(drift, queries=queries)))
    if drift.measures:
        say()
        show_compared(Path(drift.run).name or drift.run, {"asked again": drift.measures}, queries=queries)
