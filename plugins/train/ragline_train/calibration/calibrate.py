"""A graph's answers to questions with known answers -> how sure they are, and which may be given.

The questions are dealt out at random, once: from one part it is learnt how sure an answer is, and the other part tests which
thresholds keep the risk. So the confidence that is tested is the very one that will be used, it has seen none of the labels
that test it, and the bound is exact. Within the first part, models that did not see an answer say how sure it is; that
fixes the thresholds and where the tests begin.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal

from rag import Pipeline
from rag.errors import SpecError
from rag.evaluate import Answers, Gate, Item, SignalReader, Target, curve_of
from rag.files import Progress, silent
from rag.types import Answer
from ragline_train.calibration.fitting import Signals, best_ridge, crossed, fit, fit_gate

Right = Callable[[Answer, Item, str], bool]
"""Whether an answer is right: the answer, its question, and the language of the references (ISO 639-1)."""

FIT_SHARE = 0.4
"""Of the questions, how many the confidence is fit on."""
_LEAST = 10
"""Answers that a confidence is fit on, at the least."""
_BATCH = 16


def calibrate_graph(
    pipeline: Pipeline,
    items: Sequence[Item],
    *,
    right: Right,
    target: Target,
    questions: str,
    kind: Literal["bound", "estimated"] = "bound",
    language: str = "en",
    seed: int = 0,
    progress: Progress = silent,
) -> Answers:
    """Ask a graph all questions and calibrate it on its answers. An answer that failed was not given.

    Args:
        right: says whether a given answer is right; see `rag.evaluate.RIGHT`.
        questions: where they came from, in words.
    Raises:
        SpecError: the graph does not end in answers, or searches nothing; or it gave too few.
    """
    pipeline.require_answers()
    if pipeline.index is None:
        raise SpecError("a calibration is for a graph that searches: name an index")
    reader, answers, before = SignalReader(pipeline.index), list[Answer](), list[Signals]()
    for start in range(0, len(items), _BATCH):
        batch = items[start : start + _BATCH]
        made = pipeline.ask_batch([item.query for item in batch])
        answers += made
        before += reader.before([answer.context for answer in made])
        progress("asking", start + len(batch), len(items))
    return calibrated(
        answers,
        [right(answer, item, language) for answer, item in zip(answers, items, strict=True)],
        before,
        gate_behind=_assembler(pipeline),
        target=target,
        questions=questions,
        kind=kind,
        seed=seed,
    )


def _assembler(pipeline: Pipeline) -> str | None:
    """The node whose passages the answers are written from; None where that is no assembler."""
    graph = pipeline.graph
    source = graph.answering[0].inputs[0]
    return source if any(node.name == source and node.stage == "assemble" for node in graph.nodes) else None


def calibrated(
    answers: Sequence[Answer],
    right: Sequence[bool],
    before: Sequence[Signals],
    *,
    gate_behind: str | None,
    target: Target,
    questions: str,
    kind: Literal["bound", "estimated"] = "bound",
    fit_share: float = FIT_SHARE,
    seed: int = 0,
) -> Answers:
    """Fit which questions are worth a model's time and how sure answers are, and count what each threshold gives.

    The gate is learnt from the first part too, so what is tested is the graph with the gate in it.

    Args:
        answers: one per question, refusals too. `right`, `before`: of each, and what was known of it before it was written.
        gate_behind: the assembler that a gate would stand behind; None makes none.
        seed: of the deal.
    Raises:
        SpecError: too few answers were given to fit on.
    """
    places = list(range(len(answers)))
    random.Random(seed).shuffle(places)
    n_fit = round(fit_share * len(places))
    parts = places[:n_fit], places[n_fit:]
    gate = None if gate_behind is None else _gate(parts[0], answers, right, before, node=gate_behind)
    stopped = {place for place in places if gate and answers[place].context.passages and not gate(before[place])}
    given = {place for place in places if answers[place].status == "answered"} - stopped
    fitting, testing = ([place for place in part if place in given] for part in parts)
    if len(fitting) < _LEAST:
        raise SpecError(
            f"{len(fitting)} of {n_fit} questions were answered; a confidence is fit on {_LEAST} answers or more. Give more "
            "questions, or ones that the graph answers"
        )
    signals = [SignalReader.written(known, answer) for known, answer in zip(before, answers, strict=True)]
    rows, labels = [signals[place] for place in fitting], [right[place] for place in fitting]
    ridge = best_ridge(rows, labels)
    model = fit(rows, labels, ridge=ridge)
    curve = curve_of(
        [model(signals[place]) for place in testing],
        [not right[place] for place in testing],
        n=len(parts[1]),
        fit_confidences=crossed(rows, labels, ridge=ridge),
        fit_wrong=[not each for each in labels],
        n_fit=n_fit,
    )
    tested = stopped & {*parts[1]}
    lost = sum(right[place] and answers[place].status == "answered" for place in tested)
    counts = {"stopped": len(tested), "stopped_right": lost}
    return Answers(kind=kind, questions=questions, target=target, model=model, curve=curve, gate=gate, **counts)


def _gate(
    places: Sequence[int], answers: Sequence[Answer], right: Sequence[bool], before: Sequence[Signals], *, node: str
) -> Gate | None:
    """A gate learnt from those of these questions for which there were passages."""
    asked = [place for place in places if answers[place].context.passages]
    good = [right[place] and answers[place].status == "answered" for place in asked]
    return fit_gate([before[place] for place in asked], good, node=node)
