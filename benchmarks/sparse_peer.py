"""Seismic on given weighted terms, in an interpreter of its own: ragline does not need it.

Called by `benchmarks.sparse_speed` as PYTHON sparse_peer.py WEIGHTS.npz N_POSTINGS ENERGY; answers on standard output, a
line of JSON for each line that comes in: {"k": 10, "query_cut": 10, "heap_factor": 0.9, "batch": false}. A batch is
timed, and its hits are not told: they come in the order in which they were done.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"


def main() -> None:
    import numpy as np
    import seismic

    file, n_postings, energy = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    given: Any = np.load(file, allow_pickle=False)
    kind = seismic.get_seismic_string()

    def rows(side: str) -> list[tuple[Any, Any]]:
        names, weights = given[f"{side}_tokens"].astype(kind), given[f"{side}_weights"]
        bounds = given[f"{side}_starts"].tolist()
        return [(names[a:b], weights[a:b]) for a, b in pairwise(bounds)]

    documents = rows("documents")
    begun = perf_counter()
    dataset = seismic.SeismicDataset()
    for row, (terms, weights) in enumerate(documents):
        dataset.add_document(str(row), terms, weights)
    index = seismic.SeismicIndex.build_from_dataset(dataset, n_postings=n_postings, summary_energy=energy)
    seconds = perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        index.save(f"{folder}/index")
        size = sum(each.stat().st_size for each in Path(folder).iterdir())
    print(json.dumps({"build_seconds": seconds, "bytes": size}), flush=True)
    queries = rows("queries")
    ids = np.array([str(place) for place in range(len(queries))], dtype=kind)
    for line in sys.stdin:
        asked = json.loads(line)
        how = {name: asked[name] for name in ("k", "query_cut", "heap_factor")}
        found: list[Any] = []
        begun = perf_counter()
        if asked["batch"]:
            index.batch_search(ids, [terms for terms, _ in queries], [w for _, w in queries], num_threads=1, **how)
        else:
            found = [index.search(ids[place], *query, **how) for place, query in enumerate(queries)]
        seconds = perf_counter() - begun
        print(json.dumps({"seconds": seconds, "found": [[int(hit[2]) for hit in hits] for hits in found]}), flush=True)


if __name__ == "__main__":
    main()
