"""What sees pictures by a folder of sentence-transformers: CLIP, SigLIP 2, EmbeddingGemma 2 and whatever else that library loads.

In a graph: `index: {pictures: {tower: FOLDER}}`. Questions are read by the same folder, as texts alone: where it is let, the
library opens a text that is the path or the address of a picture. So pictures and texts never go to it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import ContractError, SpecError
from rag.indexes import SentenceEncoder, unit
from ragline_media.tower.tower import Features, opened_picture, without_classes

_AT_ONCE = 8
_PICTURES = "image"


def is_library(folder: Path) -> bool:
    return (folder / "modules.json").is_file()


class LibraryTower:
    """Safe to share between threads. Code that the folder brings along is never run.

    Args:
        model: the folder.
    """

    reads_texts = True

    def __init__(self, model: str) -> None:
        self.model = model
        self._lock = Lock()

    def describe(self) -> dict[str, Any]:
        """All that decides a picture's vector: weights, settings, the library's version. Loads no weights, but hashes them."""
        said = SentenceEncoder(model=self.model).describe()
        return {"tower": self.model, "tower_sha256": said.pop("weights_sha256"), "library": said}

    def features(self, pictures: Sequence[bytes]) -> Features:
        """Unit vectors as what is pooled, and of no class how probable it is.

        Raises:
            SpecError: a picture cannot be read, or the library cannot load the folder, or sees no pictures with it.
            ContractError: a vector has a number that is not finite.
        """
        found = list[NDArray[np.float32]]()
        for start in range(0, len(pictures), _AT_ONCE):
            decoded: list[Any] = [opened_picture(each) for each in pictures[start : start + _AT_ONCE]]
            with self._lock:
                vectors = self._model.encode(decoded, convert_to_numpy=True, show_progress_bar=False)
            found.append(np.asarray(vectors, dtype=np.float32))
        seen = without_classes(found)
        if not np.isfinite(seen.pooled).all():
            raise ContractError(
                f"tower '{self.model}' gave a number that is not finite: its weights are damaged, or half precision is too"
                " coarse for them. Take them in float32"
            )
        return replace(seen, pooled=unit(seen.pooled))

    def release(self) -> None:
        with self._lock:
            self.__dict__.pop("_model", None)

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        folder = Path(self.model).expanduser()
        try:
            model = SentenceTransformer(str(folder), device="cpu", local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError) as cause:
            raise SpecError(f"tower '{folder}': sentence-transformers cannot load it ({str(cause)[:300]})") from cause
        if _PICTURES not in model.modalities:
            raise SpecError(
                f"tower '{folder}' reads {', '.join(model.modalities)}, and sees no pictures. Name another tower"
            )
        return model
