"""A folder in several languages, indexed and searched by the defaults alone: `bm25` and `hybrid`, nDCG@10.

The corpora are those of `benchmarks.mixed_languages`, and `apart`: of each passage of xquad one translation alone, drawn by chance,
so that two thirds of its questions are answered in another language than they are asked in; they are those after the first
400 of each language, which the way to search was chosen on. Nothing is said of languages, encoder or fusion. Hybrid is compared
with BM25 of the same index by a paired randomisation test. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.mixed_defaults [even | uneven | apart] [--limit N] [--record]
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mixed_languages import CORPORA, MEASURE, Mixed, mixed, run
from rag.core.types import Query, Ranking
from rag.evaluate import evaluate
from rag.evaluate.comparison import compare_runs
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.settings import IndexSettings

GRAPHS = ("bm25", "hybrid")
APART = "apart"
TRANSLATED = ("xquad/en", "xquad/de", "xquad/zh")
_CHOSEN_ON = 400
"""Questions of each language that the search of several languages was chosen on."""
_SOME = 10
"""Where it is only tried: one of so many documents is kept, beside those that answer."""


def written(corpus: Mixed, folder: Path) -> Path:
    """The corpus as a file of records."""
    path = folder / "corpus.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for document in corpus.documents:
            lines.write(json.dumps({"_id": document.doc_id, "title": document.title, "text": document.text}) + "\n")
    return path


def apart(*, limit: int | None) -> Mixed:
    """`even` with one translation of each passage. Questions of xquad stand under their language and that of the passage."""
    whole = mixed(CORPORA["even"])
    drawn, kept = random.Random(0), dict[str, str]()
    for document in whole.documents:
        name, _, passage = document.doc_id.rpartition("/")
        if name in TRANSLATED and passage not in kept:
            kept[passage] = drawn.choice(TRANSLATED)
    documents = [each for each in whole.documents if _is_kept(each.doc_id, kept)]
    questions, qrels = {"poquad": whole.questions["poquad"][:limit]}, dict[str, dict[str, int]]()
    for name in TRANSLATED:
        by_place: dict[bool, list[Query]] = {True: [], False: []}
        for query in whole.questions[name][_CHOSEN_ON:]:
            passages = [doc_id.rpartition("/")[2] for doc_id in whole.qrels[query.qid]]
            qrels[query.qid] = {f"{kept[each]}/{each}": 1 for each in passages}
            by_place[all(kept[each] == name for each in passages)].append(query)
        questions[f"{name} in its own language"] = by_place[True][:limit]
        questions[f"{name} in another language"] = by_place[False][:limit]
    judged = {**whole.qrels, **qrels}
    if limit is not None:
        answering = {doc_id for asked in questions.values() for query in asked for doc_id in judged[query.qid]}
        documents = [each for place, each in enumerate(documents) if each.doc_id in answering or not place % _SOME]
    return Mixed(documents=documents, told=(), questions=questions, qrels=judged)


def _is_kept(doc_id: str, kept: Mapping[str, str]) -> bool:
    name, _, passage = doc_id.rpartition("/")
    return name not in TRANSLATED or kept[passage] == name


def compared(name: str, *, limit: int | None) -> Iterator[dict[str, Any]]:
    """A line on the index, and one for every set and graph of a corpus."""
    corpus = apart(limit=limit) if name == APART else mixed(CORPORA[name], limit=limit)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        report = build_index([written(corpus, Path(folder))], index, settings=IndexSettings().judging_documents())
        yield {
            "corpus": name,
            "documents": report.n_documents,
            "language": report.chosen_language,
            "models": dict(report.chosen_models),
            "build_seconds": sum(report.seconds.values()),
        }
        runs: dict[str, dict[str, list[Ranking]]] = {}
        for graph in GRAPHS:
            with load_pipeline(graph, index=index) as pipeline:
                runs[graph] = {one: pipeline.search_batch(asked) for one, asked in corpus.questions.items()}
    yield from _lines(name, corpus, runs)


def _lines(name: str, corpus: Mixed, runs: Mapping[str, Mapping[str, list[Ranking]]]) -> Iterator[dict[str, Any]]:
    for one, asked in corpus.questions.items():
        judged = {query.qid: corpus.qrels[query.qid] for query in asked}
        worth = {graph: evaluate(run[one], judged, [MEASURE]) for graph, run in runs.items()}
        [[test]] = compare_runs(worth["bm25"], {"hybrid": worth["hybrid"]}, measures=[MEASURE]).values()
        difference = {"by": test.test.difference, "low": test.test.low, "high": test.test.high, "p": test.p}
        yield {
            "corpus": name,
            "set": one,
            "queries": len(asked),
            **{graph: evaluation.measures[MEASURE] for graph, evaluation in worth.items()},
            "hybrid_to_bm25": difference,
        }


def show(line: Mapping[str, Any]) -> None:
    """One line of text."""
    if "documents" in line:
        print(
            f"{line['corpus']}: {line['documents']:,} documents, words {line['language']}, {line['models']}", flush=True
        )
        return
    to = line["hybrid_to_bm25"]
    gain = f"{to['by']:+.4f} [{to['low']:+.4f}, {to['high']:+.4f}] p {to['p']:.4f}"
    print(
        f"{line['corpus']:7} {line['set']:31} bm25 {line['bm25']:.4f}  hybrid {line['hybrid']:.4f}  {gain}", flush=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every corpus and set."""
    return run("mixed_defaults", __doc__, arguments, compared, show, corpora=(*CORPORA, APART))


if __name__ == "__main__":
    sys.exit(main())
