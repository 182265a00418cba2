"""How many questions can be answered at a stated risk: five sets, about half of whose questions have no answer.

`answer` lets a model answer the questions of a set and keeps every answer in results/risk_answers.jsonl; it goes on where it
stopped. A pair of small passages is some 400 tokens: with a model of 1.5 billion parameters a question takes two cores some
5 seconds in vLLM, which is taken where it is installed, and twice that in llama.cpp. `table` fits and calibrates on the
answers that are there and prints, for every set, what risk costs in coverage.
Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.train.benchmarks.risk answer xquad clapnq [--n 100] [--model qwen2.5-coder-1.5b-instruct]
    python -m plugins.train.benchmarks.risk table [--record]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import prompts
from benchmarks.graphs import hybrid_nodes
from benchmarks.make_samples import data_folder
from benchmarks.record import RESULTS, Record, record
from benchmarks.verdicts import auroc
from benchmarks.work_lines import Line, Setup, Work
from plugins.train.benchmarks.risk_sets import SETS, Asked, RiskSet
from rag import load_pipeline
from rag.errors import SpecError
from rag.evaluate import Answers, Choice, SignalReader, Target, cached_index, load_beir
from rag.graphs import load_spec
from rag.indexes import Index
from rag.types import Answer, Citation, Context, ScoredDocument
from ragline_train.calibration.calibrate import calibrated
from ragline_train.calibration.fitting import Signals, best_ridge, crossed

LINES = RESULTS / "risk_answers.jsonl"
CORPORA = Path("runs/risk_sets")
MODEL = "qwen2.5-coder-1.5b-instruct"
PROMPT, ENOUGH, LEAST = "answer_found", "answer_enough", 0.0
MOST_TOKENS = 64
ENGINES: dict[str, dict[str, Any]] = {
    "llama.cpp": {"use": "llm.llama_cpp", "with": {"context_window": 2048, "slots": 1}},
    "vllm": {"use": "llm.vllm_offline", "with": {"max_model_len": 2048, "kv_cache_gib": 2}},
}
TOGETHER = 16
RISKS, CONFIDENCE, LEAST_COVERAGE = (0.1, 0.2, 0.3), 0.95, 0.1
RESAMPLES = 200
LEAST_GIVEN = 30
"""Answers that a set needs before its figures say anything."""


def graph(one: RiskSet, model: str, *, engine: str = "vllm") -> dict[str, Any]:
    """Hybrid search, the first passages as they are, and a cited answer with what the model itself thinks of it."""
    used = ENGINES[engine]
    llm = {**used, "with": {**used["with"], "model": model}}
    reads = {"llm": "writer", "max_tokens": 1200, "max_passages": one.passages}
    return {
        "version": 1,
        "index": {"analyzer": {"language": one.language}},
        "models": {"writer": llm},
        "nodes": {
            **hybrid_nodes(20),
            "context": {"use": "assemble.token_budget", "in": "fused", "with": reads},
            "answer": {
                "use": "generate.cited",
                "in": "context",
                "with": {
                    "llm": "writer",
                    "prompt": PROMPT,
                    "enough": ENOUGH,
                    "least": LEAST,
                    "max_tokens": MOST_TOKENS,
                    "likelihood": True,
                },
            },
        },
        "output": "answer",
    }


def index_of(one: RiskSet, graph: dict[str, Any]) -> Index:
    """The index of a set's corpus, from the cache or built into it."""
    spec = load_spec(graph).graph
    return cached_index(load_beir(one.write(CORPORA / one.name)), spec, spec.index)


def answer_all(one: RiskSet, work: Work, model: str, *, engine: str) -> None:
    """Answer what has no line yet, some questions at a time."""
    spec = graph(one, model, engine=engine)
    hashes = " ".join(f"{name} {prompts.load(name).sha256[:8]}" for name in (PROMPT, ENOUGH))
    settings = f"{hashes} least {LEAST:g} {engine}"
    with load_pipeline(spec, index=index_of(one, spec)) as pipeline:
        setup = Setup.of(pipeline.graph, data=[data_folder() / one.name], settings=settings)
        left = [each for each in one.asked if work.get(model, one.name, each.item.qid, setup) is None]
        for start in range(0, len(left), TOGETHER):
            some = left[start : start + TOGETHER]
            for asked, answer in zip(some, pipeline.ask_batch([each.query for each in some]), strict=True):
                work.add({"method": model, "set": one.name, "qid": answer.qid, **line_of(answer)}, setup)
                print(f"{one.name} {one.is_right(answer, asked.item)} {answer.text[:80]!r}", flush=True)
        pipeline.release()  # the next set has a graph of its own, and an engine with it


def line_of(answer: Answer) -> Line:
    """What `answer_of` needs to make the answer again, and what it cost."""
    return {
        "text": answer.text,
        "status": answer.status,
        "finish_reason": answer.finish_reason,
        "likelihood": answer.likelihood,
        "enough": answer.enough,
        "passages": [[hit.doc_id, hit.score] for hit in answer.context.passages],
        "citations": [[c.marker, c.doc_id, c.start, c.end, c.by, c.similar] for c in answer.citations],
        "prompt_tokens": answer.usage.prompt_tokens,
        "new_tokens": answer.usage.new_tokens,
        "seconds": round(answer.usage.seconds, 3),
    }


def answer_of(line: Line, asked: Asked, index: Index) -> Answer:
    """The answer that a line was made of."""
    documents = index.documents
    passages = tuple(
        ScoredDocument(document=documents[documents.row(doc_id)], score=score) for doc_id, score in line["passages"]
    )
    names = ("marker", "doc_id", "start", "end", "by", "similar")
    return Answer(
        query=asked.query,
        text=line["text"],
        context=Context(query=asked.query, passages=passages),
        citations=tuple(Citation(**dict(zip(names, one, strict=True))) for one in line["citations"]),
        likelihood=line["likelihood"],
        enough=line.get("enough"),
        status=line["status"],
        finish_reason=line["finish_reason"],
    )


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What is known of the questions of a set that a model answered."""

    answers: list[Answer]
    right: list[bool]
    before: list[Signals]
    answerable: int
    settings: str

    @cached_property
    def signals(self) -> list[Signals]:
        """What is known of each once it is written."""
        return [SignalReader.written(known, answer) for known, answer in zip(self.before, self.answers, strict=True)]

    @property
    def given(self) -> list[int]:
        """Places of the answers that were given."""
        return [place for place, answer in enumerate(self.answers) if answer.status == "answered"]


def tried(one: RiskSet, work: Work, model: str) -> Tried:
    """The answers that there are of the prompt that was last asked with, in the order of the set, with their signals."""
    lines = {line["qid"]: line for line in work.latest(model, one.name)}
    there = [asked for asked in one.asked if asked.item.qid in lines]
    with index_of(one, graph(one, model, engine="llama.cpp")) as index:  # only its index is opened
        answers = [answer_of(lines[asked.item.qid], asked, index) for asked in there]
        before = SignalReader(index).before([answer.context for answer in answers]) if answers else []
    right = [one.is_right(answer, asked.item) for answer, asked in zip(answers, there, strict=True)]
    return Tried(
        answers=answers,
        right=right,
        before=before,
        answerable=sum(asked.item.answerable for asked in there),
        settings=" and ".join(sorted({lines[asked.item.qid]["settings"] for asked in there})),
    )


def calibrate(known: Tried, places: Sequence[int], *, risk: float, seed: int) -> Answers:
    """A calibration on these questions; one may be there several times."""
    return calibrated(
        [known.answers[place] for place in places],
        [known.right[place] for place in places],
        [known.before[place] for place in places],
        gate_behind="context",
        target=Target(risk=risk, confidence=CONFIDENCE, least_coverage=LEAST_COVERAGE),
        questions="benchmark",
        seed=seed,
    )


def outcome(known: Tried, risk: float) -> dict[str, Any]:
    """What is chosen on all questions, dealt out once."""
    made = calibrate(known, range(len(known.answers)), risk=risk, seed=0)
    gate = {"n": made.curve.n, "stopped": made.stopped, "stopped_right": made.stopped_right}
    chosen = made.choice()
    if not isinstance(chosen, Choice):
        return {"reached": False, "least_risk": chosen.least, **gate}
    return {"reached": True, **chosen.as_dict(), **gate}


def resampled(known: Tried, risk: float) -> dict[str, Any]:
    """The promise, tried: these questions are the population, and as many are drawn from it again and again.

    `reached`: draws that gave a threshold; `broken`: those whose threshold is over the risk on the whole population;
    `coverage`: their mean coverage of it.
    """
    chance, n = random.Random(0), len(known.answers)
    reached = broken = 0
    coverage = 0.0
    for seed in range(RESAMPLES):
        drawn = [chance.randrange(n) for _ in range(n)]
        try:
            made = calibrate(known, drawn, risk=risk, seed=seed)
        except SpecError:  # too few answers to fit on
            continue
        chosen = made.choice()
        if not isinstance(chosen, Choice):
            continue
        let = [place for place in known.given if made.gate is None or made.gate(known.before[place])]
        given = [place for place in let if made.model(known.signals[place]) >= chosen.threshold]
        wrong = sum(not known.right[place] for place in given)
        reached += 1
        broken += wrong > risk * len(given)
        coverage += len(given) / n
    return {"draws": RESAMPLES, "reached": reached, "broken": broken, "coverage": coverage / max(1, reached)}


def separation(values: Sequence[float | None], right: Sequence[bool]) -> float | None:
    """The chance that a right answer has the greater value than a wrong one (area under the ROC curve); ties count half."""
    pairs = [(value, good) for value, good in zip(values, right, strict=True) if value is not None]
    area = auroc(
        np.array([good for _, good in pairs], dtype=bool), np.array([value for value, _ in pairs], dtype=float)
    )
    return None if np.isnan(area) else area


def pooled(several: Sequence[Tried]) -> Tried:
    """Questions of all sets together, as if each was as likely to be asked."""
    return Tried(
        answers=[answer for one in several for answer in one.answers],
        right=[right for one in several for right in one.right],
        before=[before for one in several for before in one.before],
        answerable=sum(one.answerable for one in several),
        settings=" and ".join(sorted({one.settings for one in several})),
    )


def report(name: str, known: Tried, model: str) -> dict[str, Any]:
    """All figures of a set."""
    rows, right = [known.signals[p] for p in known.given], [known.right[p] for p in known.given]
    names = sorted({name for row in rows for name in row})
    single = {each: separation([row.get(each) for row in rows], right) for each in names}
    return {
        "set": name,
        "model": model,
        "n": len(known.answers),
        "answerable": known.answerable,
        "settings": known.settings,
        "given": len(rows),
        "right": sum(right),
        "confidence": CONFIDENCE,
        "least_coverage": LEAST_COVERAGE,
        "separation": {
            "all, crossed": separation(crossed(rows, right, ridge=best_ridge(rows, right)), right),
            **single,
        },
        "risk": {str(risk): outcome(known, risk) for risk in RISKS},
        "resampled": {str(risk): resampled(known, risk) for risk in RISKS},
    }


def show(figures: dict[str, Any]) -> None:
    f = figures
    print(
        f"\n{f['set']}, {f['model']}: {f['n']} questions, {f['answerable']} with an answer; {f['given']} answered, "
        f"{f['right']} of them right; asked with {f['settings']}"
    )
    for risk, found in f["risk"].items():
        again = f["resampled"][risk]
        if found["reached"]:
            said = f"coverage {found['coverage']:.1%} ({found['given']}, {found['wrong']} wrong), bound {found['bound']:.3f}"
        else:
            least = found["least_risk"]
            said = f"not reachable; least risk {'none' if least is None else f'{least:.3f}'}"
        print(
            f"  A = {risk}: {said}; of {again['draws']} resamples {again['reached']} reach it, {again['broken']} break it, "
            f"mean coverage {again['coverage']:.1%}"
        )
    ranked = sorted(f["separation"].items(), key=lambda pair: -abs((pair[1] or 0.5) - 0.5))
    print("  separation: " + ", ".join(f"{name} {value:.2f}" for name, value in ranked[:8] if value is not None))


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    actions = arguments.add_subparsers(dest="action", required=True)
    answering = actions.add_parser("answer")
    answering.add_argument("sets", nargs="+", choices=tuple(SETS))
    answering.add_argument("--engine", choices=tuple(ENGINES), default="vllm" if find_spec("vllm") else "llama.cpp")
    table = actions.add_parser("table")
    table.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS))
    table.add_argument("--record", action=Record, help="append to results/risk.jsonl")
    for action in (answering, table):
        action.add_argument("--n", type=int, default=100)
        action.add_argument("--model", default=MODEL)
        action.add_argument("--lines", type=Path, default=LINES)
    given = arguments.parse_args()
    work = Work(given.lines)
    if given.action == "answer":
        for name in given.sets:
            answer_all(SETS[name](given.n), work, given.model, engine=given.engine)
        return
    known = {name: tried(SETS[name](given.n), work, given.model) for name in given.sets}
    known = {name: one for name, one in known.items() if one.answers}
    if len(known) > 1:
        known["together"] = pooled(list(known.values()))
    for name, one in known.items():
        if len(one.given) < LEAST_GIVEN:
            print(f"\n{name}, {given.model}: {len(one.given)} answers given; {LEAST_GIVEN} are wanted for a table")
            continue
        figures = report(name, one, given.model)
        show(figures)
        if given.record:
            record("risk", figures)


if __name__ == "__main__":
    main()
