"""Measures of media beside texts: pairs that belong crosswise, how two sides of a space lie to each other, which label fits, and
whether what is seldom said is seldom found.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.indexes import unit

Floats = NDArray[np.floating]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PairScores:
    """Shares of items, 0 to 1. By chance `text` and `media` are a quarter, `group` a sixth."""

    text: float
    media: float
    group: float
    n: int


def pair_scores(similarities: Floats) -> PairScores:
    """Scores of items of two media and two texts (Thrush et al., CVPR 2022; CompA, Ghosh et al., ICLR 2024).

    `text`: both media have their own text ahead. `media`: both texts have their own medium ahead. `group`: all four. What is equal
    is not ahead.

    Args:
        similarities: [n, 2, 2], of medium i to text j of each item; i = j belong together.

    Raises:
        ValueError: another shape, or nothing to tell from.
    """
    if similarities.ndim != 3 or similarities.shape[1:] != (2, 2) or not len(similarities):
        raise ValueError(f"pair_scores takes similarities of [n, 2, 2], n above 0, got {[*similarities.shape]}")
    own = np.diagonal(similarities, axis1=1, axis2=2)
    crossed = similarities[:, [0, 1], [1, 0]]
    text = (own > crossed).all(axis=1)
    media = (own > crossed[:, ::-1]).all(axis=1)
    return PairScores(float(text.mean()), float(media.mean()), float((text & media).mean()), len(similarities))


def binding_bias(probabilities: Floats, own: NDArray[np.integer], other: NDArray[np.integer]) -> float:
    """How much more an attribute is taken from the other thing of a picture than from the one that is asked for: the mean of
    P(the other's) - P(the own), from -1 to 1 (after CAB: Lemons are purple, EMNLP 2023, arXiv 2212.12043; the form is ours).

    Args:
        probabilities: [n, values], of each value for the thing that is asked for.
        own: [n], which value it has.
        other: [n], which value the other thing of its picture has.

    Raises:
        ValueError: nothing is asked, or a picture's things have one value, so that they cannot be told apart.
    """
    if not len(probabilities) or (own == other).any():
        raise ValueError("binding_bias needs pictures of two things with different values, one at least")
    rows = np.arange(len(probabilities))
    return float((probabilities[rows, other] - probabilities[rows, own]).mean())


@dataclass(frozen=True, slots=True)
class Geometry:
    """`gap`: distance of the middles of both sides. `alignment`: mean squared distance of pairs. `relative_alignment`: how much
    farther a medium's own text is than the nearest one, squared; 0 where all find their own. `uniformity`: log of the mean of
    exp(-2 |x - y|^2) over all of both sides, lower for a space that is used more evenly (Wang and Isola, ICML 2020)."""

    gap: float
    alignment: float
    relative_alignment: float
    uniformity: float


def linear_cka(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """How alike two networks lay out the same items, from 0 to 1 (centred kernel alignment; Kornblith et al., ICML 2019).

    |Y' X|^2 / (|X' X| |Y' Y|) of centred features [n, d] and [n, e], row by row, by Frobenius norms. A turn of either side changes
    nothing. By it the projector alignment of Maniparambil et al. (CVPR 2025) chooses which two towers to bring together.

    Raises:
        ValueError: sides that do not fit, or a side whose items are all the same.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"linear_cka takes features of the same items, two at least, got {len(x)} and {len(y)}")
    x, y = x - x.mean(axis=0, dtype=np.float64), y - y.mean(axis=0, dtype=np.float64)
    own = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    if not own:
        raise ValueError("linear_cka: all items of a side are the same")
    return float(np.linalg.norm(y.T @ x) ** 2) / own


def geometry(v: NDArray[np.floating], t: NDArray[np.floating]) -> Geometry:
    """Of pairs [n, d], of length 1, row by row.

    Raises:
        ValueError: fewer than two pairs, or sides that do not fit.
    """
    if v.shape != t.shape or len(v) < 2:
        raise ValueError(f"geometry takes pairs [n, d], n above 1, got {[*v.shape]} and {[*t.shape]}")
    apart = 2 - 2 * v @ t.T
    own = np.diagonal(apart)
    every = np.concatenate([v, t])
    distances = 2 - 2 * every @ every.T
    upper = distances[np.triu_indices(len(every), k=1)]
    return Geometry(
        gap=float(np.linalg.norm(v.mean(axis=0) - t.mean(axis=0))),
        alignment=float(own.mean()),
        relative_alignment=float((own - apart.min(axis=1)).mean()),
        uniformity=float(np.log(np.exp(-2 * upper).mean())),
    )


def label_vectors(
    encode: Callable[[Sequence[str]], Vectors], names: Sequence[str], templates: Sequence[str]
) -> Vectors:
    """float32 [names, d], of length 1: of each name the mean over templates, such as "a photo of a {}" (Radford et al., 2021).

    Raises:
        ValueError: no template, or one without a place for the name.
    """
    if not templates or any(template.count("{}") != 1 for template in templates):
        raise ValueError("label_vectors needs templates, each with one {} for the name")
    each = [encode([template.replace("{}", name) for name in names]) for template in templates]
    return unit(np.asarray(np.mean(each, axis=0, dtype=np.float64), dtype=np.float32))


def label_accuracy(media: Vectors, labels: Vectors, right: Sequence[int]) -> float:
    """The share of media whose nearest label is the right one; of equally near ones the first.

    Args:
        media: [n, d], of length 1.
        labels: [m, d], of length 1.
        right: [n], which label it is.
    """
    if not len(media) or len(media) != len(right):
        raise ValueError(f"label_accuracy: {len(media)} media and {len(right)} labels of them do not fit")
    return float(((media @ labels.T).argmax(axis=1) == np.asarray(right)).mean())


def read_label_languages(path: Path) -> Mapping[str, tuple[list[int], list[str]]]:
    """Babel-ImageNet's file: language -> places of classes among the thousand, and what they are called in it.

    Its labels are under terms that forbid to ship them or to learn from them: they are for measuring alone.

    Raises:
        SpecError: the file cannot be read, or has another layout.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        made = {
            str(language): ([int(each) for each in ids], list(map(str, names)))
            for language, (ids, names) in known.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as cause:
        raise SpecError(
            f"'{path}' is no file of labels by language: language to [places, names] ({cause!r})"
        ) from cause
    if uneven := [language for language, (ids, names) in made.items() if len(ids) != len(names)]:
        raise SpecError(f"'{path}': {', '.join(uneven)} has not as many names as places")
    return made


@dataclass(frozen=True, slots=True)
class Trend:
    """accuracy = offset + slope * log10(count), by least squares. `r2`: the share of the variance that it tells, 0 to 1."""

    slope: float
    offset: float
    r2: float
    n: int


def trend(accuracy: Mapping[str, float], counts: Mapping[str, int]) -> Trend:
    """The line through concepts that occur at least once (Udandarao et al., NeurIPS 2024).

    Raises:
        ValueError: fewer than three concepts occur, or all as often, so that there is no line.
    """
    from scipy.stats import linregress

    names = [name for name in accuracy if counts.get(name, 0) > 0]
    x, y = np.log10([counts[name] for name in names]), np.array([accuracy[name] for name in names])
    if len(names) < 3 or np.ptp(x) == 0:
        raise ValueError(
            f"trend needs three concepts that occur, not all as often; {len(names)} of {len(accuracy)} occur"
        )
    line = linregress(x, y)
    return Trend(float(line.slope), float(line.intercept), float(line.rvalue**2) if np.ptp(y) else 1.0, len(names))


def concept_counts(captions: Iterable[str], concepts: Sequence[str]) -> dict[str, int]:
    """In how many captions each concept occurs, as whole words, whatever their case, in the plural too (with an s).

    >>> concept_counts(["Two red buses", "a busy road", "A BUS"], ["bus", "road"])
    {'bus': 1, 'road': 1}
    """
    patterns = {name: re.compile(rf"(?<!\w){re.escape(name.casefold())}s?(?!\w)") for name in concepts}
    found = Counter[str]()
    for caption in captions:
        text = caption.casefold()
        found.update(name for name, pattern in patterns.items() if pattern.search(text))
    return {name: found[name] for name in concepts}
