"""nDCG@10 of BM25, dense and their fusions, side by side over six sets, and the weight of the built-in hybrid.

The weight and normalisation are chosen on scifact train and cosqa dev alone, then measured with RRF and the even
min-max sum on the six test splits. Each fusion is compared with the better leg of its set by a paired
randomisation test, corrected over the sets (Holm). Indexes are kept in the work folder, so a second run is short.
Without both scifact and cosqa nothing is chosen: `codebase-chunks --limit 20` is the smoke size.

    python -m benchmarks.fusion [SET ...] [--depth 100] [--limit N] [--work FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.make_samples import data_folder
from benchmarks.record import record
from rag.core.protocols import Fuser
from rag.core.types import Ranking
from rag.evaluate import Evaluation, Significance, compare, evaluate, holm
from rag.evaluate.beir import Dataset, load_beir
from rag.indexing import build_index
from rag.stages.fuse import RRFFuser, WeightedFuser
from retrievers.bm25 import BM25Retriever
from retrievers.dense import DenseRetriever
from retrievers.index.directory import LocalIndex

SETS = ("scifact", "cranfield", "cacm", "cosqa", "docs-manpages", "codebase-chunks")
CHOSEN_ON = (("scifact", "train"), ("cosqa", "dev"))
MEASURE = "nDCG@10"
SIGNIFICANT = 0.05

Legs = Mapping[str, list[Ranking]]
Qrels = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One set: how every system does, and how each fusion compares with the better leg."""

    name: str
    systems: Mapping[str, Evaluation]
    better: str
    gains: Mapping[str, Significance]


def fusers() -> dict[str, Fuser]:
    """What the choice is made from, by name. The name is what the tables print."""
    named: dict[str, Fuser] = {"rrf": RRFFuser(), "min-max 0.5": WeightedFuser(norm="min_max")}
    for norm in ("min_max", "z_score"):
        for tenths in range(1, 10):
            weights = {"bm25": tenths / 10, "dense": (10 - tenths) / 10}
            named.setdefault(f"{norm.replace('_', '-')} {tenths / 10}", WeightedFuser(norm=norm, weights=weights))
    return named


class Searcher:
    """Both legs of a data set's index, built once in the work folder."""

    def __init__(self, dataset: Dataset, work: Path) -> None:
        build_index(dataset.corpus, work / dataset.name)
        self._dataset = dataset
        self._index = LocalIndex.open(work / dataset.name)

    def search(self, split: str, *, depth: int, limit: int | None) -> tuple[Legs, Qrels]:
        """The rankings of both legs for the judged queries of a split, and their judgements."""
        qrels = self._dataset.qrels(split)
        queries = self._dataset.queries_of(qrels)[:limit]
        legs = {
            "bm25": BM25Retriever(index=self._index).retrieve(queries, k=depth),
            "dense": DenseRetriever(index=self._index).retrieve(queries, k=depth),
        }
        stamped = {name: [replace(r, source=name) for r in rankings] for name, rankings in legs.items()}
        return stamped, {query.qid: qrels[query.qid] for query in queries}


def measured(legs: Legs, qrels: Qrels, named: Mapping[str, Fuser], *, depth: int) -> dict[str, Evaluation]:
    """Every leg and every fusion of both, by name."""
    runs = dict(legs) | {name: fuser.fuse([*legs["bm25"], *legs["dense"]], k=depth) for name, fuser in named.items()}
    return {name: evaluate(run, qrels, [MEASURE]) for name, run in runs.items()}


def choose(tables: Mapping[str, Mapping[str, Evaluation]], names: Sequence[str]) -> str:
    """The fusion with the best mean over the sets that the choice is made on; the first listed of equals."""
    return max(names, key=lambda name: sum(table[name].measures[MEASURE] for table in tables.values()))


def against_better_leg(name: str, systems: Mapping[str, Evaluation], fused: Sequence[str]) -> Row:
    """The set's row: its better leg, and every fusion tested against that."""
    better = max(("bm25", "dense"), key=lambda leg: systems[leg].measures[MEASURE])
    gains = {fusion: compare(systems[fusion], systems[better])[MEASURE] for fusion in fused}
    return Row(name=name, systems=systems, better=better, gains=gains)


def print_choice(tables: Mapping[str, Mapping[str, Evaluation]], chosen: str) -> None:
    print(f"\n{'chosen on':18}" + "".join(f"{name:>18}" for name in tables) + f"{'mean':>10}")
    for system in next(iter(tables.values())):
        values = [table[system].measures[MEASURE] for table in tables.values()]
        mark = "  <- chosen" if system == chosen else ""
        cells = "".join(f"{value:18.4f}" for value in values)
        print(f"{system:18}{cells}{sum(values) / len(values):10.4f}{mark}")


def print_rows(rows: Sequence[Row], fused: Sequence[str]) -> dict[str, list[float]]:
    """Print the table, and return the corrected p of each fusion, in the order of the rows."""
    corrected = {name: holm([row.gains[name].p for row in rows]) for name in fused}
    columns = ("bm25", "dense", *fused)
    print(f"\n{'set':18}{'queries':>8}" + "".join(f"{name:>18}" for name in columns))
    for row in rows:
        n_queries = next(iter(row.systems.values())).n_queries
        values = "".join(f"{row.systems[name].measures[MEASURE]:18.4f}" for name in columns)
        print(f"{row.name:18}{n_queries:8}{values}")
    for name in fused:
        print(f"\n{name} against the better leg: gain, 95% interval, p (Holm over the sets)")
        for row, p in zip(rows, corrected[name], strict=True):
            gain = row.gains[name]
            verdict = "" if p >= SIGNIFICANT else "  above" if gain.difference > 0 else "  BELOW"
            print(
                f"  {row.name:18}{row.better:>6} {gain.difference:+.4f}"
                f"  [{gain.low:+.4f}, {gain.high:+.4f}]  p {p:.4f}{verdict}"
            )
        mean = sum(row.gains[name].difference for row in rows) / len(rows)
        below = [
            row.name
            for row, p in zip(rows, corrected[name], strict=True)
            if p < SIGNIFICANT and row.gains[name].difference < 0
        ]
        print(f"  {'mean':18}{'':6} {mean:+.4f}   significantly below: {', '.join(below) or 'none'}")
    return corrected


def as_records(
    rows: Sequence[Row], corrected: Mapping[str, Sequence[float]], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rows as JSON objects, each with what is common to all."""
    return [
        {
            **common,
            "set": row.name,
            "split": "test",
            "queries": next(iter(row.systems.values())).n_queries,
            MEASURE: {name: found.measures[MEASURE] for name, found in row.systems.items()},
            "better_leg": row.better,
            "gains": {
                name: {
                    "difference": gain.difference,
                    "interval": [gain.low, gain.high],
                    "p": gain.p,
                    "p_holm": corrected[name][place],
                }
                for name, gain in row.gains.items()
            },
        }
        for place, row in enumerate(rows)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help=f"of {', '.join(SETS)}; all of them when left out")
    parser.add_argument("--depth", type=int, default=100, help="hits per leg: 100, as the built-in graph, or 1000")
    parser.add_argument("--limit", type=int, help="only the first N queries of each split")
    parser.add_argument("--work", type=Path, default=Path("build/fusion"), help="where indexes are kept")
    parser.add_argument("--record", action="store_true", help="append to results/fusion.jsonl")
    options = parser.parse_args(arguments)
    data = data_folder()
    if unknown := set(options.sets) - set(SETS):
        parser.error(f"not one of the sets: {', '.join(sorted(unknown))}")
    asked = [name for name in SETS if not options.sets or name in options.sets]
    searchers: dict[str, Searcher] = {}
    for name in asked:
        print(f"indexing {name}", file=sys.stderr, flush=True)
        searchers[name] = Searcher(load_beir(data / name), options.work)

    named = fusers()
    fused = ["rrf", "min-max 0.5"]
    tables: dict[str, dict[str, Evaluation]] = {}
    chosen = None
    if all(name in searchers for name, _ in CHOSEN_ON):
        for name, split in CHOSEN_ON:
            legs, qrels = searchers[name].search(split, depth=options.depth, limit=options.limit)
            tables[f"{name} {split}"] = measured(legs, qrels, named, depth=options.depth)
        chosen = choose(tables, list(named))
        print_choice(tables, chosen)
        fused = list(dict.fromkeys((*fused, chosen)))
    rows = []
    for name in asked:
        legs, qrels = searchers[name].search("test", depth=options.depth, limit=options.limit)
        systems = measured(legs, qrels, {fusion: named[fusion] for fusion in fused}, depth=options.depth)
        rows.append(against_better_leg(name, systems, fused))
    corrected = print_rows(rows, fused)
    if options.record:
        common = {"depth": options.depth, "limit": options.limit, "chosen": chosen}
        means = {where: {n: e.measures[MEASURE] for n, e in table.items()} for where, table in tables.items()}
        if means:
            record("fusion", {**common, "choice": means})
        for line in as_records(rows, corrected, common):
            record("fusion", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
