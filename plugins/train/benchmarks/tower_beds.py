"""What losses are compared on: pairs to be taught by, and questions to be judged by, from `tower_features`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plugins.train.benchmarks.tower_features import TONE, Picture, Read, lines, read, texts, words
from ragline_media.tower.fitting import spoken
from ragline_train.losses.base import Other
from ragline_train.losses.towers import Pairs, Towers

_ATTRIBUTES = 20
_CELLS = 4


@dataclass(frozen=True, slots=True)
class Found:
    """Captions that ask for a picture of one set. `right`: bool [captions, pictures]."""

    name: str
    media: Tensor
    texts: Tensor
    right: Tensor

    def first(self, towers: Towers, *, k: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64 [captions]: 1 where a right picture is among the first k, else 0."""
        with torch.no_grad():
            scores = towers.texts(self.texts) @ towers.media(self.media).T
        best = scores.topk(min(k, scores.shape[1]), dim=1).indices
        return self.right.gather(1, best).any(dim=1).double().numpy()


@dataclass(frozen=True, slots=True)
class Bed:
    """All of it."""

    pairs: Pairs
    rows: list[tuple[int, str]]
    """Of each pair, the place of its picture and its caption."""
    word_names: list[str]
    n_groups: int
    asked: tuple[Found, ...]
    photos: Tensor
    """Places of the pairs that are photos with boxes."""


def usual(data: Path, *, side: int | None = None, limit: int | None = None) -> Bed:
    """Pairs of all sets, as the recipe of the data has them: no skin tones, each caption once."""
    known = read(data, side=side, limit=limit)
    train = [place for place, each in enumerate(known.pictures) if each.split == "train" and not TONE.search(each.key)]
    rows = [(place, caption) for place in train for caption in known.pictures[place].captions]
    said = [caption for _, caption in rows]
    places = [place for place, _ in rows]
    vectors, mask, ids, names = words(said)
    numbers = {group: n for n, group in enumerate(dict.fromkeys(known.pictures[place].group for place in places))}
    groups = torch.tensor([numbers[known.pictures[place].group] for place in places])
    own = torch.from_numpy(texts(said))
    second = torch.from_numpy(texts([_second(known.pictures[place], caption) for place, caption in rows]))
    has, attributes = _attributes(said)
    media = torch.from_numpy(known.whole[places])
    pairs = Pairs(
        media=media,
        texts=own,
        seen={"patches": torch.from_numpy(known.cells[places].astype(np.float32))},
        said={"captions": second, "words": vectors},
        others={"drawn": _drawn(known, places)},
        fixed={
            "groups": groups,
            "classes": groups,
            "word_mask": mask,
            "word_ids": ids,
            "attention": torch.from_numpy(known.loud[places]),
            "has": has,
        },
        whole={"attributes": attributes},
    )
    photos = torch.tensor([at for at, place in enumerate(places) if known.pictures[place].boxes])
    return Bed(pairs, rows, names, len(numbers), tuple(asked(known)), photos)


def asked(known: Read) -> list[Found]:
    """Captions of the pictures of dev, by set; of emoji those of one drawing."""
    found = []
    for name, style in (("emoji", "om"), ("tux", ""), ("clipart", ""), ("coco", "")):
        places = [
            place
            for place, each in enumerate(known.pictures)
            if (each.set, each.style, each.split) == (name, style, "dev") and not TONE.search(each.key)
        ]
        said = list(dict.fromkeys(caption for place in places for caption in known.pictures[place].captions))
        right = torch.tensor([[caption in known.pictures[place].captions for place in places] for caption in said])
        found.append(Found(name, torch.from_numpy(known.whole[places]), torch.from_numpy(texts(said)), right))
    return found


def _second(picture: Picture, caption: str) -> str:
    """Another text of a picture: another caption, else its keywords, else that it is a picture."""
    others = [each for each in picture.captions if each != caption]
    return others[0] if others else ", ".join(picture.keywords) or f"a picture of {caption}"


def _drawn(known: Read, places: Sequence[int]) -> Other:
    """The same thing in another hand, where there is one."""
    by_key = {each.key: place for place, each in enumerate(known.pictures)}
    keys = [known.pictures[place].key for place in places]
    other = [
        by_key.get(key.replace("-om-", "-noto-") if "-om-" in key else key.replace("-noto-", "-om-")) for key in keys
    ]
    there = torch.tensor([place is not None and place != own for place, own in zip(other, places, strict=True)])
    features = known.whole[[place if place is not None else own for place, own in zip(other, places, strict=True)]]
    return Other(vectors=torch.from_numpy(features), there=there)


def _attributes(said: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The words that most captions have, but for the shortest, and which caption has which."""
    held = [set(re.findall(r"[a-z]{3,}", caption)) - {"the", "and", "with", "for"} for caption in said]
    names = [word for word, _ in Counter(word for own in held for word in sorted(own)).most_common(_ATTRIBUTES)]
    has = torch.tensor([[name in own for name in names] for own in held])
    return has, torch.from_numpy(texts(names))


def boxed(data: Path, *, limit: int | None = None) -> tuple[Pairs, list[Found]]:
    """Photos, each with the thing of its largest box as a text, and the cell of the grid where its middle is."""
    known = read(data, limit=limit)
    rows = [
        (place, max(each.boxes, key=lambda box: box["xywh"][2] * box["xywh"][3]))
        for place, each in enumerate(known.pictures)
        if each.set == "coco" and each.split == "train" and each.boxes
    ]
    places = [place for place, _ in rows]
    blocks = [_block(known.pictures[place].size, box["xywh"]) for place, box in rows]
    said = torch.from_numpy(texts([f"a photo of a {box['label']}" for _, box in rows]))
    cells = torch.from_numpy(known.cells[places].astype(np.float32))
    pairs = Pairs(
        media=torch.from_numpy(known.whole[places]),
        texts=said,
        seen={"patches": cells, "composed": cells[torch.arange(len(rows)), torch.tensor(blocks)]},
        said={"composed_targets": said},
        fixed={
            "block": torch.tensor(blocks),
            "boxes": torch.tensor([_ends(known.pictures[place].size, box["xywh"]) for place, box in rows]),
        },
    )
    return pairs, [each for each in asked(known) if each.name == "coco"]


@dataclass(frozen=True, slots=True)
class Things:
    """Things of photos. `cells`: [n, 16, w], those of the photo. `texts`: [n, d]. `covered`: bool [n, 16], where the thing is."""

    cells: Tensor
    texts: Tensor
    covered: Tensor

    def placed(self, towers: Towers) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64 [n]: 1 where the cell most like the thing's name is one of those it is in."""
        with torch.no_grad():
            nearest = torch.einsum("npd,nd->np", towers.media(self.cells), towers.texts(self.texts)).argmax(dim=1)
        return self.covered.gather(1, nearest[:, None])[:, 0].double().numpy()


def things(data: Path, *, limit: int | None = None) -> Things:
    """Each label of a photo of dev once. It is in the cells whose middle is in a box of it, and in those of its boxes' middles."""
    known = read(data, limit=limit)
    rows = [
        (place, label, [box["xywh"] for box in each.boxes if box["label"] == label])
        for place, each in enumerate(known.pictures)
        if each.set == "coco" and each.split == "dev"
        for label in dict.fromkeys(box["label"] for box in each.boxes)
    ]
    covered = torch.zeros(len(rows), _CELLS**2, dtype=torch.bool)
    for n, (place, _, boxes) in enumerate(rows):
        size = known.pictures[place].size
        for box in boxes:
            covered[n, _block(size, box)] = True
            for cell in range(_CELLS**2):
                across, down = ((cell % _CELLS + 0.5) * size[0], (cell // _CELLS + 0.5) * size[1])
                inside = 0 <= across / _CELLS - box[0] <= box[2] and 0 <= down / _CELLS - box[1] <= box[3]
                covered[n, cell] |= inside
    return Things(
        torch.from_numpy(known.cells[[place for place, _, _ in rows]].astype(np.float32)),
        torch.from_numpy(texts([f"a photo of a {label}" for _, label, _ in rows])),
        covered,
    )


def _ends(size: tuple[int, int], box: Sequence[float]) -> list[float]:
    """Left, top, right and bottom, of a photo whose sides are 1."""
    left, top, width, height = box
    return [left / size[0], top / size[1], (left + width) / size[0], (top + height) / size[1]]


def _block(size: tuple[int, int], box: Sequence[float]) -> int:
    left, top, width, height = box
    column = min(_CELLS - 1, int(_CELLS * (left + width / 2) / size[0]))
    return _CELLS * min(_CELLS - 1, int(_CELLS * (top + height / 2) / size[1])) + column


@dataclass(frozen=True, slots=True)
class Swaps:
    """Photos, what is said of them, and the same with a word changed so that it is wrong: [n, d] each."""

    media: Tensor
    right: Tensor
    wrong: Tensor

    def told_apart(self, towers: Towers) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64 [n]: 1 where the right text is nearer, else 0."""
        with torch.no_grad():
            v = towers.media(self.media)
            nearer = (v * towers.texts(self.right)).sum(dim=1) > (v * towers.texts(self.wrong)).sum(dim=1)
        return nearer.double().numpy()


def swaps(data: Path, split: str, *, limit: int | None = None) -> Swaps:
    """Those of one split."""
    known = read(data, limit=limit)
    places = {each.key: place for place, each in enumerate(known.pictures)}
    there = [line for line in lines(data / "coco", "swaps") if line["split"] == split and line["image"] in places]
    return Swaps(
        torch.from_numpy(known.whole[[places[line["image"]] for line in there]]),
        *(torch.from_numpy(texts([spoken(line[side]) for line in there])) for side in ("positive", "negative")),
    )


@dataclass(frozen=True, slots=True)
class Composed:
    """Questions of an emoji and an edit. `gallery`: [m, w], features. Of each question: the reference's place and the target's
    among these, the edit's vector, and the target's caption's and the reference's."""

    gallery: Tensor
    reference: Tensor
    target: Tensor
    edit: Tensor
    target_caption: Tensor
    reference_caption: Tensor


def composed(data: Path, split: str, *, style: str = "om", limit: int | None = None) -> Composed:
    """Those of one split, in one drawing; the gallery is all of that drawing in the split, tones among them."""
    known = read(data, limit=limit)
    mine = [
        place
        for place, each in enumerate(known.pictures)
        if (each.set, each.split, each.style) == ("emoji", split, style)
    ]
    at = {known.pictures[place].key: n for n, place in enumerate(mine)}
    captions = [known.pictures[place].captions[0] for place in mine]
    there = [
        line
        for line in lines(data / "emoji", "triplets")
        if line["split"] == split and line["style"] == style and {line["reference"], line["target"]} <= at.keys()
    ]
    vectors = torch.from_numpy(texts(captions))
    reference = torch.tensor([at[line["reference"]] for line in there])
    target = torch.tensor([at[line["target"]] for line in there])
    edits = [line["modification"]["en"][0] for line in there]
    return Composed(
        gallery=torch.from_numpy(known.whole[mine]),
        reference=reference,
        target=target,
        edit=torch.from_numpy(texts(edits)),
        target_caption=vectors[target],
        reference_caption=vectors[reference],
    )


@dataclass(frozen=True, slots=True)
class Beside:
    """Two pictures side by side, each half seen by itself: media [n, 2 w], in the one order and the other, and what is said of
    either: [n, d]."""

    media: Tensor
    turned_media: Tensor
    texts: Tensor
    turned_texts: Tensor

    def told(self, towers: Towers, *, k: int) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """1 or 0 of each: whether the own text is nearer than the turned one (`order`), whether that is so of all four (`both
        ways`), and whether the picture is among the first `k` of all in their own order (`first`)."""
        with torch.no_grad():
            v, turned_v = towers.media(self.media), towers.media(self.turned_media)
            t, turned_t = towers.texts(self.texts), towers.texts(self.turned_texts)
        own, other = (v * t).sum(dim=1), (turned_v * turned_t).sum(dim=1)
        crossed, back = (v * turned_t).sum(dim=1), (turned_v * t).sum(dim=1)
        order = own > crossed
        best = (t @ v.T).topk(min(k, len(v)), dim=1).indices
        found = {
            "order": order,
            "both ways": order & (other > back) & (own > back) & (other > crossed),
            "first": (best == torch.arange(len(v))[:, None]).any(dim=1),
        }
        return {name: each.double().numpy() for name, each in found.items()}


def beside(known: Read, split: str, name: str, *, style: str = "") -> Beside:
    """Every caption of a set's pictures and one of another picture's, drawn: "a cat on the left, a dog on the right"."""
    rows = [
        (place, caption)
        for place, each in enumerate(known.pictures)
        if (each.set, each.style, each.split) == (name, style, split) and not TONE.search(each.key)
        for caption in each.captions
    ]
    turn = np.random.default_rng(0).permutation(len(rows))
    pairs = [
        (rows[one], rows[other])
        for one, other in zip(turn, np.roll(turn, 1), strict=True)
        if known.pictures[rows[one][0]].group != known.pictures[rows[other][0]].group
    ]
    left, right = (torch.from_numpy(known.whole[[pair[side][0] for pair in pairs]]) for side in (0, 1))
    said = [
        [f"{one} on the left, {other} on the right" for one, other in some]
        for some in ([(a, b) for (_, a), (_, b) in pairs], [(b, a) for (_, a), (_, b) in pairs])
    ]
    return Beside(
        torch.cat([left, right], dim=1),
        torch.cat([right, left], dim=1),
        *(torch.from_numpy(texts(each)) for each in said),
    )
