"""Questions of a picture and words: "the same with a dark skin tone", among emoji of the same drawing.

As retrieve.pictures reads it: weighted, (1 - a) picture + a words, where `a` is chosen on the train triplets; rewritten, the
caption with the words behind it; direction, picture and caption moved by the difference. The caption is that of the nearest train
picture, or the true one, which nobody has who asks by a picture alone. The dev triplets are asked. The gallery is all pictures of
the split in the drawing of the reference, without the reference. Intervals are of triplets drawn again.

    RAGLINE_EVAL_DATA=... python -m plugins.media.benchmarks.composed [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record, record
from plugins.media.benchmarks.bed import SETS, Words, folder, records, seen
from plugins.media.benchmarks.found_by_words import ENGLISH, fitted
from rag.evaluate import mean_interval
from ragline_media.leg.retriever import along, edited, weighted
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.tower import Tower

NAME = "pictures_composed"
GRID = tuple(round(0.05 * step, 2) for step in range(21))
SHARES, FAR = (0.0, 0.25, 0.5, 0.75), (0.4, 0.7, 1.0, 1.4)
"""How much the side of the words counts along a direction, and how far the picture goes; chosen on train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A picture, what is to be different, and what is right. Rows are those of the emoji."""

    reference: int
    text: str
    words: NDArray[np.float32]
    target: int
    kind: str
    gallery: tuple[int, ...]


def asked(words: Words, items: Sequence[Mapping[str, Any]], split: str, limit: int | None) -> list[Asked]:
    """The triplets of a split."""
    rows = {item["id"]: row for row, item in enumerate(items)}
    galleries: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        if item["split"] == split:
            galleries.setdefault(item["style"], []).append(row)
    with gzip.open(folder() / "emoji" / "triplets.jsonl.gz", "rt", encoding="utf-8") as lines:
        triplets = [each for each in map(json.loads, lines) if each["reference"] in rows and each["target"] in rows]
    own = [each for each in triplets if items[rows[each["reference"]]]["split"] == split][:limit]
    spoken = words.of([each["modification"]["en"][0] for each in own])
    return [
        Asked(
            reference=rows[each["reference"]],
            text=each["modification"]["en"][0],
            words=vector,
            target=rows[each["target"]],
            kind=each["kind"],
            gallery=tuple(
                r for r in galleries[items[rows[each["reference"]]]["style"]] if r != rows[each["reference"]]
            ),
        )
        for each, vector in zip(own, spoken, strict=True)
    ]


def right_first(
    some: Sequence[Asked], vectors: NDArray[np.float32], queries: Sequence[NDArray[np.float32]]
) -> list[bool]:
    """Whether nothing in the gallery is nearer than the target."""
    found = []
    for each, query in zip(some, queries, strict=True):
        others = [row for row in each.gallery if row != each.target]
        found.append(bool((vectors[others] @ query).max() < vectors[each.target] @ query))
    return found


def mixed(some: Sequence[Asked], vectors: NDArray[np.float32], share: float) -> list[NDArray[np.float32]]:
    """Questions as a mix of picture and words."""
    found = (weighted(vectors[each.reference], each.words, share) for each in some)
    return [query for query in found if query is not None]


def nearest_captions(
    some: Sequence[Asked], vectors: NDArray[np.float32], items: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Of each question's picture, the caption of the train picture that is nearest to it, itself aside."""
    known = [row for row, item in enumerate(items) if item["split"] == "train" and item["captions"].get("en")]
    near = vectors[[each.reference for each in some]] @ vectors[known].T
    near[np.array([each.reference for each in some])[:, None] == np.array(known)] = -1
    return [str(items[known[place]]["captions"]["en"][0]) for place in near.argmax(1)]


def true_captions(some: Sequence[Asked], vectors: NDArray[np.float32], items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each question's picture its own caption."""
    return [str(items[each.reference]["captions"]["en"][0]) for each in some]


def moved(
    some: Sequence[Asked], vectors: NDArray[np.float32], captions: Sequence[str], words: Words
) -> dict[str, list[NDArray[np.float32]]]:
    """Questions by their captions: rewritten, and along the direction, in each way that there is."""
    before = words.of(captions)
    after = words.of([edited(caption, each.text) for caption, each in zip(captions, some, strict=True)])
    pictures = vectors[[each.reference for each in some]]
    made = {
        f"direction {share} {far}": [
            along(*each, share=share, of_picture=far, of_words=1.2)
            for each in zip(pictures, before, after, strict=True)
        ]
        for share, far in product(SHARES, FAR)
    }
    return {"rewritten": [*after], **made}


def best_direction(
    some: Sequence[Asked], vectors: NDArray[np.float32], made: Mapping[str, Sequence[NDArray[np.float32]]]
) -> str:
    """The way along the direction that finds most."""
    ways = [way for way in made if way.startswith("direction")]
    return max(ways, key=lambda way: sum(right_first(some, vectors, made[way])))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="triplets of each split, to try it")
    parser.add_argument("--record", action=Record, help="keep the results")
    given = parser.parse_args(argv)
    tower, words = Tower(TOWER), Words(ENGLISH)
    limit = None if given.limit is None else 40 * given.limit
    sets = {name: seen(name, tower, limit=limit) for name in (SETS if limit is None else ("emoji",))}
    items = records("emoji")
    if limit is not None:
        items = [each for split in ("train", "dev") for each in [i for i in items if i["split"] == split][:limit]]
    vectors = fitted(words, sets)(words.inputs(sets["emoji"]))
    train, dev = (asked(words, items, split, given.limit) for split in ("train", "dev"))
    chosen = max(GRID[1:-1], key=lambda share: sum(right_first(train, vectors, mixed(train, vectors, share))))
    ways = {
        "picture": mixed(dev, vectors, 0.0),
        "words": mixed(dev, vectors, 1.0),
        "weighted": mixed(dev, vectors, chosen),
    }
    for whose, said in (("nearest", nearest_captions), ("true", true_captions)):
        made, taught = (moved(some, vectors, said(some, vectors, items), words) for some in (dev, train))
        best = best_direction(train, vectors, taught)
        ways |= {f"rewritten, {whose} caption": made["rewritten"], f"{best}, {whose} caption": made[best]}
    for way, queries in ways.items():
        found = right_first(dev, vectors, queries)
        for kind in ("all", *sorted({each.kind for each in dev})):
            own = [float(hit) for hit, each in zip(found, dev, strict=True) if kind in ("all", each.kind)]
            ends = mean_interval(own)
            line = {
                "way": way,
                "share": chosen if way == "weighted" else None,
                "kind": kind,
                "triplets": len(own),
                "recall@1": round(sum(own) / len(own), 3),
                "interval": [round(ends.low, 3), round(ends.high, 3)],
                "model": f"{TOWER} and {ENGLISH}",
            }
            print(line, flush=True)
            if given.record:
                record(NAME, line)


if __name__ == "__main__":
    main()
