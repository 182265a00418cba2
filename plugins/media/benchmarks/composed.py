"""Questions of a picture and words: "the same with a dark skin tone", among emoji of the same drawing.

The mix of retrieve.pictures: (1 - a) picture + a words. `a` is chosen on the train triplets, and the dev triplets are asked. The
gallery is all pictures of the split in the drawing of the reference, without the reference.

    RAGLINE_EVAL_DATA=... python -m plugins.media.benchmarks.composed [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record, record
from plugins.media.benchmarks.bed import SETS, Words, folder, records, seen
from plugins.media.benchmarks.found_by_words import ENGLISH, fitted
from ragline_media.leg.composed import weighted
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.tower import Tower

NAME = "pictures_composed"
GRID = tuple(round(0.05 * step, 2) for step in range(21))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A picture, what is to be different, and what is right. Rows are those of the emoji."""

    reference: int
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
            words=vector,
            target=rows[each["target"]],
            kind=each["kind"],
            gallery=tuple(
                r for r in galleries[items[rows[each["reference"]]]["style"]] if r != rows[each["reference"]]
            ),
        )
        for each, vector in zip(own, spoken, strict=True)
    ]


def right_first(some: Sequence[Asked], vectors: NDArray[np.float32], share: float) -> list[bool]:
    """Whether nothing in the gallery is nearer than the target."""
    found = []
    for each in some:
        query = weighted(vectors[each.reference], each.words, share)
        assert query is not None
        others = [row for row in each.gallery if row != each.target]
        found.append(bool((vectors[others] @ query).max() < vectors[each.target] @ query))
    return found


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
    chosen = max(GRID[1:-1], key=lambda share: sum(right_first(train, vectors, share)))
    for way, share in (("picture", 0.0), ("words", 1.0), ("weighted", chosen)):
        found = right_first(dev, vectors, share)
        for kind in ("all", *sorted({each.kind for each in dev})):
            own = [hit for hit, each in zip(found, dev, strict=True) if kind in ("all", each.kind)]
            line = {
                "way": way,
                "share": share,
                "kind": kind,
                "triplets": len(own),
                "recall@1": round(sum(own) / max(1, len(own)), 3),
            }
            print(line, flush=True)
            if given.record:
                record(NAME, line)


if __name__ == "__main__":
    main()
