"""What a model wrote for an index, found again by what it was written from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rag.files import home, write_atomically


class KeptTexts:
    """Lists of texts, a file each, written whole or not at all: what a killed build had is not asked for again.

    Args:
        folder: where they lie; none is the folder `name` in ragline's home.
    """

    def __init__(self, folder: str | None, *, name: str) -> None:
        self._folder, self._name = folder, name

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
