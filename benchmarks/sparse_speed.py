"""Learned sparse search, queries a second on one thread: all sums, and Seismic beside them.

Weights are those of splade-tiny. Sets are whole; `windows` is made for size: documents of many sets in an order drawn
with a seed, cut into overlapping windows of words, each a passage. Weighed passages are kept in the work folder. All
ways take turns, and the fastest of ROUNDS is told. `--peer` names a Python that has pyseismic-lsr. It is approximate: for
each recall of the exact hits that is asked for, the fastest setting of a sweep that reaches it is held against ours.

    RAGLINE_EVAL_DATA=... python -m benchmarks.sparse_speed [SET ...] [--passages N] [--peer PYTHON] [--record]
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.make_samples import data_folder, take_sets
from benchmarks.peer import Peer
from benchmarks.record import Record, record
from rag.evaluate.beir import load_beir
from retrievers.legs.sparse.encoder import SparseEncoder
from retrievers.legs.sparse.settings import SparseSettings
from retrievers.stores.postings import Columns
from retrievers.stores.sparse_rows import SparseRows
from retrievers.stores.sums import Sums

SETS = ("cranfield", "docs-manpages", "medquad", "windows")
SIZED = ("docs-linux-kernel", "docs-python", "docs-manpages", "medquad", "scifact", "cranfield", "openstax-medical")
"""What `windows` are cut from."""
ASKED = ("docs-manpages", "medquad", "scifact", "cranfield")
"""Whose judged queries are asked of `windows`."""
WORDS, STEP, SEED = 32, 16, 20260
KS = (10, 100)
RECALLS = (1.0, 0.98, 0.95)
BUILDS = ((3500, 0.4), (1_000_000, 1.0))
"""Postings that Seismic keeps of a term on average, and what its summaries keep: its defaults, and all."""
CUTS, FACTORS = (5, 10, 20, 1000), (1.0, 0.9, 0.8, 0.7, 0.5, 0.0)
_TOGETHER = 1024


@dataclass(frozen=True, kw_only=True)
class Case:
    """Weighed documents and queries. `file`: where they are kept."""

    name: str
    file: Path
    columns: Columns
    queries: list[dict[int, float]]
    n_docs: int

    @property
    def postings_read(self) -> float:
        """Of a query, on average, where all sums are made."""
        sizes = np.diff(self.columns.starts)
        return float(np.mean([sum(sizes[term] for term in query if term < len(sizes)) for query in self.queries]))


def case(name: str, work: Path, *, n_queries: int, passages: int) -> Case:
    """A set, weighed or from the work folder; of the windows the first `passages`."""
    stem = f"windows-{passages}" if name == "windows" else name.replace("/", "-")
    file = work / f"{stem}-{n_queries}.npz"
    if not file.is_file():
        work.mkdir(parents=True, exist_ok=True)
        texts = windows(passages) if name == "windows" else corpus(name)
        documents = weighed(texts)
        sides = {"documents": documents, "queries": weighed(questions(name)[:n_queries])}
        arrays = {
            f"{side}_{part}": values
            for side, rows in sides.items()
            for part, values in (("tokens", rows.tokens), ("weights", rows.weights), ("starts", rows.starts))
        }
        np.savez(file, **arrays)
    with np.load(file, allow_pickle=False) as kept:
        columns = Columns.of_rows(*(kept[f"documents_{part}"] for part in ("tokens", "weights", "starts")))
        asked = SparseRows(**{part: kept[f"queries_{part}"] for part in ("tokens", "weights", "starts")})
        n_docs = len(kept["documents_starts"]) - 1
    rows = (asked.row(place) for place in range(len(asked)))
    queries = [dict(zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True)) for row in rows]
    return Case(name=stem, file=file, columns=columns, queries=[q for q in queries if q], n_docs=n_docs)


def corpus(name: str) -> list[str]:
    return [document.index_text for document in load_beir(data_folder() / name).documents()]


def questions(name: str) -> list[str]:
    """Judged queries of a set; of several, one of each in turn."""
    lists = []
    for each in ASKED if name == "windows" else (name,):
        dataset = load_beir(data_folder() / each)
        lists.append([query.text for query in dataset.queries_of(dataset.qrels())])
    turns = itertools.zip_longest(*lists)
    return [text for turn in turns for text in turn if text is not None]


def windows(n: int) -> list[str]:
    """Passages of `WORDS` words, each `STEP` words after the last, of documents in an order that the seed says."""
    draw = random.Random(SEED)
    texts = [text for name in SIZED for text in corpus(name)]
    draw.shuffle(texts)

    def cut() -> Iterator[str]:
        for text in texts:
            words = text.split()
            for first in range(draw.randrange(STEP), max(1, len(words) - WORDS // 2), STEP):
                if part := words[first : first + WORDS]:
                    yield " ".join(part)

    passages = list(itertools.islice(cut(), n))
    if len(passages) < n:
        raise SystemExit(f"the data folder has {len(passages):,} windows, and {n:,} were asked for")
    return passages


def weighed(texts: Sequence[str]) -> SparseRows:
    """By splade-tiny, in order."""
    encoder, parts = SparseEncoder(SparseSettings()), []
    for first in range(0, len(texts), _TOGETHER):
        parts.append(encoder.encode(texts[first : first + _TOGETHER], by="model"))
        print(f"weighed {min(first + _TOGETHER, len(texts)):,} of {len(texts):,}", file=sys.stderr, flush=True)
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return SparseRows(
        tokens=np.concatenate([part.tokens for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        starts=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
    )


class Seismic(Peer):
    """Seismic over a case. `told`: what its build took."""

    def __init__(self, python: str, one: Case, *, n_postings: int, energy: float) -> None:
        super().__init__(python, "sparse_peer.py", str(one.file), str(n_postings), str(energy), quiet=True)

    def search(self, **how: Any) -> tuple[list[list[int]], float]:
        """Rows of each query, and seconds in all."""
        told = self.ask(**how)
        return told["found"], told["seconds"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A way to ask Seismic, and the share of exact hits that it finds."""

    peer: Seismic
    how: Mapping[str, Any]
    recall: float
    seconds: float


def sweep(peers: Sequence[Seismic], one: Case, k: int, exact: Sequence[tuple[Any, Any]]) -> dict[float, Setting]:
    """Recall that is asked for -> the fastest setting that reaches it, where one does; and the best under the key -1."""
    tried = []
    for peer, cut, factor in itertools.product(peers, CUTS, FACTORS):
        how = {"k": k, "query_cut": cut, "heap_factor": factor}
        found, seconds = peer.search(**how, batch=False)
        tried.append(Setting(peer=peer, how=how, recall=recall(found, exact, k), seconds=seconds))
    best = max(tried, key=lambda setting: (setting.recall, -setting.seconds))
    chosen = {-1.0: best}
    for wanted in RECALLS:
        if able := [setting for setting in tried if setting.recall >= wanted]:
            chosen[wanted] = min(able, key=lambda setting: setting.seconds)
    return chosen


def recall(found: Sequence[Sequence[int]], exact: Sequence[tuple[Any, Any]], k: int) -> float:
    """Share of the k best that are found; one of those that tie with the last is as good as another."""
    shares = []
    for rows, (best, _) in zip(found, exact, strict=True):
        wanted = min(k, len(best))
        shares.append(min(wanted, len({*rows} & {*best.tolist()})) / wanted if wanted else 1.0)
    return float(np.mean(shares))


def measured(one: Case, k: int, peers: Sequence[Seismic], *, rounds: int) -> Iterator[dict[str, Any]]:
    """A line for each way to search."""
    plain = Sums(one.columns, n_docs=one.n_docs, engine="numpy")
    compiled = Sums(one.columns, n_docs=one.n_docs, engine="numba")
    begun = perf_counter()
    compiled.compile()
    compiled.of(one.queries[0])
    compile_seconds = round(perf_counter() - begun, 2)  # of the first k alone: code is compiled once a process
    exact = [compiled.best(query, k=k, mask=None) for query in one.queries]
    ways: dict[str, Callable[[], float]] = {
        "all sums": lambda: _seconds(one, lambda query: plain.best(query, k=k, mask=None)),
        "all sums, compiled": lambda: _seconds(one, lambda query: compiled.best(query, k=k, mask=None)),
    }
    chosen = sweep(peers, one, k, exact) if peers else {}
    for wanted, setting in chosen.items():
        for batch in (False, True):
            name = f"Seismic, {'best' if wanted < 0 else f'recall {wanted:.2f}'}{', batch' if batch else ''}"
            ways[name] = partial(_asked, setting, batch=batch)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            times[name].append(run())
    base = min(times["all sums"])
    for name, seconds in times.items():
        line = {"set": one.name, "documents": one.n_docs, "k": k, "way": name}
        line |= {"qps": round(len(one.queries) / min(seconds), 1), "to_all_sums": round(base / min(seconds), 2)}
        if name == "all sums, compiled":
            line |= {"compile_seconds": compile_seconds}
        for wanted, setting in chosen.items():
            if name.startswith(f"Seismic, {'best' if wanted < 0 else f'recall {wanted:.2f}'}"):
                line |= {"recall": round(setting.recall, 4), **setting.how, **setting.peer.told}
        yield line


def _asked(setting: Setting, *, batch: bool) -> float:
    return setting.peer.search(**setting.how, batch=batch)[1]


def _seconds(one: Case, search: Callable[[dict[int, float]], Any]) -> float:
    begun = perf_counter()
    for query in one.queries:
        search(query)
    return perf_counter() - begun


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set, k and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--passages", type=int, default=60_000, help="of `windows`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has pyseismic-lsr")
    parser.add_argument("--work", type=Path, default=Path("build/sparse_speed"), help="where weights are kept")
    parser.add_argument("--record", action=Record, help="append to results/sparse_speed.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        one = case(name, options.work, n_queries=options.queries, passages=options.passages)
        print(f"{one.name}: {one.n_docs:,} documents, {len(one.columns.rows):,} postings", flush=True)
        print(f"a query: {np.mean([*map(len, one.queries)]):.1f} terms, {one.postings_read:,.0f} postings", flush=True)
        builds = BUILDS if options.peer else ()
        with ExitStack() as running:
            peers = [
                running.enter_context(Seismic(options.peer, one, n_postings=n, energy=energy)) for n, energy in builds
            ]
            for line in (line for k in KS for line in measured(one, k, peers, rounds=options.rounds)):
                print(json.dumps(line), flush=True)
                if options.record:
                    record("sparse_speed", {"queries": len(one.queries), **line})
    return 0


if __name__ == "__main__":
    sys.exit(main())
