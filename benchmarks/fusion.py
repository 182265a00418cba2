"""nDCG@10 of BM25, dense and their fusions, side by side over twelve sets, and the norm and weight of the built-in hybrid.

Norm and weight are chosen on half of the sets (of scifact and cosqa on splits that are not told here), then measured on the
others with RRF, the even min-max sum and what the built-in was before. Each fusion is compared with the better leg of its
set, and the chosen one with what was before, by a paired randomisation test, corrected over the sets (Holm). Documents in a
language that the encoder was not made for take weight from its list, as in every search. Indexes are kept in the work
folder, so a second run is short. Without all of the sets that it rests on nothing is chosen: `codebase-chunks --limit 20`
is the smoke size.

    python -m benchmarks.fusion [SET ...] [--depth 100] [--limit N] [--work FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.legs import LANGUAGES, SETS, folder_of
from benchmarks.make_samples import JUDGEMENTS, data_folder, take_sets
from benchmarks.record import Record, record
from rag.core.protocols import Fuser
from rag.core.ranking import completed
from rag.core.types import Document, Query, Ranking
from rag.evaluate import Evaluation, Significance, compare, evaluate, holm
from rag.evaluate.beir import load_beir
from rag.indexing import build_index
from rag.stages.fuse import RRFFuser, WeightedFuser
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever

CHOSEN_ON = {
    "scifact": "train",
    "cosqa": "dev",
    "cacm": "test",
    "codebase-chunks": "test",
    "medquad": "test",
    "xquad/de": "test",
}
"""Set -> the split that the choice rests on. Of scifact and cosqa another split is told."""
BEFORE = WeightedFuser(norm="z_score", weights={"bm25": 0.3, "dense": 0.7})
"""The built-in hybrid until scores were compared over the whole index."""
BUILT_IN = WeightedFuser(norm="corpus", weights={"bm25": 0.3, "dense": 0.7})
MEASURE = "nDCG@10"
SIGNIFICANT = 0.05

Legs = Mapping[str, list[Ranking]]
Qrels = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One set: how every system does, how each fusion compares with the better leg, and the chosen one with what was before."""

    name: str
    systems: Mapping[str, Evaluation]
    better: str
    gains: Mapping[str, Significance]
    over_before: Significance | None = None


def fusers() -> dict[str, Fuser]:
    """What the choice is made from, by name. The name is what the tables print."""
    named: dict[str, Fuser] = {"rrf": RRFFuser(), "min-max 0.5": WeightedFuser(norm="min_max"), "before": BEFORE}
    for norm in ("min_max", "z_score", "corpus"):
        for twentieths in range(2, 19):
            weight = twentieths / 20
            weights = {"bm25": weight, "dense": 1 - weight}
            named.setdefault(f"{norm.replace('_', '-')} {weight:g}", WeightedFuser(norm=norm, weights=weights))  # type: ignore[arg-type]
    return named


class Searcher:
    """Both legs of a data set's index, built once in the work folder."""

    def __init__(self, name: str, work: Path) -> None:
        self.name, self.dataset = name, load_beir(data_folder() / name)
        settings = IndexSettings(analyzer=AnalyzerSettings(language=LANGUAGES.get(name, "en")))
        build_index(self.dataset.corpus, work / folder_of(name), settings=settings.judging_documents())
        self._index = LocalIndex.open(work / folder_of(name))
        self._retrievers = {"bm25": BM25Retriever(index=self._index), "dense": DenseRetriever(index=self._index)}

    @property
    def documents(self) -> Sequence[Document]:
        """All passages."""
        return self._index.documents

    def search(self, split: str, *, depth: int, limit: int | None) -> tuple[Legs, Qrels]:
        """The rankings of both legs for the judged queries of a split, and their judgements."""
        qrels = self.dataset.qrels(split)
        queries = self.dataset.queries_of(qrels)[:limit]
        return self.legs(queries, depth=depth), {query.qid: qrels[query.qid] for query in queries}

    def legs(self, queries: Sequence[Query], *, depth: int) -> Legs:
        """The rankings of both legs, each with the true scores of what the other found."""
        lists = [each for retriever in self._retrievers.values() for each in retriever.retrieve(queries, k=depth)]
        whole = completed(lists, self._retrievers)
        return {source: [each for each in whole if each.source == source] for source in self._retrievers}


def fused(legs: Legs, fuser: Fuser, depth: int) -> list[Ranking]:
    """Both lists of every query as one."""
    return fuser.fuse([*legs["bm25"], *legs["dense"]], k=depth)


def measured(legs: Legs, qrels: Qrels, named: Mapping[str, Fuser], *, depth: int) -> dict[str, Evaluation]:
    """Every leg and every fusion of both, by name."""
    alone = {name: evaluate(run, qrels, [MEASURE]) for name, run in legs.items()}
    return alone | {name: evaluate(fused(legs, fuser, depth), qrels, [MEASURE]) for name, fuser in named.items()}


def choose(tables: Mapping[str, Mapping[str, Evaluation]], names: Sequence[str]) -> str:
    """The fusion with the best mean over the sets that the choice is made on; the first listed of equals."""
    return max(names, key=lambda name: sum(table[name].measures[MEASURE] for table in tables.values()))


def tested(name: str, systems: Mapping[str, Evaluation], fusions: Sequence[str], chosen: str | None) -> Row:
    """The set's row: its better leg, every fusion tested against that, and the chosen one against what was before."""
    better = max(("bm25", "dense"), key=lambda leg: systems[leg].measures[MEASURE])
    gains = {fusion: compare(systems[fusion], systems[better])[MEASURE] for fusion in fusions}
    over = None if chosen is None else compare(systems[chosen], systems["before"])[MEASURE]
    return Row(name=name, systems=systems, better=better, gains=gains, over_before=over)


def print_choice(tables: Mapping[str, Mapping[str, Evaluation]], chosen: str) -> None:
    print(f"\n{'chosen on':18}" + "".join(f"{name:>18}" for name in tables) + f"{'mean':>10}")
    for system in next(iter(tables.values())):
        values = [table[system].measures[MEASURE] for table in tables.values()]
        mark = "  <- chosen" if system == chosen else ""
        cells = "".join(f"{value:18.4f}" for value in values)
        print(f"{system:18}{cells}{sum(values) / len(values):10.4f}{mark}")


def print_rows(rows: Sequence[Row], fusions: Sequence[str]) -> dict[str, list[float]]:
    """Print the table, and return the corrected p of each fusion, in the order of the rows."""
    corrected = {name: holm([row.gains[name].p for row in rows]) for name in fusions}
    columns = ("bm25", "dense", *fusions)
    print(f"\n{'set':18}{'queries':>8}" + "".join(f"{name:>18}" for name in columns))
    for row in rows:
        n_queries = next(iter(row.systems.values())).n_queries
        values = "".join(f"{row.systems[name].measures[MEASURE]:18.4f}" for name in columns)
        print(f"{row.name:18}{n_queries:8}{values}")
    for name in fusions:
        print_gains(f"{name} against the better leg", rows, [row.gains[name] for row in rows], corrected[name])
    if over := [row.over_before for row in rows if row.over_before is not None]:
        print_gains("the chosen one against what was before", rows, over, holm([each.p for each in over]))
    return corrected


def print_gains(title: str, rows: Sequence[Row], gains: Sequence[Significance], corrected: Sequence[float]) -> None:
    """Print a gain of every set, with its interval and its corrected p."""
    print(f"\n{title}: gain, 95% interval, p (Holm over the sets)")
    below = []
    for row, gain, p in zip(rows, gains, corrected, strict=True):
        verdict = "" if p >= SIGNIFICANT else "  above" if gain.difference > 0 else "  BELOW"
        below += [row.name] if verdict == "  BELOW" else []
        print(
            f"  {row.name:18}{row.better:>6} {gain.difference:+.4f}"
            f"  [{gain.low:+.4f}, {gain.high:+.4f}]  p {p:.4f}{verdict}"
        )
    mean = sum(gain.difference for gain in gains) / len(gains)
    print(f"  {'mean':18}{'':6} {mean:+.4f}   significantly below: {', '.join(below) or 'none'}")


def as_records(
    rows: Sequence[Row], corrected: Mapping[str, Sequence[float]], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rows as JSON objects, each with what is common to all."""
    return [
        {
            **common,
            "set": row.name,
            "split": JUDGEMENTS.get(row.name, "test"),
            "chosen_on": row.name in CHOSEN_ON and CHOSEN_ON[row.name] == JUDGEMENTS.get(row.name, "test"),
            "queries": next(iter(row.systems.values())).n_queries,
            MEASURE: {name: found.measures[MEASURE] for name, found in row.systems.items()},
            "better_leg": row.better,
            "over_before": row.over_before
            and {
                "difference": row.over_before.difference,
                "interval": [row.over_before.low, row.over_before.high],
                "p": row.over_before.p,
            },
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
    take_sets(parser, SETS)
    parser.add_argument("--depth", type=int, default=100, help="hits per leg: 100, as the built-in graph, or 1000")
    parser.add_argument("--limit", type=int, help="only the first N queries of each split")
    parser.add_argument("--work", type=Path, default=Path("build/fusion"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/fusion.jsonl")
    options = parser.parse_args(arguments)
    asked = [name for name in SETS if not options.sets or name in options.sets]
    searchers: dict[str, Searcher] = {}
    for name in asked:
        print(f"indexing {name}", file=sys.stderr, flush=True)
        searchers[name] = Searcher(name, options.work)

    named = fusers()
    fusions = ["rrf", "min-max 0.5", "before"]
    tables: dict[str, dict[str, Evaluation]] = {}
    chosen = None
    if CHOSEN_ON.keys() <= searchers.keys():
        for name, split in CHOSEN_ON.items():
            legs, qrels = searchers[name].search(split, depth=options.depth, limit=options.limit)
            tables[f"{name} {split}"] = measured(legs, qrels, named, depth=options.depth)
        chosen = choose(tables, list(named))
        print_choice(tables, chosen)
        fusions = list(dict.fromkeys((*fusions, chosen)))
    rows = []
    for name in asked:
        split = JUDGEMENTS.get(name, "test")
        legs, qrels = searchers[name].search(split, depth=options.depth, limit=options.limit)
        systems = measured(legs, qrels, {fusion: named[fusion] for fusion in fusions}, depth=options.depth)
        rows.append(tested(name, systems, fusions, chosen))
    corrected = print_rows(rows, fusions)
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
