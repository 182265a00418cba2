"""Candidates of a sample's queries: the library's BM25 over title and text, or the run that came with the set."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.make_samples import SEED, load, read_sample
from rag.core.progress import silent
from rag.core.ranking import ranked
from rag.core.trec import read_run
from rag.core.types import Query, Ranking, ScoredDocument
from rag.evaluate.beir import Dataset
from rag.evaluate.graph_evaluation import cached_index
from rag.graph.load import load_spec
from rag.pipeline import load_pipeline
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.index.directory import LocalIndex
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings


@dataclass(frozen=True, kw_only=True)
class Job:
    """One set: what is asked, what the first stage found, and how it is judged."""

    name: str
    rankings: Sequence[Ranking]
    qrels: Mapping[str, Mapping[str, int]]


def prepare(name: str, *, depth: int, limit: int | None, stage: Literal["bm25", "hybrid"] = "bm25") -> Job:
    """The first `limit` queries of a set's committed sample; all judged queries of the set when None.

    `hybrid` is the built-in graph of that name, over an index that is kept in the cache folder.
    """
    dataset, qrels = load(name)
    by_qid = {query.qid: query for query in dataset.queries}
    qids = sorted(qid for qid in qrels if max(qrels[qid].values()) > 0) if limit is None else read_sample(name)[:limit]
    queries = [by_qid[qid] for qid in qids]
    found = hybrid_stage(dataset, queries, depth) if stage == "hybrid" else first_stage(dataset, queries, depth)
    return Job(name=name, rankings=found, qrels={qid: qrels[qid] for qid in qids})


def hybrid_stage(dataset: Dataset, queries: Sequence[Query], depth: int) -> list[Ranking]:
    """One ranking per query by the built-in graph `hybrid`, at most `depth` hits."""
    with hybrid_index(dataset) as index, load_pipeline("hybrid", index=index) as pipeline:
        return pipeline.search_batch(queries, k=depth)


def hybrid_index(dataset: Dataset) -> AbstractContextManager[LocalIndex]:
    """The set's index for the built-in graph `hybrid`, kept in the cache folder."""
    spec = load_spec("hybrid")
    return cached_index(dataset, spec.graph, spec.graph.index)


def shuffled(ranking: Ranking) -> Ranking:
    """The same hits in an order that depends on the query alone."""
    hits = list(ranking.hits)
    random.Random(f"{SEED}:{ranking.qid}").shuffle(hits)
    return replace(ranking, hits=tuple(hits))


def first_stage(dataset: Dataset, queries: Sequence[Query], depth: int) -> list[Ranking]:
    """One ranking per query, at most `depth` hits."""
    documents = list(dataset.documents())
    shipped = dataset.folder / "bm25_top100.trec"
    if shipped.is_file():
        by_id = {document.doc_id: document for document in documents}
        run = read_run(shipped)
        found = [[(by_id[doc_id], score) for doc_id, score in run[query.qid][:depth]] for query in queries]
    else:
        with tempfile.TemporaryDirectory() as folder:
            texts = (document.index_text for document in documents)
            facts = LexicalLeg.build(
                texts, Path(folder), analyzer=AnalyzerSettings(language="en"), bm25=LexicalSettings(), progress=silent
            )
            leg = LexicalLeg.open(Path(folder), facts)
            asked = [Counter(leg.analyzer.terms(query.text)) for query in queries]
            rows, scores = leg.search(asked, k=min(depth, len(documents)))
            found = [
                [(documents[row], float(score)) for row, score in zip(*each, strict=True) if row >= 0]
                for each in zip(rows, scores, strict=True)
            ]
    return [
        Ranking(query=query, hits=ranked(ScoredDocument(document=d, score=s) for d, s in hits), source="bm25")
        for query, hits in zip(queries, found, strict=True)
    ]
