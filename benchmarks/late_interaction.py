"""Late interaction over a set: how exactly vectors are kept, how much of them is looked at, and fast-plaid beside it.

For each way to keep vectors (axes, bits) and to search (probes, candidates): nDCG@10, the share of the ten best by exact
late interaction that are found, queries a second, bytes a document, and what the build took. The exact ranking is of
the model's own vectors, by brute force. `--peer` names a Python that has fast-plaid, which is given the same vectors,
turned to the axes that the package keeps; its rounds and ours take turns, and only that way to keep them is measured.

    RAGLINE_EVAL_DATA=... python -m benchmarks.late_interaction [SET] [--queries N] [--peer PYTHON] [--record]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.peer import Peer
from benchmarks.record import Record, record
from rag.core.trec import Qrels
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.evaluate import Evaluation, evaluate
from rag.evaluate.beir import load_beir
from retrievers.encoders.token_encoder import TokenEncoder
from retrievers.stores.residuals import Bits, ResidualCodec, n_centroids
from retrievers.stores.token_store import TokenStore, TokenWriter
from retrievers.stores.token_vectors import TokenVectors

WAYS: tuple[tuple[int | None, Bits], ...] = ((None, 8), (None, 4), (None, 2), (128, 4), (128, 2), (64, 4))
SHIPPED: tuple[int | None, Bits] = (128, 4)
LOOKS = ((4, 256), (16, 256), (16, 1024), (64, 256))
"""Centroids for each token of a query, and documents that are scored whole."""
K = 100


@dataclass(frozen=True, kw_only=True)
class Case:
    """A set with the vectors of its documents and queries."""

    documents: list[Document]
    queries: list[Query]
    qrels: Qrels
    said: TokenVectors
    asked: TokenVectors

    def ndcg(self, found: Sequence[Sequence[int]]) -> float:
        """Of rows, best first, for each query."""
        return self.evaluated(found).measures["nDCG@10"]

    def evaluated(self, found: Sequence[Sequence[int]]) -> Evaluation:
        """The same, query by query."""
        rankings = [
            Ranking(
                query=query,
                hits=tuple(
                    ScoredDocument(document=self.documents[row], score=float(-at)) for at, row in enumerate(rows)
                ),
            )
            for query, rows in zip(self.queries, found, strict=True)
        ]
        return evaluate(rankings, {q.qid: self.qrels[q.qid] for q in self.queries}, ["nDCG@10"])


def case(name: str, work: Path, *, limit: int | None) -> Case:
    """A set, its vectors from the work folder or computed into it."""
    dataset = load_beir(data_folder() / name)
    documents, qrels = list(dataset.documents()), dataset.qrels()
    queries = dataset.queries_of(qrels)[:limit]
    encoder, file = TokenEncoder(model="all-minilm-l6-v2"), work / f"{name.replace('/', '-')}.npz"
    if not file.is_file():
        work.mkdir(parents=True, exist_ok=True)
        said = encoder.encode([document.full_text for document in documents], role="document")
        np.savez(file, values=said.values.astype(np.float16), starts=said.starts)
    kept: Any = np.load(file, allow_pickle=False)
    said = TokenVectors(values=kept["values"].astype(np.float32), starts=kept["starts"])
    asked = encoder.encode([query.text for query in queries], role="query")
    return Case(documents=documents, queries=queries, qrels=qrels, said=said, asked=asked)


def exact(one: Case) -> list[list[int]]:
    """The best rows of each query by brute force."""
    filled = np.flatnonzero(np.diff(one.said.starts))
    found = []
    for place in range(len(one.asked)):
        similar = one.said.values @ one.asked.row(place).T
        best = np.maximum.reduceat(similar, one.said.starts[filled], axis=0).sum(axis=1)
        found.append(filled[np.lexsort((filled, -best))[:K]].tolist())
    return found


def recall(found: Sequence[Sequence[int]], best: Sequence[Sequence[int]]) -> float:
    """Share of the ten best that are among the ten first found."""
    return float(np.mean([len({*f[:10]} & {*b[:10]}) / 10 for f, b in zip(found, best, strict=True)]))


def stored(one: Case, folder: Path, *, dim: int | None, bits: Bits) -> tuple[TokenStore, float]:
    """The set's vectors on disk, and the seconds that it took."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = perf_counter()
    values, n = one.said.values, len(one.said.values)
    sample = values[np.random.default_rng(0).permutation(n)[: 32 * n_centroids(n)]]
    codec = ResidualCodec.learn(sample, n_vectors=n, bits=bits, dim=dim)
    with TokenWriter(folder, codec) as writer:
        for start in range(0, len(one.said), 256):
            span = one.said.starts[start : start + 257]
            writer.add(codec.encode(values[span[0] : span[-1]]), np.diff(span).tolist())
    seconds = perf_counter() - begun
    return TokenStore.read(folder, n=len(one.said), turned=codec.axes is not None), seconds


def searched(store: TokenStore, one: Case, *, probes: int, rescored: int) -> tuple[list[list[int]], float]:
    """Rows of each query, best first, and seconds in all."""
    found, begun = [], perf_counter()
    for place in range(len(one.asked)):
        rows, scores = store.search(one.asked.row(place), k=K, probes=probes, rescored=rescored)
        found.append(rows[np.lexsort((rows, -scores))[:K]].tolist())
    return found, perf_counter() - begun


class FastPlaid(Peer):
    """fast-plaid on vectors turned to the axes of a store."""

    def __init__(self, python: str, one: Case, store: TokenStore, work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        file = work / "vectors.npz"
        arrays: dict[str, NDArray[Any]] = {}
        for side, vectors in (("documents", one.said), ("queries", one.asked)):
            arrays |= {f"{side}_values": store.codec.turn(vectors.values), f"{side}_starts": vectors.starts}
        np.savez(file, **arrays)  # type: ignore[arg-type]
        super().__init__(python, "late_peer.py", str(file), str(work / "index"), str(store.codec.bits))
        self.build_seconds = float(self.told["build_seconds"])
        self.bytes = sum(each.stat().st_size for each in (work / "index").rglob("*") if each.is_file())

    def searched(self, *, probes: int, rescored: int) -> tuple[list[list[int]], float]:
        """The same as ours."""
        told = self.ask(n_full_scores=rescored, n_ivf_probe=probes, k=K)
        return told["found"], told["seconds"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every way to keep and to search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", default="scifact")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="of each search; the fastest is told")
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has fast-plaid")
    parser.add_argument("--work", type=Path, default=Path("build/late"))
    parser.add_argument("--record", action=Record, help="append to results/late_interaction.jsonl")
    options = parser.parse_args(arguments)
    one = case(options.set, options.work, limit=options.queries)
    best = exact(one)
    n = len(one.documents)
    tell(options, {"system": "brute force, float32", "nDCG@10": one.ndcg(best), "bytes": one.said.values.nbytes // n})
    for dim, bits in [SHIPPED] if options.peer else WAYS:
        folder = options.work / f"{options.set.replace('/', '-')}-{dim}-{bits}"
        store, built = stored(one, folder, dim=dim, bits=bits)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        ours = {"dim": store.codec.dim, "bits": bits, "bytes": size // n, "build_seconds": round(built, 2)}
        found, _ = searched(store, one, probes=1, rescored=n)
        tell(options, {"system": "all scored", **ours, "nDCG@10": one.ndcg(found), "recall": recall(found, best)})
        if (dim, bits) != SHIPPED:
            continue
        looked(options, one, best, store, ours)
        if options.peer:
            with FastPlaid(options.peer, one, store, options.work / "peer") as peer:
                beside(options, one, best, store, peer, n)
    return 0


def looked(
    options: argparse.Namespace, one: Case, best: list[list[int]], store: TokenStore, ours: dict[str, Any]
) -> None:
    """Our search, by how much it looks at."""
    for probes, rescored in LOOKS:
        times = []
        for _ in range(options.rounds):
            found, seconds = searched(store, one, probes=probes, rescored=rescored)
            times.append(seconds)
        line = {"system": "searched", **ours, "probes": probes, "rescored": rescored, "nDCG@10": one.ndcg(found)}
        tell(options, line | {"recall": recall(found, best), "qps": round(len(one.queries) / min(times), 1)})


def beside(
    options: argparse.Namespace, one: Case, best: list[list[int]], store: TokenStore, peer: FastPlaid, n: int
) -> None:
    """Both searches in turn, at the same number of probes and candidates."""
    for probes, rescored in LOOKS:
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(searched(store, one, probes=probes, rescored=rescored)[1])
            found, seconds = peer.searched(probes=probes, rescored=rescored)
            theirs.append(seconds)
        line = {"system": "fast-plaid", "bits": store.codec.bits, "dim": store.codec.dim, "bytes": peer.bytes // n}
        line |= {"build_seconds": round(peer.build_seconds, 2), "probes": probes, "rescored": rescored}
        line |= {"nDCG@10": one.ndcg(found), "recall": recall(found, best)}
        line |= {"qps": round(len(one.queries) / min(theirs), 1), "ours_faster": round(min(theirs) / min(ours), 2)}
        tell(options, line)


def tell(options: argparse.Namespace, line: dict[str, Any]) -> None:
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
    print(json.dumps(rounded), flush=True)
    if options.record:
        record("late_interaction", {"set": options.set, "queries": options.queries, **rounded})


if __name__ == "__main__":
    sys.exit(main())
