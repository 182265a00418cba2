"""Pictures with captions of the evaluation data, and how far words find them."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_samples import data_folder
from rag.indexes import SentenceEncoder
from rag.reading import Beside
from ragline_media.reading.picture import parse
from ragline_media.tower.fitting import spoken
from ragline_media.tower.space import concepts_of, inputs, tags
from ragline_media.tower.tower import Tower

SETS = ("emoji", "tux", "clipart", "coco")
"""Of which the train splits are what a projector is fitted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture of a set, and its rows in the arrays of `Seen`."""

    row: int
    split: str
    group: str
    style: str
    toned: bool
    captions: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Pictures of a set in order, what the tower says of each, and its pooled numbers."""

    shown: tuple[Shown, ...]
    pooled: NDArray[np.float32]
    logits: NDArray[np.float32]


def folder() -> Path:
    """Where the sets lie."""
    return data_folder() / "multimodal"


def records(name: str) -> list[dict[str, Any]]:
    """The pictures of a set as its file lists them."""
    with gzip.open(folder() / name / "pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [item for item in map(json.loads, lines) if item["kind"] == "image"]


def pictures(name: str, some: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The bytes of pictures, as an index keeps them."""
    archives = {each: zipfile.ZipFile(folder() / name / each) for each in {item["archive"] for item in some}}
    read = [archives[item["archive"]].read(item["media"]) for item in some]
    return [
        next(parse(data, item["media"], lambda reason, lost=False: None, Beside())).kept[0].data
        for item, data in zip(some, read, strict=True)
    ]


def seen(name: str, tower: Tower, *, limit: int | None = None, toned: bool = True) -> Seen:
    """A set, looked at. `limit`: of each split. `toned`: drawings that differ from another in their skin alone, too."""
    items = [each for each in records(name) if toned or not each.get("tone")]
    if limit is not None:
        items = [each for split in ("train", "dev") for each in [i for i in items if i["split"] == split][:limit]]
    features = tower.features(pictures(name, items))
    shown = tuple(
        Shown(
            row=row,
            split=item["split"],
            group=item["group"],
            style=item.get("style", ""),
            toned=bool(item.get("tone")),
            captions={language: tuple(texts) for language, texts in item["captions"].items()},
        )
        for row, item in enumerate(items)
    )
    return Seen(shown=shown, pooled=features.pooled, logits=features.logits)


class Words:
    """A text encoder, and what it makes of the names of classes."""

    def __init__(self, model: str) -> None:
        self.encoder = SentenceEncoder(model=model)
        self.concepts = concepts_of(self._encode)

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n, dim], as captions are encoded."""
        return self._encode([spoken(text) for text in texts])

    def tags(self, some: Seen) -> NDArray[np.float32]:
        """What pictures are told by where nothing is fitted."""
        return tags(_features(some), self.concepts)

    def inputs(self, some: Seen) -> NDArray[np.float32]:
        """What a projector reads of pictures."""
        return inputs(_features(some), self.concepts)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encoder.encode(texts, role="query")


def _features(some: Seen) -> Any:
    from ragline_media.tower.tower import Features

    return Features(some.pooled, some.logits)


def ranks(
    words: Words, vectors: NDArray[np.float32], some: Sequence[Shown], language: str = "en"
) -> list[tuple[str, int]]:
    """For each caption its picture's group, and the rank from 0 of the best picture that has the same caption."""
    asked = [(text, each.group) for each in some for text in each.captions.get(language, ())]
    having: dict[str, list[int]] = {}
    for place, each in enumerate(some):
        for text in each.captions.get(language, ()):
            having.setdefault(spoken(text), []).append(place)
    scores = words.of([text for text, _ in asked]) @ vectors.T
    found = []
    for (text, group), own in zip(asked, scores, strict=True):
        best = max(own[place] for place in having[spoken(text)])
        found.append((group, int((own > best).sum())))
    return found


def recall(found: Sequence[tuple[str, int]], k: int) -> float:
    """Share of captions whose picture is among the first k."""
    return sum(rank < k for _, rank in found) / len(found)


def interval(found: Sequence[tuple[str, int]], k: int, *, draws: int = 1000) -> tuple[float, float]:
    """The middle 95% of recall over groups drawn with replacement: captions of one picture stand or fall together."""
    groups: dict[str, list[bool]] = {}
    for group, rank in found:
        groups.setdefault(group, []).append(rank < k)
    hits = [(sum(own), len(own)) for own in groups.values()]
    draw, means = random.Random(0), list[float]()
    for _ in range(draws):
        some = draw.choices(hits, k=len(hits))
        means.append(sum(n for n, _ in some) / sum(n for _, n in some))
    means.sort()
    return means[int(0.025 * draws)], means[int(0.975 * draws)]
