"""The sets of the table of methods: queries, judgements, first stages and measures. Indexes stay in the work folder.

scifact, cranfield, cosqa, toollens   bm25 and the built-in hybrid over the whole corpus
trec-dl19-run                         the run that came with the set, judged with all judgements: for rerankers
trec-dl19-pool                        the pool, judged with the pool's judgements: for what searches itself
cosqa-300                             300 functions, as they are and rewritten, by words and by vectors
backtracing-lecture-300               300 sentences of one lecture
backtracing-news                      all articles, each question over the sentences of its own
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.code_style import name_idf
from benchmarks.make_samples import SAMPLES, data_folder
from rag.core.lines import records
from rag.core.protocols import Retriever
from rag.core.trec import Qrels
from rag.core.types import Query, Ranking
from rag.evaluate.beir import Dataset, load_beir
from rag.evaluate.measures import evaluate
from rag.indexing import build_index
from rag.stages.fuse import WeightedFuser
from ragline_recipes.mean_of_parts import write_folder
from ragline_recipes.rewrite_code import RewriteCodeTransform
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.run import RunRetriever

First = Callable[[Sequence[Query]], list[Ranking]]

FIRSTS = {
    "bm25": ("retrieve.bm25",),
    "hybrid": ("retrieve.bm25", "retrieve.dense", "fuse.weighted"),
    "shipped": ("retrieve.run",),
    "bm25-rewritten": ("retrieve.bm25",),
    "dense": ("retrieve.dense",),
    "dense-rewritten": ("retrieve.dense",),
}
"""First stage -> what it is made of."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the table says of a set without opening it. The first of `measures` is the one that is tested."""

    name: str
    kinds: tuple[str, ...]
    firsts: tuple[str, ...] = ("bm25", "hybrid")
    baselines: Mapping[str, str] | None = None
    measures: tuple[str, ...] = ("nDCG@10",)
    sample: str = ""
    folder: str = ""
    judgements: str = "test"
    late: bool = False

    def baseline(self, first: str) -> str:
        """The first stage that results over `first` are compared with."""
        return (self.baselines or {}).get(first, first)


SETS = {
    declared.name: declared
    for declared in (
        Declared(name="scifact", kinds=("rerank", "reformulate", "retrieve")),
        Declared(name="cranfield", kinds=("rerank", "reformulate", "retrieve")),
        Declared(name="cosqa", kinds=("rerank", "reformulate", "retrieve")),
        Declared(name="toollens", kinds=("rerank", "reformulate", "retrieve"), measures=("nDCG@10", "AllRelevant@10")),
        Declared(
            name="trec-dl19-run",
            kinds=("rerank",),
            firsts=("shipped",),
            sample="trec-dl19-pool",
            folder="trec-dl19-pool",
            judgements="full",
        ),
        Declared(name="trec-dl19-pool", kinds=("reformulate", "retrieve")),
        Declared(
            name="cosqa-300",
            kinds=("rewrite",),
            firsts=("bm25", "bm25-rewritten", "dense", "dense-rewritten"),
            baselines={"bm25-rewritten": "bm25", "dense-rewritten": "dense"},
            folder="cosqa",
            late=True,
        ),
        Declared(
            name="backtracing-lecture-300",
            kinds=("backtrace",),
            firsts=("bm25",),
            measures=("Success@1", "Success@3"),
            folder="backtracing-lecture",
            late=True,
        ),
        Declared(
            name="backtracing-news",
            kinds=("backtrace",),
            firsts=("bm25",),
            measures=("Success@1", "Success@3"),
            late=True,
        ),
    )
}


class Bench:
    """An opened set: what is asked, in drawn order, and how it is searched and judged."""

    def __init__(
        self,
        declared: Declared,
        work: Path,
        *,
        rewriting: Callable[[], RewriteCodeTransform],
        rewritten_by: Mapping[str, Any],
        queries: int,
        hits: int,
        vectors: bool = True,
    ) -> None:
        self.declared, self._hits = declared, hits
        self._rewriting, self._rewritten_by = rewriting, rewritten_by
        self._legs = ("lexical", "dense") if vectors else ("lexical",)
        self._original = load_beir(
            data_folder() / (declared.folder or declared.name),
            within="group" if "backtrace" in declared.kinds else None,
        )
        sample = json.loads((SAMPLES / f"{declared.sample or declared.name}.json").read_text(encoding="utf-8"))
        by_qid = {query.qid: query for query in self._original.queries}
        self._doc_ids: list[str] = sample.get("doc_ids", [])
        # Sets over one corpus share its index.
        self._work = work / (declared.name if self._doc_ids else self._original.name)
        self.queries = [by_qid[qid] for qid in sample["qids"][:queries]]
        judged = self._original.qrels(declared.judgements)
        known = set(self._doc_ids)
        self.qrels: Qrels = {
            query.qid: {d: grade for d, grade in judged[query.qid].items() if not known or d in known}
            for query in self.queries
        }

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def data(self) -> tuple[Path, ...]:
        """The files of the set, and the sample where it names the documents."""
        sample = SAMPLES / f"{self.declared.sample or self.name}.json"
        return self._original.folder, *([sample] if self._doc_ids else [])

    @cached_property
    def dataset(self) -> Dataset:
        """The set itself, or the part of its corpus that the sample names."""
        if not self._doc_ids:
            return self._original
        return self._kept(self._work / "corpus", dict.fromkeys(self._doc_ids))

    @cached_property
    def index(self) -> LocalIndex:
        """Both legs of the corpus, or that of words where no other is asked, built once in the work folder."""
        place = self._work / ("index" if len(self._legs) > 1 else "words")
        build_index(self.dataset.corpus, place, settings=IndexSettings().judging_documents(), legs=self._legs)
        return LocalIndex.open(place)

    @cached_property
    def rewrites(self) -> Mapping[str, str]:
        """doc_id -> what legs read of the function after rewriting; what was written before is not written again."""
        written = self._rewriting().transform(list(self.dataset.documents()))
        return {document.doc_id: document.index_text for document in written}

    @cached_property
    def rewritten(self) -> LocalIndex:
        """Legs over the rewritten corpus; a vector is half of the function as it is, and half of what was written."""
        assert self.rewrites, "so that a build finds all of them written"
        encoder = self._work / "mean-of-parts"
        if not encoder.exists():
            [(name, _)] = self.index.model_names(("dense",))
            write_folder(name, encoder)
        said = {"dense": {"encoder": str(encoder)}, "transforms": [dict(self._rewritten_by)]}
        settings = IndexSettings.model_validate(said).judging_documents()
        build_index(self.dataset.corpus, self._work / "rewritten-index", settings=settings, legs=self._legs)
        return LocalIndex.open(self._work / "rewritten-index")

    @cached_property
    def qrels_file(self) -> Path:
        """The judgements as a TREC file."""
        path = self._work / f"{self.name}.qrels.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{qid} 0 {d} {grade}" for qid, grades in self.qrels.items() for d, grade in grades.items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def first(self, name: str) -> First:
        """One of the first stages: queries, of which several may share a qid, -> a ranking each."""
        if name == "hybrid":
            return self._hybrid
        made: dict[str, Callable[[], Retriever]] = {
            "bm25": lambda: BM25Retriever(index=self.index),
            "bm25-rewritten": lambda: BM25Retriever(index=self.rewritten),
            "dense": lambda: DenseRetriever(index=self.index),
            "dense-rewritten": lambda: DenseRetriever(index=self.rewritten),
            "shipped": lambda: RunRetriever(run=str(self._original.folder / "bm25_top100.trec"), index=self.index),
        }
        retriever = made[name]()
        return lambda queries: [replace(r, source=name) for r in retriever.retrieve(queries, k=self._hits)]

    def wanted(self, qid: str, first: str) -> list[str]:
        """The texts that a query asks for: of the rewritten corpus, what was written for each."""
        judged = {doc_id for doc_id, grade in self.qrels[qid].items() if grade > 0}
        texts = {d.doc_id: d.index_text for d in self.dataset.documents() if d.doc_id in judged}
        if first.endswith("-rewritten"):  # one rewrite behind the function itself
            written = (self.rewrites[doc_id].removeprefix(text).strip() for doc_id, text in texts.items())
            return [program for program in written if program]
        return list(texts.values())

    @cached_property
    def names(self) -> Mapping[str, float]:
        """Inverse document frequency of every name in the functions of the set, as they are before any rewriting."""
        return name_idf(document.index_text for document in self.dataset.documents())

    def _hybrid(self, queries: Sequence[Query]) -> list[Ranking]:
        """The built-in graph `hybrid`, each query by itself."""
        fuser = WeightedFuser(norm="z_score", weights={"bm25": 0.3, "dense": 0.7})
        lexical = BM25Retriever(index=self.index).retrieve(queries, k=self._hits)
        dense = DenseRetriever(index=self.index).retrieve(queries, k=self._hits)
        pairs = zip(lexical, dense, strict=True)
        return [
            fuser.fuse([replace(one, source="bm25"), replace(other, source="dense")], k=self._hits)[0]
            for one, other in pairs
        ]

    def measured(self, ranking: Ranking) -> dict[str, float]:
        """Every measure of the set for one query."""
        judged, order = {ranking.qid: self.qrels[ranking.qid]}, {ranking.qid: ranking.doc_ids}
        found = evaluate(order, judged, self.declared.measures).measures
        return {name: round(value, 6) for name, value in found.items()}

    def _kept(self, folder: Path, texts: Mapping[str, str | None]) -> Dataset:
        """A data set of the documents named, with another text where one is given, in the order of the corpus."""
        folder.mkdir(parents=True, exist_ok=True)
        (source,) = self._original.corpus
        kept = [record for _, record in records(source) if str(record["_id"]) in texts]
        for record in kept:
            record["text"] = texts[str(record["_id"])] or record["text"]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        (folder / "corpus.jsonl").write_text(text, encoding="utf-8")
        return load_beir(folder)
