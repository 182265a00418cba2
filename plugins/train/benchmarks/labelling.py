"""Which pictures a person labels: of the class with fewest labels as a model sees them (PCB), or at random.

Tiles of `multimodal/aerial` from above, seven classes, seen by EfficientNet-Lite0. The first seven are chosen by the nearest name
of a class, without a label; then a ridge regression to the names of classes is fitted on what was labelled, and says what the next
seven are. Accuracy on `dev` after each round, the mean over draws of labels; differences to random with 95% intervals by drawing
tiles of `dev` again. `even` has as many tiles of each class to choose from; in `uneven` each class has two thirds of the one
before.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.labelling [--rounds 8] [--draws 20] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record, record
from plugins.media.benchmarks.bed import Shown, Words, seen
from plugins.media.benchmarks.found_by_words import AERIAL_PENALTY, ENGLISH
from plugins.train.benchmarks.tower_losses import gain
from rag.indexes import unit
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.tower import Tower
from ragline_train.losses.classes import next_to_label

Vectors = NDArray[np.float32]
MODEL = "efficientnet-lite0 and all-minilm-l6-v2"
_TAIL = 2 / 3


class Tiles:
    """What is labelled and what is told: features, classes, and the vectors of their names."""

    def __init__(self, *, limit: int | None = None) -> None:
        some, words = seen("aerial", Tower(TOWER), limit=limit), Words(ENGLISH)
        self.names = sorted({each.captions["en"][0] for each in some.shown})
        self.said, self.pooled, self.tags = words.of(self.names), unit(some.pooled), words.tags(some)
        self.train = self._of(some.shown, "train")
        self.dev = self._of(some.shown, "dev")
        self.right = np.array([self.names.index(each.captions["en"][0]) for each in some.shown])

    @staticmethod
    def _of(shown: Sequence[Shown], split: str) -> NDArray[np.int64]:
        return np.array([each.row for each in shown if each.split == split])

    def uneven(self, drawn: np.random.Generator) -> NDArray[np.int64]:
        """Of each class two thirds as many as of the one before, classes in an order that is drawn."""
        kept = []
        for place, number in enumerate(drawn.permutation(len(self.names))):
            own = self.train[self.right[self.train] == number]
            kept.append(drawn.permutation(own)[: max(1, round(len(own) * _TAIL**place))])
        return np.sort(np.concatenate(kept))

    def told(self, labelled: Sequence[int], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Classes of tiles as a fit on some labels sees them; by the nearest name where nothing is labelled."""
        if not labelled:
            return np.asarray((self.tags[rows] @ self.said.T).argmax(axis=1))
        x, y = self.pooled[list(labelled)], self.said[self.right[list(labelled)]]
        mean, centre = x.mean(axis=0), y.mean(axis=0)
        apart = x - mean
        fit = np.linalg.solve(apart @ apart.T + AERIAL_PENALTY * np.eye(len(x)), y - centre)
        return np.asarray(((((self.pooled[rows] - mean) @ apart.T) @ fit + centre) @ self.said.T).argmax(axis=1))


def accuracies(tiles: Tiles, pool: NDArray[np.int64], way: str, rounds: int, seed: int) -> list[NDArray[np.float64]]:
    """After each round 1 or 0 for each tile of dev."""
    drawn, labelled, left, found = random.Random(seed), list[int](), pool.tolist(), []
    for _ in range(rounds):
        predicted = tiles.told(labelled, np.array(left)).tolist()
        for _ in range(min(len(tiles.names), len(left))):
            own = [int(tiles.right[each]) for each in labelled]
            place = (
                next_to_label(predicted, own, n_classes=len(tiles.names), drawn=drawn)
                if way == "fewest"
                else drawn.randrange(len(left))
            )
            labelled.append(left.pop(place))
            predicted.pop(place)
        found.append((tiles.told(labelled, tiles.dev) == tiles.right[tiles.dev]).astype(np.float64))
        if not left:
            break
    return found


def rows(tiles: Tiles, *, rounds: int, draws: int) -> Iterator[dict[str, Any]]:
    """A line for each pool, way and round."""
    for name in ("even", "uneven"):
        found: dict[str, NDArray[np.float64]] = {}
        for way in ("random", "fewest"):
            pools = [tiles.train if name == "even" else tiles.uneven(np.random.default_rng(n)) for n in range(draws)]
            each = [accuracies(tiles, pool, way, rounds, seed) for seed, pool in enumerate(pools)]
            told = min(len(one) for one in each)
            found[way] = np.mean([one[:told] for one in each], axis=0)
            for n, accuracy in enumerate(found[way]):
                made = {"pool": name, "way": way, "labels": (n + 1) * len(tiles.names), "n": len(tiles.dev)}
                made |= {"accuracy": round(float(accuracy.mean()), 4)}
                yield made | ({} if way == "random" else {"gain": gain(accuracy, found["random"][n])})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="of seven labels each")
    parser.add_argument("--draws", type=int, default=20, help="how often labels are drawn")
    parser.add_argument("--limit", type=int, help="tiles of each split, at most")
    parser.add_argument("--record", action=Record, help="append to results/labelling.jsonl")
    options = parser.parse_args(arguments)
    for each in rows(Tiles(limit=options.limit), rounds=options.rounds, draws=options.draws):
        print(*(f"{key} {value}" for key, value in each.items()), sep="  ", flush=True)
        if options.record:
            record("labelling", {"model": MODEL, "draws": options.draws, **each})
    return 0


if __name__ == "__main__":
    sys.exit(main())
