"""A medium brought to where texts are, by texts that are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.indexes import unit

Vectors = NDArray[np.float32]


def among_texts(media: Vectors, memory: Vectors, *, temperature: float = 0.01) -> Vectors:
    """float32 [n, d], of length 1: of each medium the mean of the memory's texts, weighted by a softmax of their similarities.

    Media and texts of one space still lie apart; a decoder that learnt from texts alone is given a medium in this way (zero-shot
    audio captioning with soft prompts; the mixture of texts at its inference).

    Args:
        media: [n, d], of length 1.
        memory: [m, d], of length 1.
        temperature: near 0 takes the nearest text alone.
    """
    if not len(memory):
        raise ValueError("among_texts: there is no text to bring media to")
    scores = media @ memory.T / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return unit((powers / powers.sum(axis=1, keepdims=True) @ memory).astype(np.float32))


def nearest_texts(media: Vectors, memory: Vectors, *, k: int = 3) -> NDArray[np.int64]:
    """[n, k]: places of the texts most like each medium, best first; of equal ones the earlier."""
    scores = media @ memory.T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def through_texts(sounds: Vectors, texts: Vectors, pictures: Vectors, *, k: int = 3) -> Vectors:
    """float32 [n sounds, m pictures]: of each sound the `k` texts that are nearest to it, and how near pictures are to these, in
    their mean. Neither side was ever paired with the other; texts are what both were (LanguageBind, CoAVT).

    Args:
        sounds, texts, pictures: [., d], of length 1, in one space.
    """
    if not len(texts):
        raise ValueError("through_texts: there is no text between sounds and pictures")
    near = texts[nearest_texts(sounds, texts, k=k)]
    return np.asarray(unit(near.mean(axis=1)) @ pictures.T, dtype=np.float32)
