"""Losses of towers against InfoNCE, at equal steps and over the same batches: heads over frozen features, three seeds.

Heads are drawn, and taught on `train` of emoji, tux, clipart and coco. Rate, steps and dropout are those by which InfoNCE found
most of a tenth of those captions that was held apart. A ridge regression stands beside them. What they find is told on `dev`: the
share of captions whose picture comes first (of coco's, among the first five). Differences are to InfoNCE with as many pairs a
step, in the mean over seeds, with 95% intervals by drawing captions again. `composed` asks for an emoji by another one and an
edit, `swaps` whether the right one of two texts is nearer, `orders` for two pictures side by side, and which stands where.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.tower_losses
        [words | composed | swaps | blocks | small | orders | experts]
        [--steps 200] [--seeds 3] [--only LOSS] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from plugins.train.benchmarks.tower_beds import Bed, Composed, Found, beside, boxed, composed, swaps, things, usual
from plugins.train.benchmarks.tower_features import read
from rag.evaluate import mean_interval
from ragline_train.losses import LOSSES
from ragline_train.losses.base import Batch, Loss, there, unit
from ragline_train.losses.parts import RegionDescriptions
from ragline_train.losses.towers import Pairs, Towers, teach

Scores = dict[str, NDArray[np.float64]]
"""Set -> 1 or 0 for each question."""
WIDE, NARROW = 256, 64
"""Pairs a step; fewer where a loss looks at every word and every patch of all of them."""
_FIRST = {"coco": 5}
MODEL = "heads over efficientnet-lite0 and all-minilm-l6-v2"


def makes(bed: Bed) -> Mapping[str, tuple[Callable[[], Loss], int]]:
    """Loss -> how it is made, and pairs a step. Those of `words`."""
    dim = bed.pairs.texts.shape[1]
    wide = (
        *("infonce", "anchored", "gated", "mixup", "confusion", "captioning", "score", "adversarial", "short_captions"),
        *("rewritten", "margin"),
    )
    own: dict[str, Callable[[], Loss]] = {
        "captioning": partial(LOSSES["captioning"], n_words=len(bed.word_names), dim=dim),
        "guided_mask": partial(LOSSES["guided_mask"], dim=dim),
        "attribute_regions": partial(LOSSES["attribute_regions"], n_attributes=20, dim=dim),
        "margin": partial(LOSSES["margin"], n_classes=bed.n_groups, dim=dim),
    }
    narrow = ("guided_mask", "masking", "attribute_regions", "tokenwise", "smooth_match", "dtw")
    return {name: (own.get(name, LOSSES[name]), NARROW if name in narrow else WIDE) for name in (*wide, *narrow)}


def judged(towers: Towers, asked: Sequence[Found]) -> Scores:
    """What the heads find."""
    return {each.name: each.first(towers, k=_FIRST.get(each.name, 1)) for each in asked}


def by_words(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A line for the ridge regression, for InfoNCE and for every other loss."""
    bed = usual(data, limit=options.limit)
    start = judged(Towers.ridge(bed.pairs), bed.asked)
    yield line("ridge", {}, start, None)
    base: dict[int, Scores] = {}
    for name, (make, size) in makes(bed).items():
        if size not in base:
            base[size] = mean_of(
                [_taught(bed, LOSSES["infonce"], size, seed, options) for seed in range(options.seeds)]
            )
            yield line("infonce", {"size": size}, base[size], start)
        if name == "infonce" or (options.only and name not in options.only):
            continue
        begun = process_time()
        found = mean_of([_taught(bed, make, size, seed, options) for seed in range(options.seeds)])
        seconds = (process_time() - begun) / options.seeds
        yield line(name, {"size": size, "cpu_s": round(seconds, 1)}, found, base[size])


def _taught(bed: Bed, make: Callable[[], Loss], size: int, seed: int, options: argparse.Namespace) -> Scores:
    torch.manual_seed(seed)
    loss, towers = make(), drawn(bed.pairs, seed)
    pairs = _only(bed.pairs, loss)
    if isinstance(loss, LOSSES["margin"]):  # two stages: classes, and then texts to media that stay as they are
        teach(towers, pairs, loss, steps=options.steps // 2, size=size, seed=seed)
        for one in (towers.start, towers.offset, *towers.seen_in.parameters(), *towers.seen_out.parameters()):
            one.requires_grad_(False)
        teach(
            towers, _only(bed.pairs, make_contrast()), make_contrast(), steps=options.steps // 2, size=size, seed=seed
        )
    else:
        teach(towers, pairs, loss, steps=options.steps, size=size, seed=seed)
    return judged(towers, bed.asked)


def make_contrast() -> Loss:
    """What all are held against."""
    return LOSSES["infonce"]()


def drawn(pairs: Pairs, seed: int) -> Towers:
    """Heads that know nothing yet."""
    return Towers.drawn(pairs.media.shape[1], pairs.texts.shape[1], seed=seed)


def _only(pairs: Pairs, loss: Loss) -> Pairs:
    """The pairs with what a loss is made of, and their groups: the rest costs time."""
    wanted = {*loss.needs, "groups"}
    return replace(
        pairs,
        seen={name: each for name, each in pairs.seen.items() if name in wanted},
        said={name: each for name, each in pairs.said.items() if name in wanted},
        others=pairs.others if "others" in wanted else {},
        fixed={name: each for name, each in pairs.fixed.items() if name in wanted},
        whole={name: each for name, each in pairs.whole.items() if name in wanted},
    )


# ---- an emoji and an edit


def by_composed(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Heads that are taught questions of a picture and an edit, from the ridge regression that words were found by."""
    bed = usual(data, limit=options.limit)
    teaching, told = composed(data, "train", limit=options.limit), composed(data, "dev", limit=options.limit)
    start = Towers.ridge(bed.pairs)
    yield line("picture alone", {}, {"composed": _first_composed(start, told, share=0.0)}, None)
    base = {"composed": _first_composed(start, told)}
    yield line("sum, not taught", {}, base, None)
    contrast: Scores | None = None
    for name in ("infonce", "bank", "pseudo_token", "instruct"):
        found = mean_of(
            [
                {"composed": _taught_composed(name, bed.pairs, teaching, told, seed, options)}
                for seed in range(options.seeds)
            ]
        )
        yield line(name, {}, found, contrast if contrast is not None else base)
        contrast = contrast if contrast is not None else found


def _taught_composed(
    name: str, pairs: Pairs, teaching: Composed, told: Composed, seed: int, options: argparse.Namespace
) -> NDArray[np.float64]:
    """The head of texts alone is taught: media stay where they are, as the papers have it."""
    towers = Towers.ridge(pairs, seed=seed)
    with torch.no_grad():
        gallery = towers.media(teaching.gallery)
    references, targets = gallery[teaching.reference], gallery[teaching.target]
    loss: Loss = LOSSES[name](temperature=0.02) if name == "bank" else LOSSES[name]()
    hidden = torch.zeros(len(teaching.edit), len(gallery), dtype=torch.bool)
    hidden[torch.arange(len(hidden)), teaching.reference] = True
    taught = [*towers.said_in.parameters(), *towers.said_out.parameters()]
    optimizer = torch.optim.AdamW(taught, lr=1e-3, weight_decay=0.01)
    drawing = torch.Generator().manual_seed(seed)
    for step in range(options.steps):
        rows = torch.randperm(len(references), generator=drawing)[:WIDE]
        edit = towers.texts(teaching.edit[rows])
        question = unit(references[rows] + edit)
        fields: dict[str, Any] = {"progress": step / options.steps}
        v, t = question, targets[rows]
        if name == "bank":
            v, t = references[rows], edit
            fields |= {"bank": gallery, "targets": teaching.target[rows], "hidden": hidden[rows]}
        elif name == "pseudo_token":  # by texts alone: what is asked for is a caption
            t = teaching.target_caption[rows]
            fields |= {"pseudo": references[rows], "references": teaching.reference_caption[rows]}
        elif name == "instruct":
            v, t = references[rows], towers.texts(teaching.reference_caption[rows])
            fields |= {"composed": question, "composed_targets": towers.texts(teaching.target_caption[rows])}
        value, _ = loss(v, t, Batch(**fields))
        optimizer.zero_grad()
        if value.requires_grad:
            value.backward()
            optimizer.step()
    return _first_composed(towers, told)


def _first_composed(towers: Towers, told: Composed, *, share: float = 0.5) -> NDArray[np.float64]:
    """1 where the target comes first, without the reference."""
    with torch.no_grad():
        gallery, edit = towers.media(told.gallery), towers.texts(told.edit)
        scores = unit((1 - share) * gallery[told.reference] + share * edit) @ gallery.T
    scores[torch.arange(len(scores)), told.reference] = -torch.inf
    return (scores.argmax(dim=1) == told.target).double().numpy()


# ---- others


def by_swaps(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Texts that are wrong by a word, as negatives of their own photo."""
    bed, teaching, told = (
        usual(data, limit=options.limit),
        swaps(data, "train", limit=options.limit),
        swaps(data, "dev", limit=options.limit),
    )
    pairs = Pairs(media=teaching.media, texts=teaching.right, said={"text_negatives": teaching.wrong[:, None]})
    asked = [each for each in bed.asked if each.name == "coco"]

    def judge(towers: Towers) -> Scores:
        return {"swaps": told.told_apart(towers), **judged(towers, asked)}

    start = judge(Towers.ridge(bed.pairs))
    yield line("ridge", {}, start, None)
    base: Scores | None = None
    for name in ("infonce", "own_negatives"):
        scores = []
        for seed in range(options.seeds):
            towers, loss = Towers.ridge(bed.pairs, seed=seed), LOSSES[name]()
            teach(towers, _only(pairs, loss), loss, steps=options.steps, size=NARROW, seed=seed)
            scores.append(judge(towers))
        found = mean_of(scores)
        yield line(name, {"size": NARROW}, found, base or start)
        base = base or found


class _Placed(RegionDescriptions):
    """GRAIN's with boxes that nothing says: they are read from which cells are like the text, as the middle of these and how far
    they scatter around it."""

    needs = ("composed", "composed_targets", "boxes", "patches")

    def parts(self, v: Tensor, t: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        patches = there(batch.patches)
        side = int(patches.shape[1] ** 0.5)
        steps = (torch.arange(side) + 0.5) / side
        places = torch.cartesian_prod(steps, steps).flip(1)  # across, and down
        shares = (torch.einsum("npd,nd->np", patches, t) / self.temperature).softmax(dim=1)
        middle = shares @ places
        around = (shares @ places.square() - middle.square()).clamp(min=1e-4).sqrt() * 3**0.5
        return super().parts(v, t, replace(batch, boxes_said=torch.cat([middle - around, middle + around], dim=1)))


def by_blocks(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The cell of a photo where its largest thing is, as what teaches; in which cells things of other photos are, as what is asked
    beside photos."""
    bed, where = usual(data, limit=options.limit), things(data, limit=options.limit)
    pairs, asked = boxed(data, limit=options.limit)
    chance = {"chance of cells": round(float(where.covered.float().mean()), 4)}

    def judge(towers: Towers) -> Scores:
        return {**judged(towers, asked), "cells": where.placed(towers)}

    start = judge(Towers.ridge(bed.pairs))
    yield line("ridge", chance, start, None)
    base: Scores | None = None
    made: dict[str, Callable[[], Loss]] = {
        "infonce": LOSSES["infonce"],
        "blocks": LOSSES["blocks"],
        "region_descriptions": _Placed,
    }
    for name, make in made.items():
        scores = []
        for seed in range(options.seeds):
            towers, loss = Towers.ridge(bed.pairs, seed=seed), make()
            teach(towers, _only(pairs, loss), loss, steps=options.steps, size=NARROW, seed=seed)
            scores.append(judge(towers))
        found = mean_of(scores)
        yield line(name, {"size": NARROW, **chance}, found, base or start)
        base = base or found


def by_small(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A tower that sees 64 pixels a side, and grows from what it was (`inherited`) or learns from the usual one (`queue`)."""
    bed, small = usual(data, limit=options.limit), usual(data, side=64, limit=options.limit)
    large = Towers.ridge(bed.pairs)
    with torch.no_grad():
        of_large = large.media(bed.pairs.media)
        of_small = Towers.ridge(small.pairs).media(small.pairs.media)
    yield line("usual pictures", {}, judged(large, bed.asked), None)
    base: Scores | None = None
    extra: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = {
        "infonce": ({}, {}),
        "queue": ({"teacher": of_large}, {"bank": of_large, "teacher_bank": of_large}),
        "inherited": ({"teacher": of_small}, {}),
    }
    for name, (fixed, whole) in extra.items():
        scores = []
        for seed in range(options.seeds):
            towers, loss = drawn(small.pairs, seed), LOSSES[name]()
            pairs = replace(_only(small.pairs, make_contrast()), whole=whole)
            pairs = replace(pairs, fixed={**pairs.fixed, **fixed})
            teach(towers, pairs, loss, steps=options.steps, size=WIDE, seed=seed)
            scores.append(judged(towers, small.asked))
        found = mean_of(scores)
        yield line(name, {"size": WIDE}, found, base)
        base = base or found


def by_orders(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Two pictures side by side and a text that says which is left: told from the same turned round, which is what `order` and
    `own_negatives` see as wrong."""
    sets = (("emoji", "om"), ("emoji", "noto"), ("tux", ""), ("clipart", ""), ("coco", ""))
    known = read(data, limit=options.limit)
    parts = [beside(known, "train", name, style=style) for name, style in sets]
    told = {name: beside(known, "dev", name, style=style) for name, style in sets if style != "noto"}
    pairs = Pairs(
        media=torch.cat([each.media for each in parts]),
        texts=torch.cat([each.texts for each in parts]),
        said={"text_negatives": torch.cat([each.turned_texts for each in parts])[:, None]},
        seen={"media_negatives": torch.cat([each.turned_media for each in parts])[:, None]},
    )
    base: Scores | None = None
    for name in ("infonce", "order", "own_negatives"):
        begun, scores = process_time(), []
        for seed in range(options.seeds):
            towers, loss = drawn(pairs, seed), LOSSES[name]()
            teach(towers, _only(pairs, loss), loss, steps=options.steps, size=NARROW, seed=seed)
            found = {each: bed.told(towers, k=_FIRST.get(each, 1)) for each, bed in told.items()}
            scores.append({f"{each}: {what}": one for each, own in found.items() for what, one in own.items()})
        seconds = round((process_time() - begun) / options.seeds, 1)
        yield line(name, {"size": NARROW, "pairs": len(pairs), "cpu_s": seconds}, mean_of(scores), base)
        base = base or mean_of(scores)


class _Mixed(Towers):
    """Heads whose bent part is that of the two experts that a picture goes to, of four: `sum g_e C_e gelu(B x)`."""

    def __init__(self, start: Tensor, offset: Tensor, *, hidden: int = 128, dropout: float = 0.6) -> None:
        super().__init__(start, offset, hidden=hidden, dropout=dropout)
        self.gate = nn.Linear(start.shape[0], 4)
        self.experts = nn.ModuleList(nn.Linear(hidden, start.shape[1]) for _ in range(4))

    def gates(self, features: Tensor) -> Tensor:
        """[n, 4]: shares of all experts, of which the two largest are used."""
        shares: Tensor = self.gate(features).softmax(dim=-1)
        return shares

    def media(self, features: Tensor) -> Tensor:
        shares = self.gates(features)
        best = shares.topk(2, dim=-1)
        used = torch.zeros_like(shares).scatter(-1, best.indices, best.values / best.values.sum(dim=-1, keepdim=True))
        features = self.hiding(features)
        bent = torch.nn.functional.gelu(self.seen_in(features))
        mixed = sum(used[..., n, None] * expert(bent) for n, expert in enumerate(self.experts))
        return unit(features @ self.start + self.offset + mixed)

    def batch(self, pairs: Pairs, rows: Tensor, *, progress: float) -> tuple[Tensor, Tensor, Batch]:
        v, t, batch = super().batch(pairs, rows, progress=progress)
        return v, t, replace(batch, gates=self.gates(pairs.media[rows]))


def by_experts(data: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Heads of four experts, with and without what keeps them all in use; beside them heads without experts."""
    bed = usual(data, limit=options.limit)
    pictures = torch.cat([each.media for each in bed.asked])
    pairs = _only(bed.pairs, make_contrast())
    base: Scores | None = None
    made: dict[str, tuple[type[Towers], Callable[[], Loss]]] = {
        "infonce": (Towers, make_contrast),
        "experts, unbalanced": (_Mixed, make_contrast),
        "experts": (_Mixed, LOSSES["experts"]),
    }
    for name, (kind, make) in made.items():
        scores, busiest = [], []
        for seed in range(options.seeds):
            towers = kind.drawn(pairs.media.shape[1], pairs.texts.shape[1], seed=seed)
            teach(towers, pairs, make(), steps=options.steps, size=WIDE, seed=seed)
            scores.append(judged(towers, bed.asked))
            if isinstance(towers, _Mixed):
                counts = towers.gates(pictures).argmax(dim=1).bincount(minlength=4)
                busiest.append(float(counts.max()) / len(pictures))
        facts = {"busiest expert's share": round(float(np.mean(busiest)), 4)} if busiest else {}
        yield line(name, {"size": WIDE, **facts}, mean_of(scores), base)
        base = base or mean_of(scores)


# ---- lines


def mean_of(scores: Sequence[Scores]) -> Scores:
    """Of each question the mean over seeds."""
    return {name: np.mean([each[name] for each in scores], axis=0) for name in scores[0]}


def gain(found: NDArray[np.floating[Any]], base: NDArray[np.floating[Any]]) -> list[float]:
    """The mean of what is gained on each question, and its 95% interval by drawing questions again."""
    apart = found - base
    ends = mean_interval(apart.tolist())
    return [round(each, 4) for each in (float(apart.mean()), ends.low, ends.high)]


def line(name: str, facts: Mapping[str, Any], found: Scores, base: Scores | None) -> dict[str, Any]:
    """What came out, and how far it is from what it is held against, with intervals by drawing questions again."""
    made: dict[str, Any] = {"loss": name, **facts, "found": {}, "n": {}, "gain": {}}
    for each, scores in found.items():
        made["found"][each], made["n"][each] = round(float(scores.mean()), 4), len(scores)
        if base is not None:
            made["gain"][each] = gain(scores, base[each])
    return made


TABLES = {
    "words": by_words,
    "composed": by_composed,
    "swaps": by_swaps,
    "blocks": by_blocks,
    "small": by_small,
    "orders": by_orders,
    "experts": by_experts,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=TABLES, default="words", help="what is asked for")
    parser.add_argument("--steps", type=int, default=200, help="of teaching")
    parser.add_argument("--seeds", type=int, default=3, help="how often each is taught")
    parser.add_argument("--only", nargs="*", help="losses of `words`, InfoNCE beside them")
    parser.add_argument("--limit", type=int, help="pictures of each set and split, at most")
    parser.add_argument("--record", action=Record, help="append to results/tower_losses.jsonl")
    options = parser.parse_args(arguments)
    settings = {"table": options.table, "steps": options.steps, "seeds": options.seeds, "model": MODEL}
    for each in TABLES[options.table](data_folder() / "multimodal", options):
        gains = ", ".join(
            f"{name} {one:+.3f} [{low:+.3f}, {high:+.3f}]" for name, (one, low, high) in each["gain"].items()
        )
        found = ", ".join(f"{name} {share:.3f}" for name, share in each["found"].items())
        print(f"{each['loss']:<18} {each.get('size', ''):>4}  {found}   {gains}", flush=True)
        if options.record:
            record("tower_losses", settings | each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
