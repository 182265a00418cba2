"""Heads that rank well: several ways to weigh all heads of a model on examples, and cross-validation to choose.

Arithmetic alone, in float64. An example is one query's candidates as every head scores them; where its grades come
from (judgements, or pseudo-queries whose source document is known) is not known here.

    qr       mean score of the relevant documents          (QRHead: Wu et al., EMNLP 2025, arXiv 2506.09944)
    core     share of the relevant document in a softmax over the candidates with a temperature
             (CoRe: Tran et al., arXiv 2510.02219)
    ndcg     nDCG@10 of the head alone, as QRHead's code does on BEIR
    sparse   weights that are learned together: listwise cross-entropy with an L1 penalty
    joint    weights of what heads pay to a document for the query, and of what they pay to it for a query without
             content, learned together in the same way; the latter is taken off

The first three weigh their best heads alike. For all but the last a fixed part of the null is taken off each head, and
what is left is standardised over the candidates before heads are summed. The last takes matches as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rag.writing import standardised

Scores = NDArray[np.float64]

_LEAST_WEIGHT = 0.01  # of the largest; a smaller one costs a head and changes nothing
_STEPS = 400


@dataclass(frozen=True, slots=True)
class Lists:
    """Candidates as lists of one length: features [n, longest, n_features], what is wanted of each and what is absent."""

    features: NDArray[np.float64]
    wanted: NDArray[np.float64]
    absent: NDArray[np.float64]

    @classmethod
    def of(cls, features: Sequence[Scores], wanted: Sequence[NDArray[np.float64]]) -> Lists:
        """features: [n_features, n_documents] of every list. wanted: each document's share of 1, [n_documents]."""
        longest = max(map(len, wanted))
        lists = cls(
            np.zeros((len(wanted), longest, len(features[0]))),
            np.zeros((len(wanted), longest)),
            np.zeros((len(wanted), longest)),
        )
        for row, (each, shares) in enumerate(zip(features, wanted, strict=True)):
            n = len(shares)
            lists.features[row, :n] = each.T
            lists.wanted[row, :n] = shares
            lists.absent[row, n:] = -np.inf
        return lists

    def weights(self, penalty: float) -> Scores:
        """argmin of the mean listwise cross-entropy of softmax(weights . features) plus penalty * |weights|, none negative.

        Proximal gradient with momentum (Beck and Teboulle 2009). A head that helps only when it is turned around is one
        that does not carry over to other corpora, so negative weights are not allowed.
        """
        step = 1 / _steepest(self.features)
        weights, ahead, momentum = np.zeros(self.features.shape[2]), np.zeros(self.features.shape[2]), 1.0
        for _ in range(_STEPS):
            logits = self.features @ ahead + self.absent
            share = np.exp(logits - logits.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            gradient = np.einsum("qdh,qd->h", self.features, share - self.wanted) / len(self.features)
            moved = np.maximum(ahead - step * (gradient + penalty), 0.0)
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead = moved + (momentum - 1) / following * (moved - weights)
            weights, momentum = moved, following
        kept: Scores = np.where(weights >= _LEAST_WEIGHT * weights.max(initial=0.0), weights, 0.0)
        return kept


def _steepest(features: NDArray[np.float64]) -> float:
    """An upper bound of the loss's curvature: half the largest eigenvalue of the mean Gram matrix, by power iteration."""
    vector = np.random.default_rng(0).normal(size=features.shape[2])  # no direction that data could be blind to
    size = 1.0
    for _ in range(30):
        vector = np.einsum("qdh,qd->h", features, features @ vector) / len(features)
        size = float(np.linalg.norm(vector)) or 1.0
        vector /= size
    return 0.55 * size


Method = Literal["qr", "core", "ndcg", "sparse", "joint"]
METHODS: tuple[Method, ...] = get_args(Method)
SIZES = (4, 6, 8, 12, 16)
PENALTIES = (0.2, 0.1, 0.05, 0.02, 0.01)
TEMPERATURES = (0.001, 0.01, 0.1, 1.0)


class NothingFound(ValueError):
    """The examples support no choice of heads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """scores: float64 [n_heads, n_documents]. grades: [n_documents], above 0 is relevant; at least one is.

    nulls: what the heads say of the documents where nothing is asked, [n_heads, n_documents]; joint alone needs it.
    taught: grades are shares that a teacher gives, and what is learned aims at those; else at all that is relevant alike.
    """

    scores: Scores
    grades: NDArray[np.float64]
    nulls: Scores | None = None
    taught: bool = False

    def __post_init__(self) -> None:
        if self.scores.shape[1] != len(self.grades) or not (self.grades > 0).any():
            raise ValueError("an example needs one grade per document, and a relevant one")
        if self.nulls is not None and self.nulls.shape != self.scores.shape:
            raise ValueError("an example needs one null score per score")

    @property
    def wanted(self) -> NDArray[np.float64]:
        """Share of each document that weights should come to: [n_documents], of sum 1."""
        shares = self.grades if self.taught else (self.grades > 0).astype(np.float64)
        result: NDArray[np.float64] = shares / shares.sum()
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """weights: float64 [n_heads], 0 for heads that are not read.

    prior: float64 [n_heads], how much of each head's null score is taken off a document, whatever is asked; None
        where scores are standardised, of which nothing more is taken off.
    ndcg: cross-validated nDCG@10, mean over examples; error: its standard error.
    """

    weights: Scores
    method: Method
    setting: float
    ndcg: float
    error: float
    prior: Scores | None = None


def find(examples: Sequence[Example], *, methods: Sequence[Method] = ("core",), folds: int = 5) -> Found:
    """The method that ranks best on examples it was not fitted to, in one of its settings, fitted to all.

    Of a method's settings that one is taken which keeps least, among those within a quarter of a standard error of the
    best: such differences are noise, heads are not free, and fewer of them carry over better. With a teacher it is the one
    that keeps most: agreement with it is had from few heads, and says little of what more of them would add. Examples are
    dealt to the folds in turn, so what was drawn at random is left out at random.

    Raises:
        NothingFound: too few examples for two folds, or no method and setting keeps a head.
    """
    require_enough(len(examples), folds=folds)
    most = any(each.taught for each in examples)
    tried = [
        (method, *_as_good(held_out, most=most))
        for method in methods
        if (held_out := _held_out(examples, method, folds))
    ]
    for method, setting, values in sorted(tried, key=lambda each: -float(each[2].mean())):
        weights, prior = fit(examples, method, setting)
        if weights.any():
            figures = {"setting": setting, "ndcg": float(values.mean()), "error": _error(values)}
            return Found(weights=weights, prior=prior, method=method, **figures)
    raise NothingFound(f"no head ranks these {len(examples)} examples: {', '.join(methods)} kept none")


def _as_good(held_out: Mapping[float, Scores], *, most: bool) -> tuple[float, Scores]:
    """The first or last setting as good as the best, and its values. Settings go from fewest heads to most."""
    best = max(held_out.values(), key=lambda values: float(values.mean()))
    enough = float(best.mean()) - _error(best) / 4
    good = [(setting, values) for setting, values in held_out.items() if values.mean() >= enough]
    return good[-1 if most else 0]


def _error(values: Scores) -> float:
    """Standard error of a mean."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def require_enough(n: int, *, folds: int = 5) -> None:
    """Raises:
    NothingFound: there are not two examples for every fold.
    """
    if n < 2 * folds:
        raise NothingFound(f"finding heads needs at least {2 * folds} examples, got {n}")


Fit = tuple[Scores, Scores | None]
"""Weights and prior, as `Found` has them."""


def fit(examples: Sequence[Example], method: Method, setting: float) -> Fit:
    """Weights [n_heads] and prior. `setting` is how many heads are kept, for sparse and joint the penalty."""
    (result,) = _fits(examples, method, [setting])
    return result


def _fits(examples: Sequence[Example], method: Method, settings: Sequence[float]) -> list[Fit]:
    """A fit for each setting; what does not depend on it is computed once."""
    if method == "joint":
        return _joint(examples, settings)
    if method == "sparse":
        lists = Lists.of([standardised(each.scores) for each in examples], [each.wanted for each in examples])
        return [(lists.weights(penalty), None) for penalty in settings]
    best_first = np.argsort(-_VALUES[method](examples), kind="stable")
    fits = list[Fit]()
    for size in settings:
        weights = np.zeros(len(best_first))
        weights[best_first[: int(size)]] = 1.0
        fits.append((weights, None))
    return fits


def scored(example: Example, weights: Scores, prior: Scores | None = None) -> Scores:
    """The documents' scores under a fit: [n_documents]."""
    if prior is None:
        return _weighed(example, weights)
    assert example.nulls is not None  # what has a prior was fitted to examples with nulls
    result: Scores = weights @ example.scores - prior @ example.nulls
    return result


def mean_ndcg(examples: Sequence[Example], weights: Scores) -> float:
    """nDCG@10 of weighed heads, mean over examples."""
    return float(np.mean([ndcg(_weighed(each, weights), each.grades) for each in examples]))


def _weighed(example: Example, weights: Scores) -> Scores:
    """Standardised scores of the heads, each times its head's weight, added up: [n_documents]."""
    result: Scores = weights @ standardised(example.scores)
    return result


def ndcg_per_head(examples: Sequence[Example]) -> Scores:
    """nDCG@10 of every head alone, mean over examples: [n_heads]."""
    result: Scores = np.mean([ndcg(each.scores, each.grades) for each in examples], axis=0)
    return result


def ndcg(scores: Scores, grades: NDArray[np.float64], *, k: int = 10) -> Scores:
    """nDCG@k against the best order of these candidates, along the last axis.

    Not from ir_measures: that breaks ties by doc_id and reads one ranking at a time; here all heads are measured at once.
    Equal scores count as the mean over all their orders (McSherry and Najork, ECIR 2008), so that a head which gives all
    documents the same score is no better than chance, wherever the relevant ones stand among them.
    """
    gains = np.maximum(grades, 0.0)
    discount = 1 / np.log2(np.arange(2, k + 2))[: len(gains)]
    best = (np.sort(gains)[::-1][:k] * discount[:k]).sum()
    order = np.argsort(-scores, axis=-1, kind="stable")
    in_order = np.take_along_axis(scores, order, -1)
    gained = gains[order]
    if (in_order[..., 1:] == in_order[..., :-1]).any():
        gained = _mean_of_equals(gained, in_order)
    result: Scores = (gained[..., : len(discount)] * discount).sum(-1) / best
    return result


def _mean_of_equals(gains: Scores, scores: Scores) -> Scores:
    """Gains in rank order [..., n], each replaced by the mean of those with the same score."""
    ranks = np.arange(scores.shape[-1])
    differs = scores[..., 1:] != scores[..., :-1]
    edge = np.ones((*scores.shape[:-1], 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.concatenate((edge, differs), -1), ranks, 0), -1)
    last = np.where(np.concatenate((differs, edge), -1), ranks, ranks[-1])
    last = np.minimum.accumulate(last[..., ::-1], -1)[..., ::-1]
    up_to = np.concatenate((np.zeros_like(edge, dtype=gains.dtype), gains.cumsum(-1)), -1)
    total = np.take_along_axis(up_to, last + 1, -1) - np.take_along_axis(up_to, first, -1)
    result: Scores = total / (last + 1 - first)
    return result


def _qr(examples: Sequence[Example]) -> Scores:
    result: Scores = np.mean([each.scores[:, each.grades > 0].sum(1) for each in examples], axis=0)
    return result


def _core(examples: Sequence[Example]) -> Scores:
    """Best over temperatures, each judged by nDCG of its eight best heads on the same examples."""
    shares = [np.mean([_share(each, temperature) for each in examples], axis=0) for temperature in TEMPERATURES]
    return max(shares, key=lambda values: mean_ndcg(examples, (values >= np.sort(values)[-8:][0]).astype(np.float64)))


def _share(example: Example, temperature: float) -> Scores:
    """Mean share of a relevant document against all that are not: [n_heads]."""
    logits = example.scores / temperature
    logits = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    others = weights[:, example.grades <= 0].sum(axis=1, keepdims=True)
    relevant = weights[:, example.grades > 0]
    result: Scores = (relevant / np.maximum(relevant + others, 1e-300)).mean(axis=1)
    return result


def _joint(examples: Sequence[Example], penalties: Sequence[float]) -> list[Fit]:
    """Weights and prior for each penalty, of matches as they are.

    Every feature is divided by its spread within an example, pooled over all, so that the penalty meets all alike; the
    fits are given in the units of the matches.
    """
    if any(each.nulls is None for each in examples):
        raise ValueError("joint needs examples with null scores")
    both = [np.concatenate((each.scores, -each.nulls)) for each in examples if each.nulls is not None]
    size = np.sqrt(np.mean([each.var(axis=1) for each in both], axis=0))
    size[size == 0] = 1.0
    centred = [(each - each.mean(axis=1, keepdims=True)) / size[:, None] for each in both]
    lists = Lists.of(centred, [each.wanted for each in examples])
    halves = (np.split(lists.weights(penalty) / size, 2) for penalty in penalties)
    return [(weights, prior) for weights, prior in halves]


_VALUES: dict[str, Callable[[Sequence[Example]], Scores]] = {"qr": _qr, "core": _core, "ndcg": ndcg_per_head}
"""Methods that give every head a value: [n_heads], higher is better."""


def _held_out(examples: Sequence[Example], method: Method, folds: int) -> dict[float, Scores]:
    """Setting -> nDCG@10 of every example under weights that were fitted without its fold.

    A setting that keeps no head in some fold is left out: weights of nothing rank nothing.
    """
    settings: Sequence[float] = PENALTIES if method in ("sparse", "joint") else SIZES
    values, empty = {setting: np.empty(len(examples)) for setting in settings}, set[float]()
    for fold in range(folds):
        training = [each for place, each in enumerate(examples) if place % folds != fold]
        for setting, (weights, prior) in zip(settings, _fits(training, method, settings), strict=True):
            if not weights.any():
                empty.add(setting)
            for place in range(fold, len(examples), folds):
                values[setting][place] = ndcg(scored(examples[place], weights, prior), examples[place].grades)
    return {setting: each for setting, each in values.items() if setting not in empty}
