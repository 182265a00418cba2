"""`rag index`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rag.cli.cluster_parser import add_options as add_cluster_options
from rag.cli.cluster_parser import cluster_of
from rag.cli.console import plain_data, say, say_json, warn
from rag.cli.options import GRAPH_HELP, LANGUAGE_HELP, add_plugins, consenting, indexed
from rag.cli.progress import progress_bar
from rag.cli.shadow_parser import add_options as add_shadow_options
from rag.cli.shadow_parser import require_shadow
from rag.cli.sources import say_chosen, say_losses, with_consent
from rag.core.cluster import Cluster
from rag.core.errors import SpecError
from rag.core.progress import Progress
from rag.core.protocols import KeepsStates
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.indexing import IndexReport, build_index, index_exists, index_settings
from rag.indexing.languages import in_language
from rag.indexing.told import told
from rag.ingest import Problem
from rag.ingest.formats import suffix
from rag.pipeline import load_pipeline
from rag.pipeline.read_ahead import read_ahead
from retrievers.index.settings import IndexSettings

if TYPE_CHECKING:
    from rerankers.attention.states.kept import StoreReport

USUAL_GRAPH = "hybrid"
MOST_KINDS = 12
"""Suffixes without a reader that are named; the rest is one number."""


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("sources", nargs="*", metavar="SRC", help="files and folders; none for all that the index has")
    indexed(parser, needed=True)
    parser.add_argument(
        "--graph",
        metavar="G",
        help=f"whose index settings and legs (default: as the index has them, else hybrid): {GRAPH_HELP}",
    )
    parser.add_argument("--name", metavar="NAME", help="what to call the one SRC; known: that source lies at SRC now")
    prune_help = "drop sources that are not named; with none named, those that are no longer there"
    parser.add_argument("--prune", action="store_true", help=prune_help)
    consenting(parser)
    parser.add_argument("--language", metavar="CODE", help=LANGUAGE_HELP)
    ocr_help = "also read pages of PDF that are pictures; slow (needs the extra ocr)"
    parser.add_argument("--ocr", action="store_true", help=ocr_help)
    labels_help = "JSONL file that says who may read which document; once given, the index keeps what it says"
    parser.add_argument("--labels", metavar="FILE", help=labels_help)
    access_help = "key of the documents' metadata that says who may read them"
    parser.add_argument("--access-key", metavar="KEY", help=access_help)
    own_help = "score words for whoever asks as if there were nothing but what they may read; the index keeps to it"
    parser.add_argument("--own-statistics", action="store_true", help=own_help)
    parser.add_argument(
        "--states",
        action="store_true",
        help="also let the graph's attention reranker read every document now, if it keeps states on disk",
    )
    watch_help = "go on: whenever files of the sources change, bring the index up to date (needs the extra watch)"
    parser.add_argument("--watch", action="store_true", help=watch_help)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_cluster_options(parser)
    add_shadow_options(parser)
    add_plugins(parser)


def run(given: Namespace) -> int:
    """Build an index for a graph, or bring sources of one up to date; with --shadow, another encoder beside it."""
    if given.shadow:
        from rag.cli import shadow

        return shadow.run(given)
    require_shadow(given)
    cluster = cluster_of(given)
    settings, legs = _wanted(given)
    _build(given, settings, legs, cluster=cluster)
    if given.watch:
        from rag.cli.watch import keep_up

        keep_up(given.sources, given.index, lambda: _build(given, None, None, tell_nothing=False))
    return 0


def _build(
    given: Namespace,
    settings: IndexSettings | None,
    legs: Sequence[str] | None,
    *,
    cluster: Cluster | None = None,
    tell_nothing: bool = True,
) -> None:
    """Build once, and say what came of it. `tell_nothing`: also where that is nothing."""
    with progress_bar() as progress:

        def build(most_lost: float) -> IndexReport:
            return build_index(
                given.sources,
                given.index,
                settings=settings,
                legs=legs,
                name=given.name,
                labels=given.labels,
                prune=given.prune,
                most_lost=most_lost,
                cluster=cluster,
                progress=progress,
            )

        report = with_consent(build, given)
        if report.unchanged and not tell_nothing:
            return
        read, kept = _states(given, progress) if given.states else ({}, {})
    if given.json:
        states = {"states": read, "kept_states": plain_data({node: asdict(each) for node, each in kept.items()})}
        say_json(plain_data(asdict(report)) | (states if given.states else {}))
        return
    say(
        f"{report.n_units:,} passages of {report.n_documents:,} documents from {report.n_files:,} files of "
        f"{report.n_sources:,} {'source' if report.n_sources == 1 else 'sources'} in {given.index} ({', '.join(report.legs)})"
    )
    say(
        f"{sum(report.seconds.values()):.1f} s, peak memory {report.peak_memory_bytes / 2**20:,.0f} MiB; "
        f"{report.n_reused_files:,} files unchanged, {report.n_encoded:,} passages encoded, "
        f"{report.n_reused_vectors:,} vectors kept"
    )
    if cluster is not None:
        read_there = ", ".join(f"{n:,} texts of {leg}" for leg, n in report.on_cluster.items())
        say(f"on the cluster: {read_there or 'nothing, as no model had texts left to read'}")
    if report.languages:
        say("languages: " + ", ".join(f"{n:,} {code or 'not known'}" for code, n in report.languages.items()))
    say_chosen(report)
    say_losses(report)
    for node, n in read.items():
        say(f"{n:,} passages newly read for '{node}'{_in_words(kept[node]) if node in kept else ''}")
    for line in _left_out(report):
        warn(line)


def _wanted(given: Namespace) -> tuple[IndexSettings | None, Sequence[str] | None]:
    """Settings and legs of the graph that is named; without one those of the index that is there, or of the usual graph."""
    settings: IndexSettings | None = None
    legs: Sequence[str] | None = None
    asked = {"ocr": given.ocr, "access": given.access_key, "own_statistics": given.own_statistics}
    reading = {name: value for name, value in asked.items() if value}
    if given.graph is not None or not index_exists(given.index):
        spec = load_spec(given.graph or USUAL_GRAPH)
        checked = check(spec)
        if checked.problems:
            raise SpecError(*checked.problems)
        if not checked.legs:
            raise SpecError(f"{spec.source.name} searches nothing, so there is no index to build for it")
        settings, legs = spec.graph.index, checked.legs
    elif given.language or reading:
        settings = index_settings(given.index)
    if given.language and settings is not None:
        settings = in_language(settings, given.language)
    if reading and settings is not None:
        settings = settings.model_copy(update={"reading": settings.reading.model_copy(update=reading)})
    return settings, legs


def _left_out(report: IndexReport) -> Iterator[str]:
    """What is not in the index, or was mended on its way there, a line for each reason."""
    unread = frozenset(report.unread)

    def how(problem: Problem) -> str:
        return "not indexed: " if problem.name in unread else "read in part: " if problem.lost else "note: "

    yield from told(report.problems, how)
    if report.ignored:
        kinds = Counter(suffix(name) or "without a suffix" for name in report.ignored).most_common()
        counts = [f"{n:,} {kind}" for kind, n in kinds[:MOST_KINDS]]
        if rest := sum(n for _, n in kinds[MOST_KINDS:]):
            counts.append(f"{rest:,} of other kinds")
        yield f"not indexed: {', '.join(counts)}: no reader for these"


def _states(given: Namespace, progress: Progress) -> tuple[dict[str, int], dict[str, StoreReport]]:
    """Node -> passages newly read, and what its store has to say."""
    with load_pipeline(given.graph or USUAL_GRAPH, index=given.index) as pipeline:
        read = read_ahead(pipeline, progress=progress)
        parts = {node: pipeline.graph.parts[node] for node in read}
        reports = {node: part.states() for node, part in parts.items() if isinstance(part, KeepsStates)}
    return read, {node: report for node, report in reports.items() if report is not None}


def _in_words(kept: StoreReport) -> str:
    """What is kept, and what went wrong if anything did."""
    told = [f"{kept.kept:,} kept", f"{kept.bytes / 2**20:,.1f} MiB with those of other graphs"]
    told += [f"{kept.evicted:,} older ones removed"] if kept.evicted else []
    told += [f"{kept.damaged:,} damaged"] if kept.damaged else []
    told += [f"nothing more is written: {kept.disabled}"] if kept.disabled else []
    return f" ({', '.join(told)})"
