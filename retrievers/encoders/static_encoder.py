"""Static vectors in model2vec's layout: the mean of the vectors of a text's tokens, and no model is run.

The numbers are those of `model2vec.StaticModel.encode` (0.10), in float32 throughout. It is here because its library's
version would otherwise be part of what an index remembers: see docs/decisions/0006-ours-or-a-library.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rag.core.digests import file_sha256
from rag.core.errors import SpecError
from rag.core.memory import Need
from retrievers.encoders.kinds import Batch, Compute, Requested
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.static_folder import StaticFolder, is_static, read_static_folder
from retrievers.encoders.tokenizer import readable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from retrievers.encoders.static_table import StaticTable

_TEXTS_PER_BATCH = 1024


class StaticEncoder:
    """Weights load at the first text. Queries and documents are treated alike."""

    reads: ClassVar[str] = "a folder of static vectors"

    def __init__(self, folder: Path, *, requested: Requested) -> None:
        if requested == "bfloat16":
            raise SpecError(f"model folder '{folder}': static vectors are added up in float32. Leave compute at auto.")
        self._folder = folder
        self._lock = threading.RLock()

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this is no folder of model2vec's.

        Raises:
            SpecError: it is one, and damaged.
        """
        if not is_static(folder):
            return "neither its config.json nor its weights are those of model2vec."
        read_static_folder(folder)
        return None

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._how.dim

    @property
    def compute(self) -> Compute:
        """Always float32."""
        return "float32"

    def facts(self) -> Mapping[str, Any]:
        """Length limit, unit length, and the tokenizer, which decides which vectors are averaged."""
        return {
            "normalise": self._how.normalise,
            "dim": self.dim,
            "max_length": self._how.max_length,
            "tokenizer_sha256": file_sha256(self._how.tokenizer),
            "compute": self.compute,
        }

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The texts in order, some at a time."""
        table = self._table
        for start in range(0, len(texts), _TEXTS_PER_BATCH):
            vectors = table.vectors([readable(text) for text in texts[start : start + _TEXTS_PER_BATCH]])
            yield np.arange(start, start + len(vectors)), vectors

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each token begins and ends, in characters, unknown ones among them."""
        encoded = self._uncut.encode_batch([readable(text) for text in texts], add_special_tokens=False)
        return [[(int(start), int(end)) for start, end in each.offsets] for each in encoded]

    def memory(self) -> list[Need]:
        """The vectors of all tokens, in float32."""
        n_bytes = 4 * self._how.tokens * self._how.dim
        return [Need(what="static vectors in float32", n_bytes=n_bytes)]

    def release(self) -> None:
        """Let go of the vectors; a running call keeps them until it is done."""
        with self._lock:
            for name in ("_table", "_uncut"):
                self.__dict__.pop(name, None)

    @cached_property
    def _how(self) -> StaticFolder:
        return read_static_folder(self._folder)

    @cached_property
    def _table(self) -> StaticTable:
        from retrievers.encoders.static_table import StaticTable

        with self._lock:
            return StaticTable(self._how)

    @cached_property
    def _uncut(self) -> Tokenizer:
        from retrievers.encoders.static_table import load_tokenizer

        with self._lock:
            tokenizer = load_tokenizer(self._how.tokenizer)
            tokenizer.no_truncation()
            return tokenizer
