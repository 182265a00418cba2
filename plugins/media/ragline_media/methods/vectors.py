"""Media and texts by their vectors alone: brought nearer by texts that are known, moved by another tower, compared part by part
or word by word.
"""

from __future__ import annotations

from typing import Literal

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


_SHARP = 2.5


def moved(
    question: Vectors, gallery: Vectors, rewards: NDArray[np.floating], *, k: int = 12, step: float = 0.01
) -> Vectors:
    """The question after one step of policy gradient (RLCF: Zhao et al., ICLR 2024, on the question's vector alone).

    The first k are what the policy would answer; each is worth max(2.5 r, 0) less the mean over them, r being what the other tower
    says. As these advantages sum to 0, the gradient of their weighted surprise is the sum of advantage times vector, and no other
    item of the gallery has a part in it. The vector is moved along it by `step` and brought to length 1.

    A step of .01 moves nothing that one can measure, and 1 gained most of those tried. Where the other tower's vectors of the
    gallery are kept, these alone rank better; this is for one that is too slow for that.

    Args:
        question: float32 [d], of length 1.
        gallery: float32 [m, d], of length 1.
        rewards: [m], similarity by the other tower; read for the first k alone.
        k: what the policy answers with.
        step: how far; 0 leaves the question as it is.

    Raises:
        ValueError: rewards that do not fit.
    """
    if len(rewards) != len(gallery):
        raise ValueError(f"moved: {len(rewards)} rewards for {len(gallery)} items do not fit")
    scores = gallery @ question
    first = np.lexsort((np.arange(len(scores)), -scores))[:k]
    worth = np.maximum(_SHARP * np.asarray(rewards)[first], 0)
    pull = (worth - worth.mean()) @ gallery[first]
    found: Vectors = unit((question + step * pull).astype(np.float32)[None])[0]
    return found


_TEMPERATURE = 0.1


def matched_parts(nouns: Vectors, parts: Vectors) -> NDArray[np.int64]:
    """[e]: for each thing the part that is most like its bare noun.

    Args:
        nouns: [e, d], such as of "dog", of length 1.
        parts: [p, d], cells of a grid or boxes, of length 1.
    """
    best: NDArray[np.int64] = np.argmax(nouns @ parts.T, axis=1)
    return best


def score_by_parts(
    text: Vectors,
    picture: Vectors,
    phrases: Vectors,
    parts: Vectors,
    *,
    form: Literal["published", "softmax", "entities"] = "entities",
    share: float = 0.5,
) -> float:
    """How well a text fits a picture (ComCLIP: Jiang et al., NAACL 2024).

    `published`: parts join the picture's vector, each weighted by its similarity to its phrase over the sum of them, and the text
    is compared with that. `softmax`: the weights are a softmax instead, which does not break where similarities are small.
    `entities`, ours: (1 - share) of the text's similarity and `share` of the mean over phrases, each with its part. It is this that
    tells which thing has which attribute where a tower does not.

    Args:
        text: [d]. picture: [d].
        phrases: [e, d], each thing with what is said of it, such as "a black dog".
        parts: [e, d], of each phrase its part (`matched_parts`).

    All are of length 1. A text without things is compared as a whole.
    """
    whole = float(text @ picture)
    if not len(phrases):
        return whole
    own = (phrases * parts).sum(axis=1)
    if form == "entities":
        return (1 - share) * whole + share * float(own.mean())
    if form == "softmax":
        powers = np.exp((own - own.max()) / _TEMPERATURE)
        weights = powers / powers.sum()
    else:
        total = float(own.sum())
        weights = own / total if total else np.full(len(own), 1 / len(own))
    joined = unit((picture + weights @ parts).astype(np.float32)[None])[0]
    return float(text @ joined)


def score_by_tokens(patches: Vectors, words: Vectors, counted: NDArray[np.bool_]) -> float:
    """How well a text fits a picture (FILIP: Yao et al., ICLR 2022): the mean over patches of their best word and the mean over
    words of their best patch, half of each. What fills a text up is neither best nor counted.

    Args:
        patches: [p, d]. words: [w, d]. All of length 1.
        counted: [w], false where there is no word.

    Raises:
        ValueError: no word is counted, or there is no patch.
    """
    if not counted.any() or not len(patches):
        raise ValueError("score_by_tokens needs one patch and one word that counts")
    likeness = patches @ words[counted].T
    return float((likeness.max(axis=1).mean() + likeness.max(axis=0).mean()) / 2)
