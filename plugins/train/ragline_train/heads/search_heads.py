"""A model and cases -> a head set: every head scores every case, then the good ones are kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.files import Progress, silent
from rag.protocols import LocalLLM, Weights
from rag.writing import EveryHead, HeadSet
from ragline_train.heads.weighings import (
    Example,
    Found,
    Method,
    NothingFound,
    Scores,
    find,
    ndcg_per_head,
    require_enough,
)
from ragline_train.pseudo import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScores:
    """One case as all heads score it: real and null, float64 [n_heads, n_documents], and the grades, as `Case` has them."""

    real: NDArray[np.float64]
    null: NDArray[np.float64]
    grades: NDArray[np.float64]
    taught: bool = False

    def example(self, heads: slice, strength: float = 0.0) -> Example:
        null = self.null[heads]
        return Example(scores=self.real[heads] - strength * null, grades=self.grades, nulls=null, taught=self.taught)


Scored = tuple[EveryHead, list[CaseScores]]
"""The heads of a model, and the cases as these score them, heads in the same order."""


def score_cases(
    lent: Weights, cases: Sequence[Case], *, last_layer: int, max_tokens: int, progress: Progress = silent
) -> Scored:
    """Every readable head up to `last_layer` on every case, each document alone."""
    asked = [(case.query, case.candidates) for case in cases]
    heads = EveryHead.in_blocks(lent, asked, last_layer=last_layer, max_tokens=max_tokens, progress=progress)
    return heads, [
        replace(scored, taught=case.taught) for scored, case in zip(_graded(heads, cases), cases, strict=True)
    ]


def score_cases_in_one_prompt(
    lent: Weights, cases: Sequence[Case], *, context: int, last_layer: int, progress: Progress = silent
) -> Scored:
    """Every readable head up to `last_layer` on every case, its candidates in one prompt. `context`: the model's window.

    Grades count as steps here, a teacher's too.

    Raises:
        SpecError: a case's candidates do not fit into one prompt, or no layer can be read.
    """
    asked = [(case.query, case.candidates) for case in cases]
    heads = EveryHead.in_one_prompt(lent, asked, last_layer=last_layer, context=context, progress=progress)
    return heads, _graded(heads, cases)


def _graded(heads: EveryHead, cases: Sequence[Case]) -> list[CaseScores]:
    return [
        CaseScores(real=real, null=null, grades=np.array(case.grades))
        for (real, null), case in zip(heads.paid, cases, strict=True)
    ]


Layout = Literal["blocks", "prompt"]
STRENGTHS = (0.0, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was found. by_head: (layer, head) -> nDCG@10 of that head alone. by_depth: deepest layer -> best find.

    skipped: layers within the depths that do not attend to the whole prompt, so their heads were not tried.
    """

    heads: HeadSet
    by_head: dict[tuple[int, int], float]
    by_depth: dict[int, Found]
    skipped: tuple[int, ...] = ()


def find_heads(
    llm: LocalLLM,
    cases: Sequence[Case],
    *,
    model: str,
    found_on: str,
    methods: Sequence[Method] = ("core",),
    depths: Sequence[int] | None = None,
    layout: Layout = "blocks",
    max_tokens: int = 128,
    progress: Progress = silent,
) -> Search:
    """Heads that rank the cases best, as few layers deep as possible.

    For each of `depths` (deepest layers, from 0; a third, half and two thirds of the model by default) heads, their
    number and the null's strength are chosen by cross-validation. The shallowest depth wins that is within one
    standard error of the best one.

    Args:
        layout: how the heads will be read. max_tokens: of a document as a block; one prompt cuts it as `rerank.icr` does.
    Raises:
        NothingFound: too few cases, or no head ranks them.
        SpecError: the model cannot be read so, or has no such depth.
    """
    require_enough(len(cases))
    if layout == "prompt" and "joint" in methods:
        raise SpecError("method joint needs layout: blocks. With layout: prompt all heads share one null")
    with llm.weights() as lent:
        n_layers = int(lent.model.get_decoder().config.num_hidden_layers)
        chosen = sorted(set(depths or usual_depths(n_layers)))
        if chosen[0] < 0:
            raise SpecError(f"depths are layers from 0 to {n_layers - 1}, got {chosen[0]}")
        if layout == "prompt":
            context, last = llm.context_window, chosen[-1]
            heads, scores = score_cases_in_one_prompt(lent, cases, context=context, last_layer=last, progress=progress)
        else:
            heads, scores = score_cases(lent, cases, last_layer=chosen[-1], max_tokens=max_tokens, progress=progress)
    return choose_heads(
        llm, heads, scores, model=model, found_on=found_on, methods=methods, depths=chosen, layout=layout
    )


def choose_heads(
    llm: LocalLLM,
    heads: EveryHead,
    scores: Sequence[CaseScores],
    *,
    model: str,
    found_on: str,
    methods: Sequence[Method],
    depths: Sequence[int],
    layout: Layout = "blocks",
) -> Search:
    """As `find_heads`, from scores that are there. The model is asked for nothing but its identity.

    One prompt sums its heads' attention as it is, and heads differ in how much they pay; so there each weight is divided
    by the head's spread over candidates, mean over cases, which comes near to what is standardised in blocks.

    Raises:
        NothingFound: too few cases, or no head ranks them.
    """
    strengths, by_depth = _choose(heads, scores, depths, methods)
    depth = shallowest(by_depth)
    fit, strength = by_depth[depth], strengths[depth]
    weights = fit.weights if layout == "blocks" else _unstandardised(fit.weights, scores, strength)
    with llm.weights() as lent:
        chosen = heads.head_set(
            lent,
            weights,
            prior=fit.prior,
            layout=layout,
            model=model,
            null_strength=strength,
            method=f"{fit.method}, cross-validated nDCG@10 {fit.ndcg:.4f} over {len(scores)} queries",
            found_on=found_on,
        )
    alone = ndcg_per_head([each.example(slice(None), strength) for each in scores])
    by_head = dict(zip(heads.names, alone.tolist(), strict=True))
    return Search(heads=chosen, by_head=by_head, by_depth=by_depth, skipped=heads.skipped)


def _unstandardised(weights: Scores, scores: Sequence[CaseScores], strength: float) -> Scores:
    """Weights of standardised scores as weights of scores as they are; the largest is 1."""
    spreads = np.mean([each.example(slice(len(weights)), strength).scores.std(axis=1) for each in scores], axis=0)
    plain = np.divide(weights, spreads, out=np.zeros_like(weights), where=spreads > 0)
    result: Scores = plain / plain.max()
    return result


def usual_depths(n_layers: int) -> tuple[int, ...]:
    """A third, half and two thirds of a model's layers, as the deepest one of each, from 0.

    >>> usual_depths(30), usual_depths(2)
    ((9, 14, 19), (0,))
    """
    deepest = (n_layers // 3 - 1, n_layers // 2 - 1, 2 * n_layers // 3 - 1)
    return tuple(sorted({max(0, layer) for layer in deepest}))


def shallowest(by_depth: dict[int, Found]) -> int:
    """The least depth whose nDCG is within one standard error of the best's."""
    best = max(by_depth.values(), key=lambda each: each.ndcg)
    return min(depth for depth, each in by_depth.items() if each.ndcg >= best.ndcg - best.error)


def _choose(
    heads: EveryHead, scores: Sequence[CaseScores], depths: Sequence[int], methods: Sequence[Method]
) -> tuple[dict[int, float], dict[int, Found]]:
    """The best strength of the null, and the heads found with it, for each depth at which any were found.

    Method joint learns how much of each null is subtracted, so its strength is always 1.
    """
    require_enough(len(scores))
    strengths, by_depth = dict[int, float](), dict[int, Found]()
    apart = [method for method in methods if method != "joint"]
    for depth in depths:
        within = slice(sum(layer <= depth for layer, _ in heads.names))
        trials: list[tuple[float, float, Sequence[Method]]] = [(s, s, apart) for s in STRENGTHS] if apart else []
        trials += [(1.0, 0.0, ["joint"])] if "joint" in methods else []
        tried = list[tuple[float, Found]]()
        for strength, taken_off, its_methods in trials if within.stop else ():
            with suppress(NothingFound):
                tried.append(
                    (strength, find([each.example(within, taken_off) for each in scores], methods=its_methods))
                )
        if tried:
            strengths[depth], by_depth[depth] = max(tried, key=lambda each: each[1].ndcg)
    if not by_depth:
        raise NothingFound(f"no head of layers 0-{max(depths)} ranks these {len(scores)} examples")
    return strengths, by_depth
