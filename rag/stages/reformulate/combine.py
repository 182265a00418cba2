"""Query and written texts -> what legs search with: the `parts` that dense legs average, the texts that lexical legs count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rag.core.types import QueryPart

Weighted = list[tuple[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is combined: the query's text, the usable texts in order, and how many replies had none."""

    query: str
    texts: Sequence[str]
    empty: int
    separator: str
    repeat: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """`parts` for dense legs; `counted` for lexical legs, texts and weights."""

    parts: Callable[[Material], tuple[QueryPart, ...]]
    counted: Callable[[Material], Weighted]


def _documents(material: Material) -> tuple[QueryPart, ...]:
    return tuple(QueryPart(text=text, role="document") for text in material.texts)


def _beside(material: Material) -> tuple[QueryPart, ...]:
    """The query and its texts, which are encoded as documents, weigh alike."""
    return (QueryPart(text=material.query), *_documents(material))


def _halved(material: Material) -> tuple[QueryPart, ...]:
    """The query weighs as much as all its texts, which are encoded as documents."""
    return (QueryPart(text=material.query, weight=float(len(material.texts))), *_documents(material))


def _joined(material: Material) -> tuple[QueryPart, ...]:
    """Query and text as one query, for every text; equal texts are encoded once and weigh as often as they came."""
    return tuple(
        QueryPart(text=f"{material.query}{material.separator}{text}", weight=float(material.texts.count(text)))
        for text in dict.fromkeys(material.texts)
    )


def _joined_or_bare(material: Material) -> tuple[QueryPart, ...]:
    """As `_joined`, with the bare query in place of every empty text."""
    bare = (QueryPart(text=material.query, weight=float(material.empty)),) if material.empty else ()
    return (*_joined(material), *bare)


def _query(material: Material) -> Weighted:
    return [(material.query, 1.0)]


def _repeated(material: Material) -> Weighted:
    return [(material.query, material.repeat), *((text, 1.0) for text in material.texts)]


def _as_often(material: Material) -> Weighted:
    return [(material.query, float(len(material.texts))), *((text, 1.0) for text in material.texts)]


COMBINATIONS: Mapping[str, Combination] = {
    "mean": Combination(parts=_beside, counted=_query),
    "halves": Combination(parts=_halved, counted=_as_often),
    "joined": Combination(parts=_joined, counted=_repeated),
    "thoughts": Combination(parts=_joined_or_bare, counted=_query),
}
