"""Every leg of an index and their fusions, side by side: nDCG@10, seconds a query, bytes a document, documents a second.

One index of a set has all legs, made by their defaults. Fusions: RRF of all pairs and of all three, z-scores of the
same with even weights, and the built-in hybrid, which compares scores over the index. Each is compared with BM25 by a
paired randomisation test, corrected over all systems of a set (Holm). Indexes are kept in the work folder, so a
second run searches alone; a build's seconds are told by the run that built it.

    RAGLINE_EVAL_DATA=... python -m benchmarks.legs [SET ...] [--legs bm25 sparse ...] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.make_samples import JUDGEMENTS, data_folder, take_sets
from benchmarks.record import Record, record
from rag.core.protocols import Fuser, Retriever
from rag.core.ranking import completed
from rag.core.trec import Qrels
from rag.core.types import Query, Ranking
from rag.evaluate import Evaluation, evaluate
from rag.evaluate.beir import load_beir
from rag.evaluate.comparison import compare_runs
from rag.indexing import IndexReport, build_index
from rag.stages.fuse import RRFFuser, WeightedFuser
from retrievers import RETRIEVERS
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.lexical.settings import LexicalSettings

LEGS = {"bm25": "lexical", "dense": "dense", "sparse": "sparse", "late_interaction": "late_interaction"}
"""Retriever -> the leg that it searches."""
SETS = (*JUDGEMENTS, "xquad/en", "xquad/de", "xquad/zh", "poquad", "medquad")
"""The open seven, and five more. All are judged by `test`, which knows the documents that are searched."""
LANGUAGES = {"xquad/de": "de", "xquad/zh": "zh", "poquad": "pl"}
MEASURE = "nDCG@10"


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What a retriever found, and what it took. `build_seconds`: None where the leg was there already."""

    rankings: list[Ranking]
    seconds: float
    bytes_per_document: float
    build_seconds: float | None


def folder_of(name: str) -> str:
    """A set's name as that of one folder."""
    return name.replace("/", "-")


def searched(
    name: str,
    retrievers: Sequence[str],
    work: Path,
    *,
    limit: int | None,
    depth: int,
    bm25: LexicalSettings | None = None,
) -> tuple[dict[str, Searched], Qrels]:
    """Every retriever's rankings of a set's judged queries, and the judgements.

    Args:
        work: where indexes are kept, one of each set. `bm25`: instead of the default; such indexes are kept elsewhere.
    """
    dataset = load_beir(data_folder() / name)
    variant: dict[str, Any] = {} if bm25 is None else {"bm25": bm25}
    settings = IndexSettings(
        analyzer=AnalyzerSettings(language=LANGUAGES.get(name, "en")), **variant
    ).judging_documents()
    folder = work / folder_of(name)
    report = build_index(dataset.corpus, folder, settings=settings, legs=tuple(LEGS[each] for each in retrievers))
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)[:limit]
    with LocalIndex.open(folder) as index:
        made: dict[str, Any] = {each: RETRIEVERS.get(each)(index=index) for each in retrievers}
        found = {
            each: timed(retriever, each, LEGS[each], index, queries, report, depth=depth)
            for each, retriever in made.items()
        }
        built_in = {name: made[name] for name in ("bm25", "dense") if name in made}
        whole = completed([ranking for name in built_in for ranking in found[name].rankings], built_in)
        for name in built_in:
            own = [ranking for ranking in whole if ranking.source == name]
            found[name] = replace(found[name], rankings=own)
    return found, {query.qid: qrels[query.qid] for query in queries}


def timed(
    retriever: Retriever,
    source: str,
    leg: str,
    index: LocalIndex,
    queries: Sequence[Query],
    report: IndexReport,
    *,
    depth: int,
) -> Searched:
    """Rankings of a retriever under a name, all queries together, and what its leg takes."""
    retriever.retrieve(queries[:1], k=depth)  # what the first question loads is no cost of the others
    begun = perf_counter()
    rankings = retriever.retrieve(queries, k=depth)
    seconds = (perf_counter() - begun) / len(queries)
    size = sum(fact.size_bytes for path, fact in index.manifest.files.items() if path.startswith(f"{leg}/"))
    return Searched(
        rankings=[replace(ranking, source=source) for ranking in rankings],
        seconds=seconds,
        bytes_per_document=size / len(index),
        build_seconds=None if report.unchanged else built_in(report, leg),
    )


def fusions(retrievers: Sequence[str]) -> dict[str, tuple[tuple[str, ...], Fuser]]:
    """Name -> what is fused, and how."""
    made: dict[str, tuple[tuple[str, ...], Fuser]] = {}
    for size in range(2, len(retrievers) + 1):
        for some in itertools.combinations(retrievers, size):
            joined = " + ".join(some)
            made[f"RRF {joined}"] = some, RRFFuser()
            even = dict.fromkeys(some, 1 / size)
            made[f"z-score {joined}"] = some, WeightedFuser(norm="z_score", weights=even)
    if {"bm25", "dense"} <= {*retrievers}:
        weights = {"bm25": 0.3, "dense": 0.7}
        made["hybrid, built in"] = ("bm25", "dense"), WeightedFuser(norm="corpus", weights=weights)
    return made


def runs_of(found: Mapping[str, Searched], *, depth: int) -> dict[str, list[Ranking]]:
    """Every leg and every fusion."""
    runs = {name: one.rankings for name, one in found.items()}
    for name, (some, fuser) in fusions([*found]).items():
        runs[name] = fuser.fuse([ranking for each in some for ranking in found[each].rankings], k=depth)
    return runs


def measured(found: Mapping[str, Searched], qrels: Qrels, *, depth: int) -> dict[str, Evaluation]:
    """What each of them is worth."""
    return {name: evaluate(run, qrels, [MEASURE]) for name, run in runs_of(found, depth=depth).items()}


def told(name: str, found: Mapping[str, Searched], systems: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """A line for each system of a set."""
    others = {system: evaluation for system, evaluation in systems.items() if system != "bm25"}
    compared = compare_runs(systems["bm25"], others, measures=[MEASURE]) if "bm25" in systems else {}
    lines = []
    for system, evaluation in systems.items():
        line: dict[str, Any] = {"set": name, "system": system, "queries": evaluation.n_queries}
        line |= {MEASURE: evaluation.measures[MEASURE]}
        if system in compared:
            [one] = compared[system]
            line |= {"to_bm25": one.test.difference, "low": one.test.low, "high": one.test.high, "p": one.p}
        if system in found:
            cost = found[system]
            line |= {"seconds": cost.seconds, "bytes": cost.bytes_per_document, "build_seconds": cost.build_seconds}
        lines.append(line)
    return lines


def built_in(report: IndexReport, leg: str) -> float:
    """Seconds of a leg's build. A report tells what the encoder took apart, and that is the dense leg's."""
    return report.seconds.get(leg, 0.0) + (report.seconds.get("encode", 0.0) if leg == "dense" else 0.0)


def show(line: Mapping[str, Any]) -> None:
    gain = ""
    if "to_bm25" in line:
        gain = f"{line['to_bm25']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.3f}"
    cost = ""
    if "seconds" in line:
        built = "" if line["build_seconds"] is None else f", built in {line['build_seconds']:.1f} s"
        cost = f"{1000 * line['seconds']:8.2f} ms a query, {line['bytes']:8.0f} bytes a document{built}"
    print(f"{line['set']:16} {line['system']:28} {line[MEASURE]:.4f}  {gain:38} {cost}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--legs", nargs="+", choices=list(LEGS), default=list(LEGS))
    parser.add_argument("--depth", type=int, default=100, help="hits of each leg")
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/legs"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/legs.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        print(f"indexing {name}", file=sys.stderr, flush=True)
        found, qrels = searched(name, options.legs, options.work, limit=options.limit, depth=options.depth)
        for line in told(name, found, measured(found, qrels, depth=options.depth)):
            show(line)
            if options.record:
                record("legs", line | {"depth": options.depth, "limit": options.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
