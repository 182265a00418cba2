"""Frozen features of the pictures and captions of `multimodal/`, read once and kept in `build/`.

A picture: what EfficientNet-Lite0 pools of it and says of its classes, of the whole and of each cell of a grid of four by four,
put together as the plug-in for pictures does before it fits. A caption: the vector by all-MiniLM, and those of its tokens.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ragline_media.tower.fitting import spoken
from ragline_train.losses.base import unit

if TYPE_CHECKING:
    from retrievers.encoders.sentence_encoder import SentenceEncoder

SETS = ("emoji", "tux", "clipart", "coco")
MOST_WORDS = 16
_CELLS = 4
TONE = re.compile("1F3F[B-F]")
"""A skin tone, in the key of an emoji."""
_KEPT = Path("build/tower_features")


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of one. `cells`: its place among the features."""

    key: str
    set: str
    split: str
    group: str
    style: str
    captions: tuple[str, ...]
    keywords: tuple[str, ...]
    boxes: tuple[dict[str, Any], ...]
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Read:
    """`whole`: float32 [n, w]. `cells`: float16 [n, 16, w], row by row of the picture. `loud`: float32 [n, 16], the length of
    what is pooled of each cell, which is how much the network looks at it."""

    pictures: list[Picture]
    whole: NDArray[np.float32]
    cells: NDArray[np.float16]
    loud: NDArray[np.float32]


def lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Records of a set's file."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def pictures(
    data: Path, *, splits: Sequence[str] = ("train", "dev"), limit: int | None = None
) -> list[tuple[Picture, bytes]]:
    """All with an English caption, skin tones among them, and their bytes; of each kind at most `limit`."""
    found, seen = [], Counter[tuple[str, ...]]()
    for name in SETS:
        opened = dict[str, zipfile.ZipFile]()
        for line in lines(data / name, "pairs"):
            if line["kind"] != "image" or line["split"] not in splits or not line["captions"].get("en"):
                continue
            kind = (name, line["split"], line.get("style") or "", str(bool(TONE.search(line["id"]))))
            seen[kind] += 1
            if limit is not None and seen[kind] > limit:
                continue
            archive = opened.setdefault(line["archive"], zipfile.ZipFile(data / name / line["archive"]))
            picture = Picture(
                key=line["id"],
                set=name,
                split=line["split"],
                group=line["group"],
                style=line.get("style") or "",
                captions=tuple(map(spoken, line["captions"]["en"])),
                keywords=tuple((line.get("keywords") or {}).get("en", ())),
                boxes=tuple(line.get("boxes") or ()),
                size=(line["size"][0], line["size"][1]),
            )
            found.append((picture, archive.read(line["media"])))
    return found


def read(data: Path, *, side: int | None = None, limit: int | None = None) -> Read:
    """Features of all pictures; `side`: pixels of a side at which all are seen, in place of the usual ones."""
    found = pictures(data, limit=limit)
    kept = _KEPT / f"pictures-{side or 'usual'}{f'-{limit}' if limit else ''}.npz"
    if not kept.is_file():
        whole, cells, loud = _seen([image for _, image in found], side)
        _KEPT.mkdir(parents=True, exist_ok=True)
        np.savez(kept, whole=whole, cells=cells, loud=loud, keys=np.array([each.key for each, _ in found]))
    with np.load(kept, allow_pickle=False) as arrays:
        if arrays["keys"].tolist() != [each.key for each, _ in found]:
            raise SystemExit(f"'{kept}' is of other pictures; delete it")
        return Read([each for each, _ in found], arrays["whole"], arrays["cells"], arrays["loud"])


def seen_together(data: Path, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """float32 [n, w]: features of two pictures, by their keys, that are put side by side into one, upon white."""
    from PIL import Image

    from ragline_media.tower.tower import opened_picture

    wanted = {key for pair in pairs for key in pair}
    by_key = {each.key: opened_picture(image) for each, image in pictures(data) if each.key in wanted}
    joined = list[bytes]()
    for left, right in pairs:
        halves = [by_key[left], by_key[right]]
        whole = Image.new("RGB", (sum(each.width for each in halves), max(each.height for each in halves)), "white")
        for half, across in zip(halves, (0, halves[0].width), strict=True):
            whole.paste(half, (across, (whole.height - half.height) // 2))
        file = io.BytesIO()
        whole.save(file, "PNG")
        joined.append(file.getvalue())
    return np.asarray(_seen(joined, None)[0], dtype=np.float32)


def _seen(images: Sequence[bytes], side: int | None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    from safetensors.torch import load_file

    from rag.indexes import resolve
    from ragline_media.tower.lite0 import Lite0
    from ragline_media.tower.space import concepts_of, inputs
    from ragline_media.tower.tower import Features, opened_picture, pixels_of, side_of

    network = Lite0.of(load_file(resolve("efficientnet-lite0").path / "model.safetensors"))
    concepts = concepts_of(texts)
    opened = [opened_picture(image) for image in images]
    sides = [side or side_of(each.size) for each in opened]
    width = 2280 + concepts.shape[1]
    whole = np.zeros((len(opened), width), np.float32)
    cells, loud = np.zeros((len(opened), _CELLS**2, width), np.float16), np.zeros((len(opened), _CELLS**2), np.float32)
    for each in sorted(set(sides)):
        places = [place for place, own in enumerate(sides) if own == each]
        for start in range(0, len(places), 16):
            some = places[start : start + 16]
            with torch.inference_mode():
                grid = network.grid(torch.from_numpy(np.stack([pixels_of(opened[place], each) for place in some])))
                parts = torch.nn.functional.adaptive_avg_pool2d(grid, _CELLS).flatten(2).transpose(1, 2)
                pooled = grid.mean(dim=(2, 3))
                of_whole = Features(pooled.numpy(), network._fc(pooled).numpy())
                of_parts = Features(parts.flatten(0, 1).numpy(), network._fc(parts).flatten(0, 1).numpy())
            whole[some] = inputs(of_whole, concepts)
            cells[some] = inputs(of_parts, concepts).reshape(len(some), _CELLS**2, width)
            loud[some] = parts.norm(dim=2).numpy()
    return whole, cells, loud


def texts(said: Sequence[str], encoder: str = "all-minilm-l6-v2") -> NDArray[np.float32]:
    """float32 [n, 384], of length 1."""
    return np.asarray(_encoder(encoder).encode(list(said), role="document"), dtype=np.float32)


@cache  # texts are asked for a hundred times, and a tokenizer of many languages takes a second to read
def _encoder(name: str) -> SentenceEncoder:
    from retrievers.encoders.sentence_encoder import SentenceEncoder

    return SentenceEncoder(model=name)


def words(said: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[str]]:
    """Of each text float [n, 16, 384] its tokens, bool [n, 16] which there are, int [n, 16] which each is, and what they are
    called, in this order."""
    from retrievers.encoders.token_encoder import TokenEncoder

    encoder = TokenEncoder(model="all-minilm-l6-v2")
    made = encoder.encode(list(said), role="document")
    named = encoder.encode_named(list(said), role="document")[1]
    numbers = {word: number for number, word in enumerate(sorted({word for own in named for word in own}))}
    vectors = torch.zeros(len(said), MOST_WORDS, made.row(0).shape[1])
    mask, ids = (
        torch.zeros(len(said), MOST_WORDS, dtype=torch.bool),
        torch.zeros(len(said), MOST_WORDS, dtype=torch.long),
    )
    for place, own in enumerate(named):
        n = min(len(own), MOST_WORDS)
        vectors[place, :n] = unit(torch.from_numpy(np.asarray(made.row(place)[:n], dtype=np.float32)))
        mask[place, :n] = True
        ids[place, :n] = torch.tensor([numbers[word] for word in own[:n]])
    return vectors, mask, ids, [*numbers]
