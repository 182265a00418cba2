"""CAB's question: two coloured things side by side in one picture, and the colour of either is asked for.

Things are pictures of dev whose caption is a colour and a name. Two of one set and drawing, of different colours and without a word
in common, are put into one picture. Each colour of eleven is said of the thing, and what is nearest is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plugins.train.benchmarks.tower_features import Read, seen_together, texts
from ragline_media.evaluation.measures import binding_bias
from ragline_train.losses.towers import Towers

_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
_SETS = frozenset({("emoji", "om"), ("emoji", "noto"), ("tux", ""), ("clipart", "")})
_SAID = re.compile(rf"(?:an? )?(?:large |small |fancy )?({'|'.join(_COLOURS)}) ([\w -]+)")
_MOST = 300
"""Pictures of two things, drawn."""


@dataclass(frozen=True)
class Thing:
    """A picture whose caption is a colour and what has it."""

    place: int
    key: str
    drawn: tuple[str, str]
    colour: int
    name: str


def things_of(known: Read) -> list[Thing]:
    """Those of dev."""
    return [
        Thing(place, each.key, (each.set, each.style), _COLOURS.index(said[1]), said[2])
        for place, each in enumerate(known.pictures)
        if each.split == "dev" and (each.set, each.style) in _SETS and (said := _SAID.fullmatch(each.captions[0]))
    ]


def bindings(data: Path, known: Read, towers: Towers) -> Iterator[dict[str, Any]]:
    """A line for all questions; one for those of which the other thing's colour is nearer to the name that is asked for, by texts
    alone, than in the middle one; and one for the others."""
    things = things_of(known)
    pairs = [
        (one, other)
        for one in things
        for other in things
        if one.drawn == other.drawn and one.colour != other.colour and not {*one.name.split()} & {*other.name.split()}
    ]
    if not pairs:
        yield {"binding": "all", "n": 0}
        return
    drawn = np.sort(np.random.default_rng(0).permutation(len(pairs))[:_MOST])
    pairs = [pairs[each] for each in drawn]
    with torch.no_grad():
        together = towers.media(torch.from_numpy(seen_together(data, [(one.key, two.key) for one, two in pairs])))
        alone = towers.media(torch.from_numpy(known.whole[[each.place for each in things]]))
    names = list(dict.fromkeys(each.name for each in things))
    said = texts([f"in this picture, the color of the {name} is {colour}" for name in names for colour in _COLOURS])
    by_name = dict(zip(names, said.reshape(len(names), len(_COLOURS), -1), strict=True))
    usual = dict(zip(names, texts(names) @ texts(_COLOURS).T, strict=True))
    single = dict(zip(things, alone.numpy(), strict=True))
    asked = [(n, one, two) for n, pair in enumerate(pairs) for one, two in (pair, pair[::-1])]
    rows, own, other = np.arange(len(asked)), *(np.array([row[side].colour for row in asked]) for side in (1, 2))
    in_both = _shares(np.stack([by_name[one.name] @ together[n].numpy() for n, one, _ in asked]))
    by_itself = _shares(np.stack([by_name[one.name] @ single[one] for _, one, _ in asked]))
    leaning = np.array([usual[one.name][two.colour] - usual[one.name][one.colour] for _, one, two in asked])
    leans = leaning > np.median(leaning)
    for name, kept in (("all", leans | ~leans), ("the other's colour is usual", leans), ("it is not", ~leans)):
        yield {
            "binding": name,
            "n": int(kept.sum()),
            "pictures": len(pairs),
            "things": len(things),
            "bias": round(binding_bias(in_both[kept], own[kept], other[kept]), 4),
            "bias, alone": round(binding_bias(by_itself[kept], own[kept], other[kept]), 4),
            "own ahead": round(float((in_both[rows, own] > in_both[rows, other])[kept].mean()), 4),
            "own ahead, alone": round(float((by_itself[rows, own] > by_itself[rows, other])[kept].mean()), 4),
        }


def _shares(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, colours], of each row together 1, by the temperature that losses have."""
    powers = np.exp((scores - scores.max(axis=1, keepdims=True)) / 0.07)
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares
