"""Questions that want a picture, or want a name, over both at once: negatives by what they are (MM-Embed), against random ones.

An emoji is asked for by its keywords, after "find a picture:" or "find a name:", among the pictures and the names of `dev`. Heads
over frozen features begin at the ridge regression. All are taught as many steps by InfoNCE within the batch; then all go on as
many steps: with the batch alone, with 8 random negatives of the whole gallery for each question, or with 8 by what they are. Three
seeds; intervals by drawing questions again.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.mixed [--steps 100] [--seeds 3] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from plugins.train.benchmarks.tower_beds import Bed, usual
from plugins.train.benchmarks.tower_features import TONE, read, texts
from plugins.train.benchmarks.tower_losses import MODEL, Scores, line, mean_of
from ragline_train.losses import LOSSES
from ragline_train.losses.base import Batch
from ragline_train.losses.negatives import negatives_by_kind
from ragline_train.losses.towers import Towers

_ASKED = ("find a picture: ", "find a name: ")
_SIZE, _NEGATIVES = 128, 8


@dataclass(frozen=True, slots=True)
class Mixed:
    """`media`: [n, w], features of pictures. `names`: [n, d], vectors of their names. `questions`: [2, n, d], of what wants a
    picture, and of what wants a name. The gallery is all pictures, then all names."""

    media: Tensor
    names: Tensor
    questions: Tensor

    def gallery(self, towers: Towers) -> Tensor:
        """[2 n, d]."""
        return torch.cat([towers.media(self.media), towers.texts(self.names)])

    @property
    def kinds(self) -> Tensor:
        """int [2 n]: 0 of a picture, 1 of a name."""
        return torch.arange(2).repeat_interleave(len(self.media))


def mixed(data: Path, split: str, *, limit: int | None = None) -> Mixed:
    """Emoji of one drawing, without skin tones, that have keywords."""
    known = read(data, limit=limit)
    places = [
        place
        for place, each in enumerate(known.pictures)
        if (each.set, each.style, each.split) == ("emoji", "om", split) and each.keywords and not TONE.search(each.key)
    ]
    own = [known.pictures[place] for place in places]
    asked = [texts([f"{how}{', '.join(each.keywords)}" for each in own]) for how in _ASKED]
    return Mixed(
        torch.from_numpy(known.whole[places]),
        torch.from_numpy(texts([each.captions[0] for each in own])),
        torch.from_numpy(np.stack(asked)),
    )


def judged(towers: Towers, told: Mixed) -> Scores:
    """1 where the right item comes first, where any of the wrong kind does, and where the right one is first of its kind."""
    found: Scores = {}
    n = len(told.media)
    with torch.no_grad():
        gallery = told.gallery(towers)
        for kind, name in enumerate(("picture", "name")):
            scores = towers.texts(told.questions[kind]) @ gallery.T
            best, right = scores.argmax(dim=1), torch.arange(n) + kind * n
            found[name] = (best == right).double().numpy()
            found[f"{name}: another kind first"] = (told.kinds[best] != kind).double().numpy()
            within = scores[:, kind * n : (kind + 1) * n].argmax(dim=1)
            found[f"{name}: first of its kind"] = (within == torch.arange(n)).double().numpy()
    return found


def teach(towers: Towers, bed: Mixed, way: str, *, steps: int, seed: int) -> None:
    """In place."""
    drawing = torch.Generator().manual_seed(seed)
    contrast, loss = LOSSES["infonce"](), LOSSES["own_negatives"]()
    optimizer = torch.optim.AdamW(towers.parameters(), lr=1e-3, weight_decay=0.1)
    n = len(bed.media)
    wanted = torch.arange(2).repeat_interleave(n)
    questions = bed.questions.flatten(0, 1)
    negatives = None if way == "batch" else _drawn(towers, bed, way, drawing)
    towers.train()
    for _ in range(steps):
        rows = torch.randperm(2 * n, generator=drawing)[:_SIZE]
        targets = torch.where(
            wanted[rows, None] == 0, towers.media(bed.media[rows % n]), towers.texts(bed.names[rows % n])
        )
        asked = towers.texts(questions[rows])
        if negatives is None:
            value, _ = contrast(asked, targets, Batch())
        else:
            gallery = _chosen(towers, bed, negatives[rows])
            value, _ = loss(asked, targets, Batch(text_negatives=gallery))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    towers.eval()


def _drawn(towers: Towers, bed: Mixed, way: str, drawing: torch.Generator) -> Tensor:
    """int [2 n, 8]: rows of the gallery."""
    n = len(bed.media)
    if way == "random":
        drawn = torch.randint(0, 2 * n - 1, (2 * n, _NEGATIVES), generator=drawing)
        return drawn + (drawn >= torch.arange(2 * n)[:, None])  # any but the right one
    with torch.no_grad():
        scores = towers.texts(bed.questions.flatten(0, 1)) @ bed.gallery(towers).T
    right = torch.eye(2 * n, dtype=torch.bool)
    deep = min(45, n // 4)
    return negatives_by_kind(scores, right, bed.kinds, bed.kinds, n=_NEGATIVES, drawing=drawing, deep=deep)


def _chosen(towers: Towers, bed: Mixed, rows: Tensor) -> Tensor:
    """[b, 8, d]."""
    n = len(bed.media)
    own = rows.flatten()
    found = torch.where(own[:, None] < n, towers.media(bed.media[own % n]), towers.texts(bed.names[own % n]))
    return found.view(*rows.shape, -1)


def lines(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A line for the ridge regression and for each way to go on."""
    bed: Bed = usual(data, limit=options.limit)
    teaching, told = mixed(data, "train", limit=options.limit), mixed(data, "dev", limit=options.limit)
    start = judged(Towers.ridge(bed.pairs), told)
    yield line("ridge", {}, start, None)
    found: dict[str, list[Scores]] = {"batch": [], "random": [], "by kind": []}
    for seed in range(options.seeds):
        first = Towers.ridge(bed.pairs, seed=seed)
        teach(first, teaching, "batch", steps=options.steps, seed=seed)
        for way, scores in found.items():
            towers = deepcopy(first)
            teach(towers, teaching, way, steps=options.steps, seed=seed + 1000)
            scores.append(judged(towers, told))
    base = mean_of(found["random"])
    for way, scores in found.items():
        yield line(way, {"size": _SIZE}, mean_of(scores), None if way == "random" else base)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="of each of the two stages")
    parser.add_argument("--seeds", type=int, default=3, help="how often each is taught")
    parser.add_argument("--limit", type=int, help="pictures of each set and split, at most")
    parser.add_argument("--record", action=Record, help="append to results/tower_losses.jsonl")
    options = parser.parse_args(arguments)
    settings = {"table": "mixed", "steps": options.steps, "seeds": options.seeds, "model": MODEL}
    for each in lines(data_folder() / "multimodal", options):
        print(each["loss"], each["found"], each["gain"], flush=True)
        if options.record:
            record("tower_losses", settings | each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
