"""A network that sees, in this process: pictures -> features. Loads its weights at the first picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.files import file_sha256
from rag.indexes import resolve

if TYPE_CHECKING:
    from PIL.Image import Image

    from ragline_media.tower.lite0 import Lite0

_BATCH = 16
_SIDES = ((200, 192), (120, 128), (0, 112))
"""Longest side of a picture from so many pixels on -> pixels of a side that the network sees. Small drawings blur when they
are drawn large."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a network says of pictures. `pooled`: float32 [n, 1280], of another network as many as it has. `logits`: float32
    [n, 1000], of its classes, or [n, 0]."""

    pooled: NDArray[np.float32]
    logits: NDArray[np.float32]


def without_classes(pooled: Sequence[NDArray[np.float32]]) -> Features:
    """What some batches of pictures are to a network that says no classes."""
    joined = np.concatenate(pooled) if pooled else np.zeros((0, 0), np.float32)
    return Features(joined, np.zeros((len(joined), 0), np.float32))


class Tower:
    """EfficientNet-Lite0. Safe to share between threads.

    Args:
        model: a packaged name, or a folder that says in its `config.json` that it is one.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._lock = Lock()
        self._network: Lite0 | None = None

    def describe(self) -> dict[str, Any]:
        """All that decides the features of a picture. Loads no weights, but hashes them."""
        return {"tower": self.model, "tower_sha256": self._sha256, "sides": [list(each) for each in _SIDES]}

    def features(self, pictures: Sequence[bytes]) -> Features:
        """What the network says of each picture, in order.

        Raises:
            SpecError: one cannot be read as a picture.
        """
        decoded = [opened_picture(picture) for picture in pictures]
        pooled, logits = np.zeros((len(decoded), 1280), np.float32), np.zeros((len(decoded), 1000), np.float32)
        for side in {side_of(each.size) for each in decoded}:
            places = [place for place, each in enumerate(decoded) if side_of(each.size) == side]
            for start in range(0, len(places), _BATCH):
                some = places[start : start + _BATCH]
                pooled[some], logits[some] = self._seen(np.stack([pixels_of(decoded[place], side) for place in some]))
        return Features(pooled, logits)

    def release(self) -> None:
        self._network = None

    @cached_property
    def _sha256(self) -> str:
        return file_sha256(resolve(self.model).path / "model.safetensors")

    def _seen(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        import torch

        with torch.inference_mode():
            side_by_side = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
            pooled, logits = self._loaded()(side_by_side)
        return pooled.numpy(), logits.numpy()

    def _loaded(self) -> Lite0:
        import torch
        from safetensors.torch import load_file

        from ragline_media.tower.lite0 import Lite0

        with self._lock:
            if self._network is None:
                folder = resolve(self.model).path
                try:
                    network = Lite0.of(load_file(folder / "model.safetensors"))
                except RuntimeError as cause:
                    raise SpecError(
                        f"model folder '{folder}' has no weights of EfficientNet-Lite0 ({str(cause)[:200]}). Name another tower"
                    ) from cause
                for parameter in network.parameters():
                    if parameter.ndim == 4:  # a third faster here than channel by channel
                        parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
                self._network = network
            return self._network


def side_of(size: tuple[int, int]) -> int:
    """Pixels of a side at which a picture of this size is seen.

    >>> side_of((640, 427)), side_of((144, 144)), side_of((72, 72))
    (192, 128, 112)
    """
    return next(side for least, side in _SIDES if max(size) >= least)


def opened_picture(picture: bytes) -> Image:
    """In RGB, upon white where it is seen through.

    Raises:
        SpecError: it cannot be read as a picture.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture)) as opened:
            opened.draft("RGB", (384, 384))  # of a large photo, JPEG gives a smaller one at no cost
            return _opaque(opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        raise SpecError(f"a picture cannot be read: {type(cause).__name__}: {cause}") from cause


def _opaque(picture: Image) -> Image:
    """In RGB, upon white where it is seen through."""
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return picture.convert("RGB")


def pixels_of(picture: Image, side: int) -> NDArray[np.float32]:
    """float32 [3, side, side], as the network wants them."""
    from PIL import Image

    small = picture.resize((side, side), Image.Resampling.BICUBIC)
    return ((np.asarray(small, dtype=np.float32) - 127.0) / 128.0).transpose(2, 0, 1)
