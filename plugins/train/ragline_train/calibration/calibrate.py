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
from rag.evaluate import Answers, Gate, Hits, Item, SignalReader, Target, curve_of
from rag.files import Progress, silent
from rag.indexes import Index
from rag.types import Answer, Query, Ranking
from ragline_train.calibration.fitting import Signals, best_ridge, crossed, fit, fit_gate, fit_scale
from ragline_train.pseudo import pseudo_cases

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


_DEPTH = 10


def own_items(index: Index, other: Index, *, n: int, seed: int = 0) -> list[Item]:
    """At most `n` questions, every second one of the other corpus, which has no answer here.

    They tell whether a graph tells the two apart and finds the unit, and nothing of what a model makes of it: an estimate.

    Raises:
        SpecError: one of the corpora is too small to ask anything.
    """
    here = [
        Item(
            qid=f"here-{place}",
            question=case.query,
            supporting=(max(zip(case.grades, case.candidates, strict=True), key=lambda pair: pair[0])[1].doc_id,),
        )
        for place, case in enumerate(pseudo_cases(index, n=n - n // 2, depth=_DEPTH, seed=seed))
    ]
    there = [
        Item(qid=f"there-{place}", question=case.query, answerable=False)
        for place, case in enumerate(pseudo_cases(other, n=n // 2, depth=_DEPTH, seed=seed))
    ]
    for items, asked in ((here, index), (there, other)):
        if not items:
            raise SpecError(f"index '{asked.name}' gives no questions: its documents are too few, or too short")
    return [item for pair in zip(here, there, strict=False) for item in pair]


_HITS = 20
"""Hits of each question that are looked at."""


def judged_hits(pipeline: Pipeline, items: Sequence[Item], *, questions: str) -> Hits | None:
    """By labels: a hit that is a supporting document, or a part of one, is worth 1, all others 0. None where nothing is labelled.

    A question without an answer has no relevant hit.
    """
    labelled = [item for item in items if item.supporting or not item.answerable]
    if not any(item.answerable for item in labelled):
        return None
    supporting = {item.qid: frozenset(item.supporting if item.answerable else ()) for item in labelled}
    rankings = ranked_for(pipeline, [item.query for item in labelled])
    grades = [
        float(not supporting[ranking.qid].isdisjoint({hit.doc_id, hit.document.parent}))
        for ranking in rankings
        for hit in ranking.hits
    ]
    return fitted(pipeline, rankings, grades, f"{questions}, by their supporting documents")


def ranked_for(pipeline: Pipeline, queries: Sequence[Query]) -> list[Ranking]:
    """The first hits of each question that scores are learnt from."""
    ranked = pipeline.search_batch(queries)
    return [Ranking(query=one.query, hits=one.hits[:_HITS]) for one in ranked]


def fitted(pipeline: Pipeline, rankings: Sequence[Ranking], grades: Sequence[float], questions: str) -> Hits:
    """The scale of these hits' scores.

    Args:
        grades: of every hit of every ranking, from 0 to 1, in order.
    Raises:
        SpecError: there is no hit.
    """
    scores = [hit.score for ranking in rankings for hit in ranking.hits]
    if not scores:
        raise SpecError("nothing was found for any question, so there are no scores to learn from")
    return Hits(node=pipeline.graph.last_ranking(), questions=questions, scale=fit_scale(scores, grades))
