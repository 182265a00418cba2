"""One index in a directory and on servers: seconds to build and send, p50 of single questions, and whether rankings agree.

Two rankings agree where their scores do to five digits, and where every document that both do not have ties with the last.
Servers here are libraries in this process, written in Python: their seconds say nothing of a server's.

    RAGLINE_EVAL_DATA=... python -m plugins.servers.benchmarks.index_servers [SET] [--limit N] [--address ADDRESS ...]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.make_samples import data_folder
from rag import build_index
from rag.evaluate import load_beir
from rag.indexes import Index, IndexSettings, open_index
from rag.stages import FUSERS
from rag.types import Query, Ranking
from retrievers import RETRIEVERS

K = 10


def agree(here: Ranking, there: Ranking) -> bool:
    """Whether two rankings are the same up to ties."""
    scores = [[hit.score for hit in ranking.hits] for ranking in (here, there)]
    if len(scores[0]) != len(scores[1]):
        return False
    if any(abs(one - other) > 1e-5 * max(1.0, abs(one)) for one, other in zip(*scores, strict=True)):
        return False
    of_one = {hit.doc_id: hit.score for hit in (*here.hits, *there.hits)}
    last = scores[0][-1] if scores[0] else 0.0
    alone = {hit.doc_id for hit in here.hits} ^ {hit.doc_id for hit in there.hits}
    return all(abs(of_one[doc_id] - last) <= 1e-5 * max(1.0, abs(last)) for doc_id in alone)


def asked(index: Index, queries: Sequence[Query]) -> tuple[dict[str, list[Ranking]], dict[str, float]]:
    """Rankings by way, and the median of seconds of one question."""
    rankings: dict[str, list[Ranking]] = {}
    seconds: dict[str, float] = {}
    as_asked = {
        "bm25": {"near": False}
    }  # a server does not tell its words, so nothing near to them is looked for there
    for name in ("bm25", "dense"):
        retriever = RETRIEVERS.get(name)(index=index, **as_asked.get(name, {}))
        retriever.retrieve(queries[:1], k=K)
        spent = []
        for query in queries:
            start = perf_counter()
            rankings.setdefault(name, []).extend(retriever.retrieve([query], k=K))
            spent.append(perf_counter() - start)
        seconds[name] = median(spent)
    fuse = FUSERS.get("rrf")()
    pairs = zip(rankings["bm25"], rankings["dense"], strict=True)
    rankings["hybrid"] = [fused for pair in pairs for fused in fuse.fuse(list(pair), k=K)]
    return rankings, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", default="cranfield")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--address", action="append", default=[])
    given = parser.parse_args()
    dataset = load_beir(data_folder() / given.set)
    queries = dataset.queries_of(dataset.qrels())[: given.limit]
    with tempfile.TemporaryDirectory() as folder:
        places: list[str] = [
            str(Path(folder) / "index"),
            f"milvus+lite://{folder}/milvus.db/bench",
            f"qdrant+local://{folder}/qdrant/bench",
            *given.address,
        ]
        reference: dict[str, list[Ranking]] = {}
        for place in places:
            report = build_index(dataset.corpus, place, settings=IndexSettings().judging_documents())
            with open_index(place) as index:
                rankings, seconds = asked(index, queries)
            reference = reference or rankings
            same = {name: sum(map(agree, reference[name], found)) for name, found in rankings.items()}
            told = ", ".join(f"{name} {1000 * each:.1f} ms" for name, each in seconds.items())
            print(
                f"{place.replace(folder, '')}: {report.n_units:,} documents; built {sum(report.seconds.values()):.1f} s,"
            )
            print(f"  of it sent {report.seconds['publish']:.1f} s; p50 {told}; agree of {len(queries)}: {same}")


if __name__ == "__main__":
    main()
