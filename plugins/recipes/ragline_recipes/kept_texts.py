"""What a model wrote for an index, found again by what it was written from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from rag.files import home, write_atomically

T = TypeVar("T")

_BATCH = 16  # between two saves: what a killed build loses


class KeptTexts:
    """Lists of texts, a file each, written whole or not at all: what a killed build had is not asked for again.

    Args:
        folder: where they lie; none is the folder `name` in ragline's home.
    """

    def __init__(self, folder: str | None, *, name: str) -> None:
        self._folder, self._name = folder, name

    def filled(
        self, wanted: Mapping[str, T], write: Callable[[list[T]], Sequence[Sequence[str]]], *, keep: bool
    ) -> dict[str, list[str]]:
        """Texts of each key: those that are kept, and what `write` makes of the others, saved batch by batch.

        `keep`: false for a model that does not say what it is. Then nothing is read, and nothing left behind.
        """
        texts = {key: found for key in wanted if keep and (found := self.read(key)) is not None}
        missing = [key for key in wanted if key not in texts]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            for key, written in zip(batch, write([wanted[key] for key in batch]), strict=True):
                texts[key] = list(written)
                if keep:
                    self.save(key, written)
        return texts

    def read(self, key: str) -> list[str] | None:
        """What was written before; None where it was not, or cannot be read any more."""
        try:
            texts = json.loads(self._file(key).read_bytes())
        except (OSError, ValueError):
            return None
        fine = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        return texts if fine else None

    def save(self, key: str, texts: Sequence[str]) -> None:
        """Keep them."""
        write_atomically(self._file(key), json.dumps(list(texts)))

    def _file(self, key: str) -> Path:
        return (Path(self._folder) if self._folder else home() / self._name) / key[:2] / f"{key}.json"
