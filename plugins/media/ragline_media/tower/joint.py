"""A published tower of pictures and texts, for an index: what sees its pictures, and what reads its questions.

In a graph: `index: {pictures: {tower: FOLDER}}`. Questions are read by the same folder, as an encoder of texts.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rag.errors import ContractError, SpecError
from rag.files import file_sha256
from rag.indexes import resolve, unit
from rag.types import Need
from ragline_media.sound.network import SoundTower
from ragline_media.tower.library_tower import LibraryTower, is_library
from ragline_media.tower.published import Published, layout_of
from ragline_media.tower.space import EncodeTexts, concepts_of
from ragline_media.tower.tower import Features, Tower, opened_picture, without_classes
from ragline_media.tower.volumes import volume_of

if TYPE_CHECKING:
    from torch import Tensor, nn

_PICTURES, _TEXTS = 8, 32
"""That go through a network together; volumes go alone."""
_ROOM = 256 << 20
_DIM = (
    *(("text_projection", 1), ("text_projection.weight", 0), ("text.proj.2.weight", 0), ("text.text_projection", 1)),
    ("encode_text.linear_layer.weight", 0),
)
"""Where weights say how many numbers a text has."""
_APART = re.compile(r"\w+|[^\w\s]+")
"""A word, or signs that stand together."""


def is_joint(model: str) -> bool:
    """Whether a tower of this name is a folder that sees pictures and reads texts into one space: one of a published layout, or of
    sentence-transformers. A name that means nothing is none."""
    folder = Path(model).expanduser()
    return folder.is_dir() and (layout_of(folder) is not None or is_library(folder))


def tower_of(model: str) -> AnyTower:
    """What sees pictures, by its name: a folder of a published layout or of sentence-transformers, or the network that packages
    carry."""
    if not is_joint(model):
        return Tower(model)
    return JointTower(model) if layout_of(Path(model).expanduser()) else LibraryTower(model)


def concepts_for(tower: AnyTower, encode: EncodeTexts | None, *, dim: int) -> NDArray[np.float32]:
    """float32 [classes, dim]: what a tower's classes are to an encoder. None of them where it says no classes; zeros where nobody
    asks."""
    if isinstance(tower, JointTower | LibraryTower):
        return np.zeros((0, dim), np.float32)
    if isinstance(tower, SoundTower):
        return encode(tower.class_names) if encode else np.zeros((len(tower.class_names), dim), np.float32)
    return np.zeros((1000, dim), np.float32) if encode is None else concepts_of(encode)


class _Side:
    """A side that is loaded when it is first asked. Safe to share between threads."""

    def __init__(self, published: Published, which: Literal["seen", "said"]) -> None:
        self._published, self._which = published, which
        self._lock = threading.Lock()
        self._network: nn.Module | None = None

    def __call__(self, given: Tensor) -> NDArray[np.float32]:
        """float32 [n, dim], unit norm."""
        import torch

        with self._lock:
            network = self._network = self._network or self._published.side(self._which)
        try:
            with torch.inference_mode():
                found: NDArray[np.float32] = network(given).float().numpy()
        except (RuntimeError, IndexError) as cause:
            raise SpecError(
                f"model folder '{self._published.folder}': its network, its tokenizer and its sizes do not fit together"
                f" ({str(cause)[:200]})"
            ) from cause
        if not np.isfinite(found).all():
            raise ContractError(
                f"tower '{self._published.folder}' gave a number that is not finite; its weights are damaged, or were computed in"
                " half precision, in which some models give none. Take them in float32"
            )
        return unit(found)

    def release(self) -> None:
        self._network = None


class JointTower:
    """What sees pictures. Their vectors lie beside those of its texts, so no classes are told."""

    def __init__(self, model: str) -> None:
        self.model = model

    @property
    def reads_texts(self) -> bool:
        return self._published.layout.texts

    def describe(self) -> dict[str, Any]:
        """All that decides a picture's vector. Loads no weights, but hashes them."""
        sha256 = file_sha256(self._published.folder / "model.safetensors")
        return {"tower": self.model, "tower_sha256": sha256, "layout": self._published.name}

    def features(self, pictures: Sequence[bytes]) -> Features:
        """Unit vectors as what is pooled, and of no class how probable it is.

        Args:
            pictures: or volumes, as files of NIfTI, where the layout sees these.

        Raises:
            SpecError: a picture cannot be read, or the folder has no weights of its layout.
        """
        import torch

        found = list[NDArray[np.float32]]()
        volumes = self._published.layout.sees == "volumes"
        together = 1 if volumes else _PICTURES
        for start in range(0, len(pictures), together):
            some = pictures[start : start + together]
            decoded = [volume_of(each) if volumes else self._published.pixels(opened_picture(each)) for each in some]
            found.append(self._seen(torch.from_numpy(np.stack(decoded))))
        return without_classes(found)

    def release(self) -> None:
        self._seen.release()

    @cached_property
    def _published(self) -> Published:
        return Published(resolve(self.model).path)

    @cached_property
    def _seen(self) -> _Side:
        return _Side(self._published, "seen")


class JointEncoder:
    """The side of texts as a kind of encoder's folder, so that whatever takes an encoder takes this one."""

    reads: ClassVar[str] = "a tower of a published layout"

    def __init__(self, folder: Path, *, requested: Literal["auto", "float32", "bfloat16"]) -> None:
        self._published = Published(folder)
        self._said = _Side(self._published, "said")

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this is no such folder.

        Raises:
            SpecError: it names a layout that is not known, or one that has no texts.
        """
        if layout_of(folder) is None:
            return "its config.json names no layout of a tower."
        published = Published(folder)
        return None if published.layout.texts else f"{published.layout.system} reads no texts."

    @cached_property
    def dim(self) -> int:
        from safetensors import safe_open

        with safe_open(self._published.folder / "model.safetensors", "np") as file:
            keys = {*file.keys()}
            for key, axis in _DIM:
                if key in keys:
                    return int(file.get_slice(key).get_shape()[axis])
        raise SpecError(f"model folder '{self._published.folder}' has no projection of texts, so it is damaged")

    compute: Literal["float32", "bfloat16"] = "float32"

    def facts(self) -> Mapping[str, Any]:
        """All that decides a vector beside the weights."""
        sha256 = file_sha256(self._published.folder / "tokenizer.json")
        published = self._published
        return {
            "layout": published.name,
            "tokenizer_sha256": sha256,
            "max_length": published.length,
            "compute": self.compute,
        }

    def batches(
        self, texts: Sequence[str], role: Literal["query", "document"]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """In the order of their length."""
        import torch

        tokenizer = self._tokenizer(cut=True)
        apart = self._published.layout.apart
        told = [_apart(each)[0] if apart else each for each in map(_readable, texts)]
        ids = [each.ids for each in tokenizer.encode_batch(told)]
        order = np.argsort([len(each) for each in ids], kind="stable")
        for start in range(0, len(order), _TEXTS):
            rows = order[start : start + _TEXTS]
            longest = max(len(ids[row]) for row in rows)
            if self._published.layout.by == "open_clip":  # its texts may look at what fills them up
                longest = self._published.length
            filled = np.full((len(rows), longest), self._published.layout.fill, dtype=np.int64)
            for place, row in enumerate(rows):
                filled[place, : len(ids[row])] = ids[row]
            yield rows, self._said(torch.from_numpy(filled))

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        if not self._published.layout.apart:
            return self._spans([*map(_readable, texts)])
        told = [_apart(_readable(each)) for each in texts]
        found = zip(self._spans([text for text, _ in told]), told, strict=True)
        return [[(at[start], at[end - 1] + 1) for start, end in spans if start < end] for spans, (_, at) in found]

    def _spans(self, texts: list[str]) -> list[list[tuple[int, int]]]:
        encoded = self._tokenizer(cut=False).encode_batch(texts, add_special_tokens=False)
        return [list(each.offsets) for each in encoded]

    def memory(self) -> list[Need]:
        """Weights in float32 beside the file they come from, and a batch on its way through."""
        size = (self._published.folder / "model.safetensors").stat().st_size
        return [Need(what=f"texts of {self._published.name}", n_bytes=2 * size + _ROOM)]

    def release(self) -> None:
        self._said.release()

    def _tokenizer(self, *, cut: bool) -> Any:
        from tokenizers import Tokenizer

        file = self._published.folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as cause:  # what the library raises has no type of its own
            raise SpecError(
                f"'{file}' is no tokenizer ({str(cause)[:200]}). Take it from where the weights come from"
            ) from cause
        tokenizer.no_padding()
        if cut:
            tokenizer.enable_truncation(self._published.length)
        else:
            tokenizer.no_truncation()
        return tokenizer


def _readable(text: str) -> str:
    """Without halves of characters, which the tokenizer cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _apart(text: str) -> tuple[str, list[int]]:
    """A text as Merlin's texts were made, and which character of it each of these was.

    >>> _apart("CT: 2.5 mm")
    ('ct : 2 . 5 mm', [0, 1, 2, 2, 4, 4, 5, 5, 6, 6, 8, 8, 9])
    """
    places = [place for place, each in enumerate(text) for _ in each.lower()]
    words = [*_APART.finditer(text.lower())]
    at = [place for word in words for place in (places[word.start()], *places[word.start() : word.end()])]
    return " ".join(word[0] for word in words), at[1:]


AnyTower = Tower | JointTower | LibraryTower | SoundTower
"""What sees pictures."""
