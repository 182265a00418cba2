"""fast-plaid on given token vectors, in an interpreter of its own: it wants a torch that ragline does not.

Called by `benchmarks.late_interaction` as PYTHON late_peer.py VECTORS.npz WORK BITS; answers on standard output, a line
of JSON for each line that comes in: {"n_full_scores": 256, "n_ivf_probe": 16, "k": 100}.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any


def main() -> None:
    import numpy as np
    import torch
    from fast_plaid import search

    file, work, bits = sys.argv[1:4]
    given: Any = np.load(file, allow_pickle=False)
    documents, queries = (
        [torch.from_numpy(part) for part in np.split(given[f"{side}_values"], given[f"{side}_starts"][1:-1])]
        for side in ("documents", "queries")
    )
    begun = perf_counter()
    index: Any = search.FastPlaid(index=work, device="cpu")
    index.create(documents_embeddings=documents, nbits=int(bits))
    print(json.dumps({"build_seconds": perf_counter() - begun}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        begun = perf_counter()
        found = [
            index.search(
                queries_embeddings=[query],
                top_k=asked["k"],
                n_full_scores=asked["n_full_scores"],
                n_ivf_probe=asked["n_ivf_probe"],
                show_progress=False,
            )[0]
            for query in queries
        ]
        seconds = perf_counter() - begun
        print(json.dumps({"seconds": seconds, "found": [[row for row, _ in hits] for hits in found]}), flush=True)


if __name__ == "__main__":
    main()
