"""`rag index`."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rag.cli.console import plain_data, say, say_json, warn
from rag.cli.options import GRAPH_HELP, LANGUAGE_HELP, add_plugins, consenting, indexed, positive
from rag.cli.progress import progress_bar
from rag.cli.sources import say_chosen, say_losses, with_consent
from rag.core.clusters import CLUSTERS, Cluster
from rag.core.errors import SpecError
from rag.core.progress import Progress
from rag.core.protocols import CanReadAhead, KeepsStates
from rag.graph.check import check
from rag.graph.load import load_spec
from rag.indexing import IndexReport, build_index, index_exists, index_settings
from rag.indexing.languages import in_language
from rag.indexing.problem_lines import some_of, told
from rag.ingest import Problem
from rag.ingest.formats import suffix
from rag.pipeline import load_pipeline
from retrievers.index.settings import IndexSettings

if TYPE_CHECKING:
    from rerankers.attention.states.state_store import StoreReport

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
    ocr_help = "also read pictures, and pages of PDF that are pictures; slow (needs the extra ocr)"
    parser.add_argument("--ocr", action="store_true", help=ocr_help)
    figures_help = "also keep pictures and tables of documents, each with the text around it (needs ragline-media)"
    parser.add_argument("--figures", action="store_true", help=figures_help)
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
    _cluster_options(parser)
    _shadow_options(parser)
    add_plugins(parser)


def _cluster_options(parser: ArgumentParser) -> None:
    cluster = parser.add_argument_group("texts encoded on a Ray cluster")
    cluster.add_argument(
        "--ray", metavar="ADDRESS", help="encode on this Ray cluster, or 'local' (the plug-in ragline-cluster)"
    )
    cluster.add_argument("--ray-actors", type=positive, metavar="N", help="actors, each with a copy of the model (1)")
    cluster.add_argument("--ray-cpus", type=positive, metavar="N", help="processors of an actor, and its threads (1)")
    cluster.add_argument("--ray-gpus", type=float, metavar="N", help="GPUs of an actor (0)")


def _shadow_options(parser: ArgumentParser) -> None:
    shadow = parser.add_argument_group("another encoder, built beside the one that serves")
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


def run(given: Namespace) -> int:
    """Build an index for a graph, or bring sources of one up to date; with --shadow, another encoder beside it."""
    if given.shadow:
        from rag.cli import shadow

        return shadow.run(given, _cluster_of(given))
    _require_shadow(given)
    cluster = _cluster_of(given)
    settings, legs = _wanted(given)
    _build(given, settings, legs, cluster=cluster)
    if given.watch:
        from rag.cli.watch import keep_up

        keep_up(given.sources, given.index, lambda: _build(given, None, None, tell_nothing=False))
    return 0


def _require_shadow(given: Namespace) -> None:
    """Raise SpecError where an option stands without the switch that it goes with."""
    for name in ("encoder", "questions", "qrels", "promote_if_better", "promote", "drop"):
        if getattr(given, name):
            raise SpecError(f"rag index: --{name.replace('_', '-')} goes with --shadow")


def _cluster_of(given: Namespace) -> Cluster | None:
    """The cluster that the options name, if they name one.

    Raises:
        SpecError: they do not go together.
    """
    if given.ray is None:
        for name in ("ray_actors", "ray_cpus", "ray_gpus"):
            if vars(given)[name] is not None:
                raise SpecError(f"rag index: --{name.replace('_', '-')} goes with --ray")
        return None
    if given.watch:
        raise SpecError(
            "rag index: --watch builds again and again, a few files at a time; a cluster is for one large build. Give "
            "--ray first, and --watch without it afterwards"
        )
    cluster: Cluster = CLUSTERS.get("ray")(
        address=given.ray, actors=given.ray_actors or 1, cpus=given.ray_cpus or 1, gpus=given.ray_gpus or 0.0
    )
    return cluster


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
    for name in report.ignored:
        logging.getLogger(__name__).info("no reader for %s", name)


def _wanted(given: Namespace) -> tuple[IndexSettings | None, Sequence[str] | None]:
    """Settings and legs of the graph that is named; without one those of the index that is there, or of the usual graph."""
    settings: IndexSettings | None = None
    legs: Sequence[str] | None = None
    asked = {"ocr": given.ocr, "figures": given.figures, "access": given.access_key}
    asked |= {"own_statistics": given.own_statistics}
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
        yield f"not indexed: {', '.join(counts)}: no reader for these ({some_of(report.ignored)})"
    if n := len(report.staying_out):
        stay, them, one = ("file stays", "it", "it") if n == 1 else ("files stay", "them", "one")
        out = f"{n:,} {stay} out, as rag remove took {them}: {some_of(report.staying_out)}"
        yield f"{out}; index {one} by its own path to have it back"


def _states(given: Namespace, progress: Progress) -> tuple[dict[str, int], dict[str, StoreReport]]:
    """Let stages of the graph read the documents ahead: node -> passages newly read, and what its store has to say.

    Raises:
        SpecError: the graph has no such stage, or one that keeps nothing, or no index.
    """
    with load_pipeline(given.graph or USUAL_GRAPH, index=given.index) as pipeline:
        readers = {name: part for name, part in pipeline.graph.parts.items() if isinstance(part, CanReadAhead)}
        if not readers or pipeline.index is None:
            raise SpecError(
                f"{pipeline.spec.source.name} has nothing to read ahead: that takes an index and a stage that keeps what it "
                "read, such as rerank.attention with keep: disk"
            )
        documents = pipeline.index.documents
        read = {node: part.read_ahead(documents, progress=progress) for node, part in readers.items()}
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
