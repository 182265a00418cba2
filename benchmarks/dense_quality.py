"""nDCG@10 of the dense leg on SciFact, beside the published figure of all-MiniLM-L6-v2.

The corpus is encoded once and searched in all ways of keeping vectors. `--reference` encodes it with
sentence-transformers too (its defaults, minutes) and searches that by sorting everything. Needs the folder that
RAGLINE_EVAL_DATA names.

    python -m benchmarks.dense_quality [SET] [--compute auto] [--limit N] [--reference] [--record]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.core.ranking import ranked
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.evaluate.beir import load_beir
from rag.evaluate.measures import evaluate
from rag.models import resolve
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.legs.dense.encode_units import encode_units
from retrievers.legs.dense.leg import DenseLeg
from retrievers.legs.dense.settings import DenseSettings

MODEL = "all-minilm-l6-v2"
MEASURES = ("nDCG@10", "R@100", "AP")
DEPTH = 100
PUBLISHED = {"scifact": 0.645}
ALLOWED = 0.003
AS_GOOD_AS_REFERENCE = 0.002
KINDS = [(structure, storage) for structure in ("flat", "hnsw", "ivf_pq", "rabitq") for storage in ("float32", "int8")]


def measured(
    hits: tuple[NDArray[Any], NDArray[Any]],
    queries: Sequence[Query],
    documents: Sequence[Document],
    qrels: Mapping[str, Mapping[str, int]],
) -> dict[str, float]:
    """Means of MEASURES for rows and scores."""
    rankings = [
        Ranking(
            query=query,
            hits=ranked(ScoredDocument(document=documents[row], score=score) for row, score in zip(*pair, strict=True)),
        )
        for query, pair in zip(queries, zip(hits[0].tolist(), hits[1].tolist(), strict=True), strict=True)
    ]
    return dict(evaluate(rankings, qrels, MEASURES).measures)


def reference(texts: list[str], questions: list[str], *, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """sentence-transformers as it comes, and every score sorted."""
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(resolve(MODEL).path), device="cpu")
    scores = model.encode_query(questions) @ model.encode_document(texts, show_progress_bar=False).T
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(scores, rows, axis=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table. The exit status is 1 if exact search is further from what it is compared with than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", default="scifact")
    parser.add_argument("--compute", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--limit", type=int, help="only the first N documents; then nothing is compared")
    parser.add_argument("--reference", action="store_true", help="also with sentence-transformers")
    parser.add_argument("--record", action=Record, help="append to results/dense_quality.jsonl")
    options = parser.parse_args(arguments)
    data = data_folder() / options.set
    dataset = load_beir(data)
    documents = list(islice(dataset.documents(), options.limit))
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)
    texts, questions = [d.index_text for d in documents], [q.text for q in queries]
    k = min(DEPTH, len(documents))

    encoder = SentenceEncoder(model=MODEL, compute=options.compute)
    rows: dict[str, dict[str, float]] = {}
    recalls: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        begun = perf_counter()
        vectors = encode_units(texts, encoder=encoder, work=Path(folder) / "work").vectors
        seconds = perf_counter() - begun
        asked = encoder.encode(questions, role="query")
        for structure, storage in KINDS:
            name = f"{structure} {storage}"
            settings = DenseSettings(structure=structure, storage=storage)
            place = Path(folder) / name.replace(" ", "-")
            facts = DenseLeg.build(vectors, place, settings=settings)
            rows[name] = measured(DenseLeg.open(place, facts).search(asked, k=k), queries, documents, qrels)
            recalls[name] = facts.get("recall_at_10")
    if options.reference:
        rows["sentence-transformers"] = measured(reference(texts, questions, k=k), queries, documents, qrels)

    print(f"{options.set}: {len(documents)} documents, {len(queries)} queries, {encoder.compute}, {seconds:.0f} s")
    print(f"{'':24}" + "".join(f"{name:>9}" for name in MEASURES) + f"{'recall@10 of neighbours':>26}")
    for name, found in rows.items():
        recall = recalls.get(name)
        print(f"{name:24}" + "".join(f"{found[m]:9.4f}" for m in MEASURES) + (f"{recall:26.4f}" if recall else ""))
    exact = rows["flat float32"]["nDCG@10"]
    limits = {}
    if options.limit is None and options.set in PUBLISHED:
        limits["published"] = (PUBLISHED[options.set], ALLOWED)
    if options.reference:
        limits["sentence-transformers"] = (rows["sentence-transformers"]["nDCG@10"], AS_GOOD_AS_REFERENCE)
    for name, (value, allowed) in limits.items():
        print(f"nDCG@10 {exact:.4f}, {name} {value:.4f}, difference {exact - value:+.4f}, allowed {allowed}")
    if options.record:
        record(
            "dense_quality",
            {
                "set": options.set,
                "documents": len(documents),
                "queries": len(queries),
                "model": MODEL,
                "compute": encoder.compute,
                "encode_seconds": seconds,
                "measures": rows,
                "recall_at_10": recalls,
            },
        )
    return 1 if any(abs(exact - value) > allowed for value, allowed in limits.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
