"""An encoder whose vector of a text is the mean of the vectors of its parts: ReCo's dense form of a rewritten corpus.

    python -m ragline_recipes.mean_of_parts all-minilm-l6-v2 minilm-of-parts

writes a folder that an index takes as `dense: {encoder: minilm-of-parts}`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.indexes import EncoderFolder, SentenceEncoder
from rag.types import Need

PART = "\x1e"
"""Between the parts of a text: the record separator of ASCII, which is white space to analyzers and nothing to encoders."""
SETTINGS = "mean_of_parts.json"
_PLAIN = "plain"
"""The kind that descriptions do not name."""
_SHAPE = '{"kind": "plain"}, or another kind of encoder folder'


class MeanOfPartsEncoder:
    """An encoder's folder with one file more, `mean_of_parts.json`, which says of which kind it is without it.

    A text is cut at `PART`, and its vector is the mean of the parts' vectors, which is not made a unit vector again (ReCo: Li
    et al., ACL 2024, arXiv 2401.04514: half of it the code itself, half what was written for it). Parts that are equal are
    read once. A text without the mark has the encoder's own vector; so have queries, whose parts the retriever averages.
    """

    reads: ClassVar[str] = f"an encoder's folder with {SETTINGS}"

    def __init__(self, folder: Path, *, requested: Literal["auto", "float32", "bfloat16"]) -> None:
        self._folder, self._requested = folder, requested

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this is no such folder.

        Raises:
            SpecError: it is one, and what it says cannot be read.
        """
        if not (folder / SETTINGS).is_file():
            return f"it has no {SETTINGS}."
        _said(folder)
        return None

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._encoder.dim

    @property
    def compute(self) -> Literal["float32", "bfloat16"]:
        """The data type of the products."""
        return self._encoder.compute

    def facts(self) -> Mapping[str, Any]:
        """What the encoder says of itself, but for where it is."""
        said = {key: value for key, value in self._encoder.describe().items() if key not in ("name", "revision")}
        return {"of_each_part": said, "normalise": False, "dim": self.dim, "compute": self.compute}

    def batches(
        self, texts: Sequence[str], role: Literal["query", "document"]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """All of them at once."""
        parts = [[part for part in text.split(PART) if part.strip()] or [text] for text in texts]
        different = list(dict.fromkeys(part for each in parts for part in each))
        row = {part: place for place, part in enumerate(different)}
        vectors = self._encoder.encode(different, role=role)
        means = [vectors[[row[part] for part in each]].mean(axis=0) for each in parts]
        yield np.arange(len(texts)), np.array(means, dtype=np.float32).reshape(len(texts), self.dim)

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each token of each text begins and ends, in characters; nothing is cut."""
        return self._encoder.spans(texts)

    def memory(self) -> list[Need]:
        """That of the encoder."""
        return self._encoder.memory()

    def release(self) -> None:
        """Let go of the weights. The next text loads them again."""
        self._encoder.release()

    @cached_property
    def _encoder(self) -> SentenceEncoder:
        return SentenceEncoder(model=str(self._folder), compute=self._requested, kind=_said(self._folder))


def write_folder(encoder: str, out: Path) -> None:
    """A copy of an encoder's folder that gives means of parts.

    Args:
        encoder: a packaged name, a folder, or a hub id.
        out: a folder that is not there yet.
    Raises:
        MissingModel: the encoder is not here and cannot be fetched.
        SpecError: `out` is there already.
    """
    if out.exists():
        raise SpecError(f"'{out}' is there already. Name a folder that is not")
    kind = str(SentenceEncoder(model=encoder).describe().get("kind", _PLAIN))
    shutil.copytree(EncoderFolder.of(encoder).path, out)
    (out / SETTINGS).write_text(json.dumps({"kind": kind}), encoding="utf-8")


def _said(folder: Path) -> str:
    """The kind that reads the folder without the file."""
    file = folder / SETTINGS
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SpecError(f"'{file}' cannot be read ({cause}). It holds {_SHAPE}") from cause
    kind = said.get("kind") if isinstance(said, dict) else None
    if not isinstance(kind, str) or len(said) != 1 or kind in ("", "mean_of_parts"):
        raise SpecError(f"'{file}' holds {json.dumps(said)[:200]}, and not {_SHAPE}")
    return kind


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("python -m ragline_recipes.mean_of_parts ENCODER FOLDER")
    write_folder(sys.argv[1], Path(sys.argv[2]))
