"""The published figures of attention rerankers on BEIR, run again: for whoever has the weights and the card.

BEIR folders, BM25's first hits, `rerank.icr` in the paper's form, or in the form of QRHead's re-run; nDCG@10 beside the
published figure. First stage and tokenisation of ours are not theirs (Pyserini), so a point of difference says little.
Each form stands beside the figures of its own paper alone, since the settings differ. Run so far: one query of SciFact on
the default model, to see that it works; no published figure was reproduced by us.

Every query is a line in a work file, so a run that was stopped goes on where it was, and a machine with a GPU runs the same
command: the model goes where one is. BM25 and a small encoder's cosine stand beside it on the same candidates; `--record`
keeps a line for each set.

    python -m benchmarks.reproduce_icr BEIR/scifact [BEIR/nfcorpus ...] [--form icr|qrhead] [--limit N] [--record]
        [--model meta-llama/Llama-3.1-8B-Instruct]     or mistralai/Mistral-7B-Instruct-v0.2, or a folder
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from benchmarks.first_stage import first_stage
from benchmarks.graphs import llm_part
from benchmarks.icr_cost import default_llm
from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from benchmarks.ways import add_busy
from benchmarks.work_lines import Component, Setup, Work
from rag.core.types import Ranking
from rag.evaluate import load_beir, mean_interval
from rag.evaluate.measures import evaluate
from rerankers.attention.icr.reranker import ICRReranker
from rerankers.cosine import CosineReranker
from rerankers.identity import IdentityReranker

WORK = Path("runs") / "reproduce_icr.jsonl"
MEASURE = "nDCG@10"
WAYS = ("bm25", "cosine", "icr")

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


def component(way: str, form: Form, name: str, model: str) -> Component:
    """What puts the candidates in order."""
    if way == "bm25":
        return Component(IdentityReranker)
    if way == "cosine":
        return Component(CosineReranker, model="all-minilm-l6-v2", depth=None, first_stage_weight=0.0)
    part = llm_part(model, "transformers")
    return Component(ICRReranker, llm=part, instruction=instruction(form, name), max_words=form.words)


def asked(folder: Path, form: Form, limit: int | None) -> tuple[list[Ranking], Mapping[str, Mapping[str, int]]]:
    """BM25's candidates of the set's queries, drawn at random where not all are asked, and the judgements."""
    dataset = load_beir(folder)
    qrels = {qid: judged for qid, judged in dataset.qrels("test").items() if max(judged.values()) > 0}
    queries = [query for query in dataset.queries if query.qid in qrels]
    queries = random.Random(0).sample(queries, min(limit or form.queries or len(queries), len(queries)))
    return [without_itself(ranking) for ranking in first_stage(dataset, queries, form.depth)], qrels


def rerank_all(folder: Path, form: Form, work: Work, options: argparse.Namespace, llm: Any) -> list[dict[str, Any]]:
    """Rerank what has no line yet. Returns what each way came to."""
    rankings, qrels = asked(folder, form, options.limit)
    told = []
    for way in WAYS:
        made = component(way, form, folder.name, options.model)
        setup = Setup.of(made, first_stage, data=[folder], settings=f"{options.form} depth {form.depth}; {made}")
        reranker = None
        for ranking in rankings:
            if work.get(way, folder.name, ranking.qid, setup):
                continue
            reranker = reranker or made.make(**({"llm": llm} if way == "icr" else {}))
            (found,) = reranker.rerank([ranking], k=form.depth)
            value = evaluate([found], {ranking.qid: qrels[ranking.qid]}, [MEASURE]).measures[MEASURE]
            line = {
                "method": way,
                "set": folder.name,
                "qid": ranking.qid,
                MEASURE: value,
                "outcome": found.outcome.kind,
            }
            work.add({**line, "seconds": round(found.usage.seconds, 3)}, setup)
        lines = [work.get(way, folder.name, ranking.qid, setup) for ranking in rankings]
        values = [line[MEASURE] for line in lines if line]
        ends = mean_interval(values)
        told.append(
            {
                "set": folder.name,
                "way": way,
                "form": options.form,
                "model": options.model,
                "queries": len(values),
                MEASURE: fmean(values),
                "low": ends.low,
                "high": ends.high,
                "settings": setup.settings,
            }
        )
    return told


def table(form: Form, model: str, told: list[dict[str, Any]]) -> Iterator[str]:
    """Of a set: what each way came to, nDCG@10 times 100, beside what was published."""
    for line in told:
        theirs = {"bm25": "bm25", "icr": model}.get(line["way"], "")
        value, low, high = (100 * line[key] for key in (MEASURE, "low", "high"))
        yield (
            f"{line['set']:<18} {line['way']:<8} {line['queries']:>5} {value:>6.1f} [{low:.1f}, {high:.1f}]"
            f" {published(form, theirs, line['set']):>7}"
        )


def main() -> None:
    """Rerank what is missing, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="in the layout of BEIR, named as there; or a set's name"
    )
    parser.add_argument("--model", default="meta-llama/Llama-3.1-8B-Instruct")
    parser.add_argument("--form", choices=FORMS, default="icr")
    parser.add_argument("--limit", type=int, help="queries of a set, instead of the form's")
    parser.add_argument("--depth", type=int, help="candidates, instead of the form's")
    parser.add_argument("--work", type=Path, default=WORK, help="where results are kept between runs")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/reproduce_icr.jsonl")
    add_busy(parser)
    options = parser.parse_args()
    form, llm = FORMS[options.form], default_llm(options.model)
    form = replace(form, depth=options.depth or form.depth)
    work = Work(options.work, busy=options.busy)
    print(f"theirs: {form.whose}")
    print(f"{'set':<18} {'way':<8} {'n':>5} {'nDCG@10 [95%]':>20} {'theirs':>7}")
    for given in options.folders:
        folder = given if given.is_dir() else data_folder() / given
        told = rerank_all(folder, form, work, options, llm)
        print(*table(form, options.model, told), sep="\n", flush=True)
        if options.record:
            for line in told:
                record("reproduce_icr", line)


if __name__ == "__main__":
    main()
