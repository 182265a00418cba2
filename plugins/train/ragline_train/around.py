"""What encoders share that are another encoder's folder with something more in it, said by one JSON file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from rag.errors import SpecError
from rag.indexes import EncoderFolder, SentenceEncoder
from rag.types import Need

_PLAIN = "plain"
"""The kind that descriptions do not name."""


def require_new(folder: Path) -> None:
    """Return if nothing is there.

    Raises:
        SpecError: something is.
    """
    if folder.exists():
        raise SpecError(f"'{folder}' is there already. Name a folder that is not")


class AroundEncoder:
    """A kind of encoder folder (`rag.indexes.SentenceEncoder`) that asks another one, and makes something of its vectors.

    A kind says `file`, which lies within the folder and is JSON; of which `shape` that is; its own `name`, which is no kind to
    go around; and `is_whole`, whether the file's object says all but its kind.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    shape: ClassVar[str]

    def __init__(self, folder: Path, *, requested: Literal["auto", "float32", "bfloat16"]) -> None:
        self._folder, self._requested = folder, requested

    @classmethod
    def refuses(cls, folder: Path) -> str | None:
        """Why this is no such folder.

        Raises:
            SpecError: it is one, and what it says cannot be read.
        """
        if not (folder / cls.file).is_file():
            return f"it has no {cls.file}."
        cls.said(folder)
        return None

    @classmethod
    def said(cls, folder: Path) -> dict[str, Any]:
        """What the file says, `kind` among it: which kind reads the folder without the file.

        Raises:
            SpecError: it cannot be read, or says something else.
        """
        file = folder / cls.file
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as cause:
            raise SpecError(f"'{file}' cannot be read ({cause}). It holds {cls.shape}") from cause
        kind = said.get("kind") if isinstance(said, dict) else None
        if not isinstance(kind, str) or kind in ("", cls.name) or not cls.is_whole(said):
            raise SpecError(f"'{file}' holds {json.dumps(said)[:200]}, and not {cls.shape}")
        return dict(said)

    @classmethod
    def is_whole(cls, said: Mapping[str, Any]) -> bool:
        """Whether an object has just what a file of this kind has, beside a kind that is known to be good."""
        raise NotImplementedError

    @classmethod
    def copied(cls, encoder: str, out: Path) -> str:
        """Copy an encoder's folder, and give its kind.

        Raises:
            MissingModel: the encoder is not here and cannot be fetched.
            SpecError: `out` is there already.
        """
        require_new(out)
        kind = str(SentenceEncoder(model=encoder).describe().get("kind", _PLAIN))
        shutil.copytree(EncoderFolder.of(encoder).path, out)
        return kind

    @property
    def dim(self) -> int:
        return self._encoder.dim

    @property
    def compute(self) -> Literal["float32", "bfloat16"]:
        return self._encoder.compute

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return self._encoder.spans(texts)

    def memory(self) -> list[Need]:
        return self._encoder.memory()

    def release(self) -> None:
        self._encoder.release()

    def _of_the_other(self) -> dict[str, Any]:
        """What the other encoder says of itself, but for where it is."""
        return {key: value for key, value in self._encoder.describe().items() if key not in ("name", "revision")}

    @cached_property
    def _encoder(self) -> SentenceEncoder:
        return SentenceEncoder(model=str(self._folder), compute=self._requested, kind=self.said(self._folder)["kind"])
