"""Fitting a projector on pairs of pictures and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.indexes import SentenceEncoder
from ragline_media.tower.joint import AnyTower, concepts_for
from ragline_media.tower.space import PENALTY, Projector, inputs


def spoken(text: str) -> str:
    """A text as captions are encoded: in small letters, without its last full stop.

    >>> spoken("A red bus. ")
    'a red bus'
    """
    return text.strip().lower().rstrip(".!")


def fit_pairs(
    pictures: Sequence[bytes],
    captions: Sequence[Sequence[str]],
    *,
    tower: AnyTower,
    encoder: SentenceEncoder,
    penalty: float = PENALTY,
) -> Projector:
    """The projector of these pictures into the space of an encoder: each caption of a picture is a pair.

    Raises:
        ValueError: there are fewer than two pairs, or not as many lists of captions as pictures.
        SpecError: a picture cannot be read.
    """
    if len(pictures) != len(captions):
        raise ValueError(f"{len(pictures)} pictures and {len(captions)} lists of captions")
    places = [place for place, own in enumerate(captions) for _ in own]
    texts = [spoken(text) for own in captions for text in own]
    concepts = concepts_for(tower, lambda some: encoder.encode(some, role="query"), dim=encoder.dim)
    features = inputs(tower.features(pictures), concepts)
    return Projector.fit(
        features[np.array(places, dtype=np.intp)], encoder.encode(texts, role="query"), penalty=penalty
    )
