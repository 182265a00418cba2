"""Photos and articles in one index: what a list of pictures costs questions about texts, and what it gives captions.

The dev photos of COCO, without a word, beside the documents of a text set. Words, vectors and pictures are fused as the built-in
hybrid graph does, the pictures at several shares; 0 is the graph as it is for texts.

    RAGLINE_EVAL_DATA=... python -m plugins.media.benchmarks.beside_text [SET] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from plugins.media.benchmarks.bed import pictures, records
from rag import build_index
from rag.evaluate import evaluate, load_beir
from rag.indexes import LocalIndex
from rag.ranking import completed
from rag.stages.fuse import WeightedFuser
from rag.types import Query, Ranking
from ragline_media.leg.retriever import PicturesRetriever
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever

NAME = "pictures_beside_text"
SHARES = (0.0, 0.5, 1.0, 1.5, 2.0)
DEPTH = 100


def written(home: Path, name: str, limit: int | None) -> tuple[Path, dict[str, list[str]]]:
    """An index of both, and the captions of each photo by its doc_id."""
    dev = [item for item in records("coco") if item["split"] == "dev"][:limit]
    photos = home / "photos"
    photos.mkdir()
    for item, data in zip(dev, pictures("coco", dev), strict=True):
        (photos / item["media"]).write_bytes(data)
    build_index([photos, data_folder() / name], home / "idx")
    return home / "idx", {f"photos/{item['media']}": item["captions"]["en"] for item in dev}


def lists(index: LocalIndex, queries: Sequence[Query]) -> list[Ranking]:
    """What words, vectors and pictures find, each list with the true scores of what the others found."""
    made = {
        "bm25": BM25Retriever(index=index),
        "dense": DenseRetriever(index=index),
        "pictures": PicturesRetriever(index=index),
    }
    found = []
    for source, retriever in made.items():
        for ranking in retriever.retrieve(queries, k=DEPTH):
            found.append(Ranking(query=ranking.query, hits=ranking.hits, source=source, outcome=ranking.outcome))
    return completed(found, made)


def fused(some: Sequence[Ranking], share: float) -> list[Ranking]:
    """By the weights of the built-in graph, and the pictures beside."""
    weights = {"bm25": 0.3, "dense": 0.7} | ({"pictures": share} if share else {})
    return WeightedFuser(norm="corpus", weights=weights).fuse([r for r in some if r.source in weights], k=DEPTH)


def rows(path: Path, name: str, captions: dict[str, list[str]], limit: int | None) -> Iterator[dict[str, Any]]:
    """A line for each share."""
    dataset = load_beir(data_folder() / name)
    qrels = dataset.qrels("test")
    asked = dataset.queries_of(qrels)[:limit]
    said = [(text, photo) for photo, own in captions.items() for text in own]
    spoken = [Query(qid=f"photo-{place}", text=text) for place, (text, _) in enumerate(said)]
    with closing(LocalIndex.open(path)) as index:
        of_texts, of_photos = lists(index, asked), lists(index, spoken)
        n = len(index)
        judged = {each.qid: qrels[each.qid] for each in asked}
        for share in SHARES:
            run = fused(of_texts, share)
            quality = evaluate(run, judged, ["nDCG@10"]).measures["nDCG@10"]
            ranked = [ranking.doc_ids for ranking in fused(of_photos, share)]
            found = [photo in ids_[:5] for ids_, (_, photo) in zip(ranked, said, strict=True)]
            first = [photo in ids_[:1] for ids_, (_, photo) in zip(ranked, said, strict=True)]
            yield {
                "set": name, "share": share, "photos": len(captions), "passages": n - len(captions),
                "questions": len(asked), "ndcg@10": round(quality, 4), "captions": len(said),
                "recall@1": round(sum(first) / len(said), 3), "recall@5": round(sum(found) / len(said), 3),
            }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", nargs="?", default="cranfield", help="a set of texts (cranfield)")
    parser.add_argument("--limit", type=int, help="photos, and questions, to try it")
    parser.add_argument("--record", action=Record, help="keep the results")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home:
        path, captions = written(Path(home), given.set, given.limit)
        for line in rows(path, given.set, captions, given.limit):
            print(line, flush=True)
            if given.record:
                record(NAME, line)


if __name__ == "__main__":
    main()
