"""What backbones are asked: questions that teach and others that are asked, over some passages of a set."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks.make_samples import SEED, data_folder
from rag.core.trec import Qrels
from rag.core.types import Document, Query
from rag.evaluate import load_beir

_SIZES = {"clapnq": (160, 40, 200), "codebase-chunks": (80, 40, 120), "scifact": (0, 40, 120), "time": (0, 40, 60)}
"""Set -> questions that teach, questions that are asked, passages."""
_IN_TWO = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`answers`: the row of `documents` that answers each question of `taught`."""

    name: str
    documents: Sequence[Document]
    asked: Sequence[Query]
    taught: Sequence[Query]
    answers: Sequence[int]
    qrels: Qrels


@cache
def task(name: str, size: float = 1.0) -> Task:
    """Questions drawn by chance, always the same; their passages, then others, up to a number.

    Fewer passages make every figure higher. A question is left out where its passages would be more than there is room for.
    """
    n_taught, n_asked, most = (round(size * n) for n in _SIZES[name])
    dataset = load_beir(data_folder() / name)
    qrels = dataset.qrels()
    everything = list(dataset.documents())
    queries = dataset.queries_of(qrels)
    random.Random(f"{SEED}:backbones:{name}").shuffle(queries)
    wanted: dict[str, None] = {}
    kept = list[Query]()
    for query in queries:
        relevant = [doc_id for doc_id, grade in qrels[query.qid].items() if grade > 0]
        if len(kept) < n_asked + n_taught and len(wanted.keys() | set(relevant)) <= most:
            wanted |= dict.fromkeys(relevant)
            kept.append(query)
    others = [each.doc_id for each in everything if each.doc_id not in wanted]
    random.Random(f"{SEED}:backbones:{name}:others").shuffle(others)
    chosen = {*wanted, *others[: max(0, most - len(wanted))]}
    documents = [each for each in everything if each.doc_id in chosen]
    row = {each.doc_id: place for place, each in enumerate(documents)}
    taught = kept[n_asked:]
    return Task(
        name=name,
        documents=documents,
        asked=kept[:n_asked],
        taught=taught,
        answers=[row[max(qrels[query.qid], key=lambda doc_id: qrels[query.qid][doc_id])] for query in taught],
        qrels=qrels,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InTwoLanguages:
    """Questions in English, and of each the passage that answers it, in English and in German."""

    queries: Sequence[Query]
    documents: Mapping[str, Sequence[Document]]


@cache
def in_two_languages(size: float = 1.0) -> InTwoLanguages:
    """Of xquad, whose passages are parallel: questions drawn by chance, a passage each."""
    sets = {language: load_beir(data_folder() / "xquad" / language) for language in ("en", "de")}
    qrels = sets["en"].qrels()
    queries = sets["en"].queries_of(qrels)
    random.Random(f"{SEED}:backbones:xquad").shuffle(queries)
    chosen: dict[str, Query] = {}
    for query in queries:
        chosen.setdefault(next(doc_id for doc_id, grade in qrels[query.qid].items() if grade > 0), query)
    ids = list(chosen)[: round(size * _IN_TWO)]
    documents = {language: {each.doc_id: each for each in found.documents()} for language, found in sets.items()}
    return InTwoLanguages(
        queries=[chosen[doc_id] for doc_id in ids],
        documents={language: [of[doc_id] for doc_id in ids] for language, of in documents.items()},
    )
