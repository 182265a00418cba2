"""A bed of drawn pictures, and small models of random numbers that see and read: nothing is fetched."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from rag.indexes import SentenceEncoder
from ragline_media.tower.fitting import fit_pairs
from ragline_media.tower.lite0 import Lite0
from ragline_media.tower.tower import Tower
from tests.retrievers.tiny_encoders import sentence_modules, tiny_bert

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 220), "yellow": (240, 210, 40)}
SHAPES = ("disc", "frame", "cross")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture, what it shows in words, and its number among those that show the same."""

    colour: str
    shape: str
    number: int

    @property
    def caption(self) -> str:
        return f"a {self.colour} {self.shape}"

    def picture(self, side: int = 96) -> Image.Image:
        """Drawn somewhat elsewhere, and somewhat larger or smaller, for each number."""
        draw = np.random.default_rng([self.number, *self.caption.encode()])
        picture = Image.new("RGB", (side, side), (245, 245, 245))
        left, top = (int(each) for each in draw.integers(4, side // 4, 2))
        right, bottom = left + side * 5 // 8, top + side * 5 // 8
        pen, fill = ImageDraw.Draw(picture), COLOURS[self.colour]
        if self.shape == "disc":
            pen.ellipse((left, top, right, bottom), fill=fill)
        elif self.shape == "frame":
            pen.rectangle((left, top, right, bottom), outline=fill, width=side // 10)
        else:
            middle = (left + right) // 2, (top + bottom) // 2
            pen.line((left, middle[1], right, middle[1]), fill=fill, width=side // 8)
            pen.line((middle[0], top, middle[0], bottom), fill=fill, width=side // 8)
        return picture


def drawings(n: int, *, first: int = 0) -> list[Drawing]:
    """So many of each colour and shape."""
    return [Drawing(colour, shape, first + number) for number in range(n) for colour in COLOURS for shape in SHAPES]


def encoded(picture: Image.Image, form: str = "PNG", **more: object) -> bytes:
    """A picture as the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, form, **more)
    return stream.getvalue()


def random_tower(folder: Path) -> Path:
    """The real network with random weights, as a folder."""
    torch.manual_seed(3)
    network = Lite0()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "efficientnet-lite0", "reads": ["picture"]}))
    return folder


def random_encoder(folder: Path) -> Path:
    """A text encoder of random weights."""
    return sentence_modules(tiny_bert(folder), {"pooling_mode_mean_tokens": True})


def written(folder: Path, some: list[Drawing]) -> Iterator[Path]:
    """Pictures as files that are named as a camera names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, each in enumerate(some):
        file = folder / f"IMG_{place:04}.png"
        file.write_bytes(encoded(each.picture()))
        yield file


def random_models(home: Path) -> dict[str, str]:
    """A tower and an encoder of random weights, and a projector that was fitted on drawings."""
    tower, encoder = random_tower(home / "tower"), random_encoder(home / "encoder")
    some = drawings(4)
    projector = fit_pairs(
        [encoded(each.picture()) for each in some],
        [[each.caption] for each in some],
        tower=Tower(str(tower)),
        encoder=SentenceEncoder(model=str(encoder), compute="float32"),
        penalty=0.01,
    )
    (home / "projector").mkdir()
    projector.save(home / "projector")
    return {"tower": str(tower), "encoder": str(encoder), "projector": str(home / "projector")}
