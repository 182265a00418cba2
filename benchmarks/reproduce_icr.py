"""The published figures of attention rerankers on BEIR, run again: for whoever has the weights and the card.

BEIR folders, BM25's first hits, `rerank.icr` in the paper's form, or in the form of QRHead's re-run; nDCG@10 beside the
published figure. First stage and tokenisation of ours are not theirs (Pyserini), so a point of difference says little.
Each form stands beside the figures of its own paper alone, since the settings differ. Run so far: one query of SciFact on
the default model, to see that it works; no published figure was reproduced by us.

    python -m benchmarks.reproduce_icr BEIR/scifact [BEIR/nfcorpus ...] [--model meta-llama/Llama-3.1-8B-Instruct]
    [--form icr|qrhead] [--limit N]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.first_stage import first_stage
from benchmarks.icr_cost import default_llm
from rag.core.types import Ranking
from rag.evaluate.beir import load_beir
from rag.evaluate.measures import evaluate
from rerankers.attention.icr.reranker import ICRReranker

ANSWERS = ("trec-covid", "fiqa", "webis-touche2020", "dbpedia-entity", "nq")
"""Sets whose late instruction asks for an answer in ICR's paper; the others ask for relevant information."""
SETS = ("nq", "trec-covid", "nfcorpus", "fiqa", "scifact", "scidocs", "fever", "climate-fever", "dbpedia-entity")
RERUN = {
    "bm25": (30.5, 59.5, 32.2, 23.6, 67.9, 14.9, 65.1, 16.5, 31.8),
    "meta-llama/Llama-3.2-3B-Instruct": (49.2, 72.3, 33.8, 31.8, 73.3, 17.4, 82.6, 24.2, 34.7),
    "meta-llama/Llama-3.1-8B-Instruct": (54.0, 73.3, 34.8, 35.6, 75.5, 19.0, 85.8, 24.8, 36.9),
    "Qwen/Qwen2.5-7B-Instruct": (43.1, 66.1, 32.7, 27.0, 71.1, 16.4, 79.2, 19.6, 35.3),
    "meta-llama/Llama-3.1-70B-Instruct": (57.9, 72.3, 34.2, 38.9, 74.6, 19.4, 86.4, 22.0, 38.3),
}
"""nDCG@10 times 100, in the order of SETS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a paper ran it, and what it found there.

    depth, words: candidates, and words of each that are read. queries: of a set, drawn at random; None takes all.
    answers: sets whose instruction asks for an answer. published: model or bm25 -> set -> nDCG@10 times 100.
    """

    depth: int
    words: int
    queries: int | None
    answers: tuple[str, ...]
    published: Mapping[str, Mapping[str, float]]
    whose: str


FORMS = {
    "icr": Form(
        depth=100,
        words=300,
        queries=None,
        answers=ANSWERS,
        published={"meta-llama/Llama-3.1-8B-Instruct": {"dbpedia-entity": 35.3, "fever": 84.5}},
        whose="ICR (Chen et al., ICLR 2025, arXiv 2410.02642), second version, as quoted elsewhere: BM25's first 100, "
        "300 words, all queries, instruction by set. Its other figures per set are not known to us",
    ),
    "qrhead": Form(
        depth=200,
        words=400,
        queries=512,
        answers=(),
        published={model: dict(zip(SETS, figures, strict=True)) for model, figures in RERUN.items()},
        whose="QRHead (Wu et al., EMNLP 2025, arXiv 2506.09944), its run of ICR: BM25's first 200, 400 words, 512 queries, "
        "always asked for relevant information",
    ),
}


def published(form: Form, model: str, name: str) -> str:
    """What the form's paper found, or a dash."""
    figure = form.published.get(model, {}).get(name)
    return "-" if figure is None else f"{figure:.1f}"


def instruction(form: Form, name: str) -> Literal["qa", "ie"]:
    """Which late instruction the form gives to a set."""
    return "qa" if name in form.answers else "ie"


def without_itself(ranking: Ranking) -> Ranking:
    """Without the candidate that is the query, as both papers do."""
    return replace(ranking, hits=tuple(hit for hit in ranking.hits if hit.doc_id != ranking.qid))


def ndcg(rankings: Sequence[Ranking], qrels: Mapping[str, Mapping[str, int]]) -> float:
    judged = {ranking.qid: qrels[ranking.qid] for ranking in rankings}
    run = {ranking.qid: list(ranking.doc_ids) for ranking in rankings}
    return 100 * evaluate(run, judged, ["nDCG@10"]).measures["nDCG@10"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="in the layout of BEIR, named as there")
    parser.add_argument("--model", default="meta-llama/Llama-3.1-8B-Instruct")
    parser.add_argument("--form", choices=FORMS, default="qrhead")
    parser.add_argument("--limit", type=int, help="queries of a set, instead of the form's")
    options = parser.parse_args()
    form, llm = FORMS[options.form], default_llm(options.model)
    print(f"theirs: {form.whose}")
    print(f"{'set':<18} {'n':>4} {'BM25':>6} {'theirs':>7} {'ICR':>6} {'theirs':>7}")
    for folder in options.folders:
        dataset = load_beir(folder)
        qrels = {qid: judged for qid, judged in dataset.qrels("test").items() if max(judged.values()) > 0}
        queries = [query for query in dataset.queries if query.qid in qrels]
        n = min(options.limit or form.queries or len(queries), len(queries))
        queries = random.Random(0).sample(queries, n)
        before = [without_itself(ranking) for ranking in first_stage(dataset, queries, form.depth)]
        reranker = ICRReranker(llm=llm, instruction=instruction(form, folder.name), max_words=form.words)
        after = [reranker.rerank([ranking], k=form.depth)[0] for ranking in before]
        print(
            f"{folder.name:<18} {n:>4} {ndcg(before, qrels):>6.1f} {published(form, 'bm25', folder.name):>7} "
            f"{ndcg(after, qrels):>6.1f} {published(form, options.model, folder.name):>7}",
            flush=True,
        )


if __name__ == "__main__":
    main()
