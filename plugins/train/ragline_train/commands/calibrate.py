"""questions -> what a graph's scores are worth, and which answers it may give"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rag import Pipeline, load_pipeline
from rag.commands import (
    GRAPH_HELP,
    indexed,
    positive,
    progress_bar,
    risk_table,
    running,
    say,
    say_json,
    warn,
    writable,
    written,
)
from rag.errors import SpecError
from rag.evaluate import (
    RIGHT,
    Answers,
    Calibration,
    Choice,
    Hits,
    Item,
    Target,
    language_of,
    read_items,
    read_questions,
)
from rag.indexes import Index, open_index
from rag.types import Query
from ragline_train.calibration.calibrate import calibrate_graph, judged_hits, own_items

_ESTIMATE = 200
"""Questions that an estimate asks, where nobody says how many."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "questions",
        nargs="?",
        metavar="QUESTIONS",
        help=".jsonl: id, question, and what is known: answers, answerable, supporting_ids; unset estimates without labels",
    )
    parser.add_argument("--graph", default="ask", metavar="G", help=GRAPH_HELP)
    indexed(parser, needed=True)
    written(parser)
    other_help = "without labels: an index of another corpus, whose questions have no answer here"
    parser.add_argument("--other", metavar="DIR", help=other_help)
    log_help = "without labels: what people asked, in the forms of `rag batch`; how many would be answered is counted"
    parser.add_argument("--log", metavar="FILE", help=log_help)
    parser.add_argument("--risk", type=float, default=0.1, metavar="A", help="most wrong answers of those given (0.1)")
    parser.add_argument("--confidence", type=float, default=0.95, metavar="C", help="that the risk is kept (0.95)")
    coverage_help = "share of the questions that must get an answer at the least (0.1)"
    parser.add_argument("--least-coverage", type=float, default=0.1, metavar="S", help=coverage_help)
    parser.add_argument("--min-relevance", type=float, default=0.0, metavar="R", help="hits must be worth that (0)")
    parser.add_argument(
        "--right",
        choices=("auto", "contains", "f1", "passage", "answerable"),
        default="auto",
        help="what makes an answer right (default: it contains a reference, where there are some)",
    )
    limit_help = "only the first N questions; without labels, how many (200)"
    parser.add_argument("--limit", type=positive, metavar="N", help=limit_help)
    parser.add_argument("--seed", type=int, default=0, help="of dealing out the questions")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="calibration to write")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    running(parser)


def run(given: Namespace) -> int:
    """Ask, calibrate, write the file, and say what risk costs in coverage. Exit 5 where the risk cannot be kept."""
    out, target = writable(given.out), _target(given)
    with open_index(given.index) as index, progress_bar() as progress:
        items, questions = _questions(given, index)
        log = list(read_questions(Path(given.log), limit=given.limit)) if given.log else []

        def pipeline(calibration: Path | None = None) -> Pipeline:
            return load_pipeline(
                given.graph,
                index=index,
                model=given.model,
                url=given.url,
                calibration=calibration,
                min_relevance=given.min_relevance if calibration else 0.0,
                offline=given.offline,
            )

        with pipeline() as plain:
            made = plain.made_for().model_copy(update={"min_relevance": given.min_relevance})
            hits = _hits(plain, items, questions)
        calibration = Calibration(made_for=made, hits=hits)
        calibration.save(out)
        with pipeline(out if given.min_relevance else None) as answering:
            if answering.answers:
                answers = calibrate_graph(
                    answering,
                    items,
                    right=RIGHT[given.right if given.questions else "passage"],
                    target=target,
                    questions=questions,
                    kind="bound" if given.questions else "estimated",
                    language=language_of(answering.spec.graph.index, index),
                    seed=given.seed,
                    progress=progress,
                )
                calibration = calibration.model_copy(update={"answers": answers})
                calibration.save(out)
        chosen = calibration.answers.choice() if calibration.answers else None
        covered = _covered(pipeline(out), log) if log and isinstance(chosen, Choice) else None
    if given.json:
        document = {
            "hits": calibration.hits.model_dump() if calibration.hits else None,
            "answers": _answers_json(calibration.answers) if calibration.answers else None,
        }
        say_json({"graph": given.graph, "index": given.index, "out": str(out), "log": covered, **document})
    else:
        show(calibration)
        if covered is not None:
            say(f"Of {len(log):,} questions of {given.log}, {covered:.1%} get an answer")
        say(f"\nwritten to {out}")
    return 0 if chosen is None or isinstance(chosen, Choice) else 5


def _questions(given: Namespace, index: Index) -> tuple[list[Item], str]:
    """What is asked, and where it came from in words."""
    if given.questions:
        items = list(islice(read_items(Path(given.questions)), given.limit))
        if not items:
            raise SpecError(f"{given.questions} has no questions")
        return items, f"{len(items)} questions of {Path(given.questions).name}, right: {given.right}"
    if not given.other:
        raise SpecError(
            "without labelled QUESTIONS an estimate needs questions that have no answer here: name an index of another "
            "corpus with --other"
        )
    with open_index(given.other) as other:
        items = own_items(index, other, n=given.limit or _ESTIMATE, seed=given.seed)
        return items, f"{len(items)} pseudo-questions, half of them of '{other.name}', right: the source was read"


def _hits(pipeline: Pipeline, items: Sequence[Item], questions: str) -> Hits | None:
    """What scores are worth, where the documents of some questions are known."""
    hits = judged_hits(pipeline, items, questions=questions)
    if hits is None:
        warn("rag: scores are not calibrated: no question has supporting_ids")
    return hits


def _covered(pipeline: Pipeline, log: Sequence[Query]) -> float:
    """The share of questions that get an answer."""
    with pipeline:
        return sum(answer.status == "answered" for answer in pipeline.ask_batch(log)) / len(log)


def _target(given: Namespace) -> Target:
    shares = {"risk": given.risk, "confidence": given.confidence}
    if wrong := [name for name, share in shares.items() if not 0 < share < 1]:
        raise SpecError(f"--{wrong[0]} must be between 0 and 1, got {shares[wrong[0]]:g}")
    for option, share in (("--least-coverage", given.least_coverage), ("--min-relevance", given.min_relevance)):
        if not 0 <= share <= 1:
            raise SpecError(f"{option} must be from 0 to 1, got {share:g}")
    return Target(**shares, least_coverage=given.least_coverage)


def _answers_json(answers: Answers) -> dict[str, Any]:
    """What was chosen, or why nothing was, and every threshold."""
    chosen, target = answers.choice(), answers.target
    return {
        "kind": answers.kind,
        "questions": answers.questions,
        "n": answers.curve.n,
        "n_fit": answers.curve.n_fit,
        "target": target.model_dump(),
        "chosen": chosen.as_dict() if isinstance(chosen, Choice) else None,
        "gate": None if answers.gate is None else {"stopped": answers.stopped, "right": answers.stopped_right},
        "why_not": None if isinstance(chosen, Choice) else chosen.why,
        "least_risk": None if isinstance(chosen, Choice) else chosen.least,
        "steps": [step.as_dict() for step in answers.steps()],
    }


def show(calibration: Calibration) -> None:
    """What scores are worth, what risk costs in coverage, and what was chosen."""
    if (hits := calibration.hits) is not None:
        scale = hits.scale
        say(
            f"scores of node '{hits.node}' from {scale.scores[0]:.4f} to {scale.scores[-1]:.4f} are worth "
            f"{scale.relevance[0]:.3f} to {scale.relevance[-1]:.3f} ({hits.questions})"
        )
    if (answers := calibration.answers) is None:
        return
    curve, target, chosen = answers.curve, answers.target, answers.choice()
    say(f"\n{answers.questions}: confidence fit on {curve.n_fit}, thresholds tested on {curve.n}")
    if answers.gate is not None:
        say(
            f"before anything is written, {answers.stopped} of {curve.n} are stopped: {answers.stopped_right} of them would "
            "have been answered right"
        )
    say(risk_table(answers.steps(), target.confidence, chosen=chosen))
    if isinstance(chosen, Choice):
        kept = "at most" if answers.kind == "bound" else "by estimate, and no more than that, at most"
        say(
            f"\nFrom confidence {chosen.threshold:.3f} on, {chosen.coverage:.1%} of the questions are answered, and {kept} "
            f"{target.risk:g} of these answers are wrong (confidence {target.confidence:g})"
        )
        return
    least = "" if chosen.least is None else f"; the least risk that can be kept is {chosen.least:.3f}"
    warn(f"rag: {chosen.why}{least}")
