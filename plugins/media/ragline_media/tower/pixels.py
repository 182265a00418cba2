"""A picture as the numbers that a network wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError

if TYPE_CHECKING:
    from PIL.Image import Image

_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Those of CLIP."""
_BICUBIC = 3
_MOST = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """How a picture is made so large, cut, and scaled.

    Args:
        size: pixels of its shorter side, or height and width.
        crop: height and width of the middle that is left; None: all.
        resample: how it is made smaller, by the numbers of Pillow.
        factor, offset: of 0 to 255: value * factor - offset.
        mean, deviation: of each colour, taken off and divided by.
    """

    size: int | tuple[int, int]
    crop: tuple[int, int] | None
    resample: int = _BICUBIC
    factor: float = 1 / 255
    offset: float = 0.0
    mean: tuple[float, ...] = _MEAN
    deviation: tuple[float, ...] = _DEVIATION

    @classmethod
    def of(cls, said: Mapping[str, Any], *, side: int) -> Self:
        """As a `preprocessor_config.json` says; as CLIP does at this many pixels where there is none.

        Raises:
            SpecError: it asks for what is not here, or for pictures of over 2,048 pixels.
        """
        try:
            size = _size(said.get("size", side))
            crop = _size(said.get("crop_size", side)) if said.get("do_center_crop", True) else None
            normal = bool(said.get("do_normalize", True))
            made = cls(
                size=size,
                crop=(crop, crop) if isinstance(crop, int) else crop,
                resample=int(said.get("resample", _BICUBIC)),
                factor=float(said.get("rescale_factor", 1 / 255)),
                offset=1.0 if said.get("rescale_offset") else 0.0,
                mean=_three(said.get("image_mean", _MEAN)) if normal else (0.0,) * 3,
                deviation=_three(said.get("image_std", _DEVIATION)) if normal else (1.0,) * 3,
            )
            largest = max(np.ravel([made.size, *(made.crop or ())]))
            if not 1 <= largest <= _MOST:
                raise ValueError(f"{largest} pixels of a side; from 1 to {_MOST} there may be")
        except (KeyError, TypeError, ValueError) as cause:
            raise SpecError(f"preprocessor_config.json asks for pictures that cannot be made ({cause})") from cause
        return made

    def __call__(self, picture: Image) -> NDArray[np.float32]:
        """float32 [3, height, width] of a picture in RGB."""
        from PIL import Image

        height, width = self._sized(picture.size)
        small = picture.resize((width, height), Image.Resampling(self.resample))
        if self.crop is not None:
            down, across = self.crop
            top, left = (height - down) // 2, (width - across) // 2
            small = small.crop((left, top, left + across, top + down))
        values = np.asarray(small, dtype=np.float32) * np.float32(self.factor) - np.float32(self.offset)
        mean, deviation = np.array(self.mean, np.float32), np.array(self.deviation, np.float32)
        scaled: NDArray[np.float32] = (values - mean) / deviation
        return scaled.transpose(2, 0, 1)

    def _sized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width before the middle is cut out."""
        if not isinstance(self.size, int):
            return self.size
        width, height = size
        if width <= height:
            return max(self.size, int(self.size * height / width)), self.size
        return self.size, max(self.size, int(self.size * width / height))


def _size(said: Any) -> int | tuple[int, int]:
    """Of 224, {"shortest_edge": 224} or {"height": 224, "width": 224}."""
    if isinstance(said, Mapping):
        return int(said["shortest_edge"]) if "shortest_edge" in said else (int(said["height"]), int(said["width"]))
    return int(said)


def _three(said: Sequence[float]) -> tuple[float, ...]:
    red, green, blue = (float(each) for each in said)
    return red, green, blue
