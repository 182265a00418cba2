"""Questions about a picture, over texts: by the names of what it is like (RoRA-VLM), by the picture itself, and by words alone.

A question is the middle of a picture of dev, a quarter of it, and "what is to be seen here?". What it may be like are all whole
pictures of the set. Of photos these are called by their first caption, and the texts are all others: right is one of the same
photo. Stamps of tux are called by the words of their file, and the texts are their captions: right is the own one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from plugins.train.benchmarks.tower_features import Picture, Read, texts
from plugins.train.benchmarks.tower_losses import gain
from ragline_media.methods.asked_again import Entity, Weighted, anchored, joined
from ragline_train.losses.towers import Towers

QUESTION = "what is to be seen here?"
_MIDDLE = [5, 6, 9, 10]
"""Cells of a grid of four by four."""
_AMONG = 100
_K = 5


def questions(known: Read, towers: Towers) -> Iterator[dict[str, Any]]:
    """A line for each set and way."""
    for name in ("coco", "tux"):
        places = [n for n, each in enumerate(known.pictures) if each.set == name]
        some = [known.pictures[n] for n in places]
        dev = [n for n, each in enumerate(some) if each.split == "dev"]
        said = [(n, caption) for n, each in enumerate(some) for caption in _said(each)]
        passages = Passages([caption for _, caption in said])
        right = np.array([[some[n].group == some[one].group for n, _ in said] for one in dev])
        with torch.no_grad():
            whole = towers.media(torch.from_numpy(known.whole[places])).numpy()
            middle = known.cells[[places[n] for n in dev]][:, _MIDDLE].astype(np.float32).mean(axis=1)
            asked = towers.media(torch.from_numpy(middle)).numpy()
        alike = asked @ whole.T
        ways = {
            "words alone": [passages.found([Weighted(text=QUESTION, weight=1.0)])] * len(dev),
            "the picture": [passages.nearest(one) for one in asked],
            "names": [passages.found(anchored(QUESTION, _entities(some, row))) for row in alike],
        }
        base = _hits(ways["the picture"], right)
        for way, lists in ways.items():
            found = _hits(lists, right)
            yield {
                "set": name,
                "way": way,
                "n": len(dev),
                "texts": len(said),
                f"R@{_K}": round(float(found.mean()), 4),
                "gain": gain(found, base),
            }


class Passages:
    """Texts, and what words and vectors find among them."""

    def __init__(self, said: Sequence[str]) -> None:
        self._vectors = texts(list(said))
        self._words = BM25Okapi([_words(each) for each in said])

    def found(self, asked: Sequence[Weighted]) -> list[int]:
        """Places of texts, best first: of each question a list by words and one by vectors."""
        lists = [
            (each, [str(n) for n in ids])
            for each in asked
            for ids in (self._by_words(each.text), self.nearest(texts([each.text])[0]))
        ]
        return [int(each) for each in joined(lists)]

    def nearest(self, vector: NDArray[np.float32]) -> list[int]:
        """Places of texts by a vector."""
        return np.argsort(-(self._vectors @ vector), kind="stable")[:_AMONG].tolist()

    def _by_words(self, text: str) -> list[int]:
        scores = self._words.get_scores(_words(text))
        best = np.argsort(-scores, kind="stable")[:_AMONG]
        return [int(n) for n in best if scores[n] > 0]


def _said(picture: Picture) -> tuple[str, ...]:
    """The texts on it: of a photo those that are not its name."""
    return picture.captions[1:] if picture.set == "coco" else picture.captions[:1]


def _entities(some: Sequence[Picture], alike: NDArray[np.float32]) -> list[Entity]:
    best = np.argsort(-alike, kind="stable")
    named = [(some[n].captions[0] if some[n].set == "coco" else " ".join(_words(some[n].key)[1:]), n) for n in best[:3]]
    return [Entity(name=name, about="", score=float(alike[n])) for name, n in named]


def _hits(lists: Sequence[Sequence[int]], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Whether a right text is among the first five."""
    return np.array([right[n, list(found[:_K])].any() for n, found in enumerate(lists)], dtype=np.float64)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.casefold())
