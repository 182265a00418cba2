"""faiss by hand, usearch or LanceDB over the vectors of `benchmarks.million_vectors`, in an interpreter of its own.

Called as PYTHON million_vectors_peer.py WAY PASSAGES.npy QUERIES.npy. It builds on all cores and says what that took, then
answers a line of JSON with another: each query alone, on one thread where the library lets one say so.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from math import isqrt
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from turns import peak_bytes, timed

Search = Callable[[Any, int], list[int]]
CELLS_ASKED = 1 / 16
REFINED = 10
"""Candidates scored anew by their vectors, for each hit."""


def with_faiss(way: str, vectors: Any, place: Path) -> Search:
    import faiss

    n, dim = vectors.shape
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    if way == "faiss flat":
        index: Any = faiss.IndexFlatIP(dim)
    elif way == "faiss hnsw":
        index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        index.hnsw.efSearch = 128
    else:
        cells = min(4096, isqrt(n))
        parts = next(parts for parts in range(dim // 4, 0, -1) if dim % parts == 0)
        codes = faiss.IndexIVFPQ(faiss.IndexFlatIP(dim), dim, cells, parts, 8, faiss.METRIC_INNER_PRODUCT)
        codes.nprobe = max(1, int(cells * CELLS_ASKED))
        sample = np.random.default_rng(0).permutation(n)[: 64 * cells]
        codes.train(np.ascontiguousarray(vectors[np.sort(sample)]))
        index = faiss.IndexRefineFlat(codes)
        index.k_factor = REFINED
    index.add(np.ascontiguousarray(vectors))
    faiss.write_index(index, str(place / "index"))
    faiss.omp_set_num_threads(1)
    return lambda query, k: index.search(query[None], k)[1][0].tolist()


def with_usearch(way: str, vectors: Any, place: Path) -> Search:
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32" if way.endswith("float32") else "i8")
    index.add(np.arange(len(vectors)), np.ascontiguousarray(vectors))
    index.save(str(place / "index"))
    return lambda query, k: [int(key) for key in index.search(query, k, threads=1).keys]


def with_lancedb(way: str, vectors: Any, place: Path) -> Search:
    import lancedb
    import pyarrow as pa

    n, dim = vectors.shape

    def batches() -> Any:
        for start in range(0, n, 1 << 16):
            block = np.ascontiguousarray(vectors[start : start + (1 << 16)])
            rows = pa.array(np.arange(start, start + len(block)))
            yield pa.record_batch(
                [rows, pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), dim)], names=["row", "vector"]
            )

    schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])
    table = lancedb.connect(str(place)).create_table("vectors", batches(), schema=schema)
    cells = min(4096, isqrt(n))
    table.create_index(metric="dot", num_partitions=cells, num_sub_vectors=dim // 4, index_type="IVF_PQ")

    def search(query: Any, k: int) -> list[int]:
        asked = table.search(query).distance_type("dot").limit(k).nprobes(max(1, int(cells * CELLS_ASKED)))
        return [int(row) for row in asked.refine_factor(REFINED).select(["row"]).to_arrow()["row"].to_pylist()]

    return search


def main() -> None:
    way, passages, queries = sys.argv[1:]
    vectors = np.load(passages, mmap_mode="r")
    engines = {"faiss": with_faiss, "usearch": with_usearch, "lancedb": with_lancedb}
    with tempfile.TemporaryDirectory(dir=Path(passages).parent) as folder:
        begun = perf_counter()
        search = engines[way.split()[0]](way, vectors, Path(folder))
        seconds = perf_counter() - begun
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        peak = peak_bytes()
        print(json.dumps({"seconds": seconds, "peak_bytes": peak, "bytes": size}), flush=True)
        for line in sys.stdin:
            k, asked, rows = json.loads(line)["k"], np.load(queries), {}

            def ask(place: int, k: int = k, asked: Any = asked, rows: dict[int, list[int]] = rows) -> None:
                rows[place] = search(asked[place], k)

            print(
                json.dumps({**timed(ask, len(asked)), "rows": [rows[place] for place in range(len(asked))]}), flush=True
            )


main()
