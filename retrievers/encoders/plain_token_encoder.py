"""The last layer of a plain sentence encoder, as a vector for every token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.memory import Need
from retrievers.encoders.kinds import Compute
from retrievers.encoders.plain_encoder import PlainEncoder
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.token_encoder import Asked

_DECIDES = ("lower_case", "max_length", "prompts")
"""What the folder's files say that decides the states of a token; the rest is about one vector for a text."""


class PlainTokenEncoder:
    """States of the last layer, brought to unit length. No weights were trained for this; what it is worth is measured.

    All tokens of a query count, special ones among them. Of a document punctuation is left out, as ColBERT does it, and so
    are special tokens.
    """

    reads: ClassVar[str] = "a plain sentence encoder"

    def __init__(self, folder: Path, *, asked: Asked) -> None:
        if asked.language is not None:
            raise SpecError(f"model folder '{folder}' has no adapters for languages. Leave language out.")
        self._encoder = PlainEncoder(folder, requested=asked.dtype)
        self._bare: dict[Role, int] = {}

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this is no plain folder."""
        return PlainEncoder.refuses(folder)

    @property
    def compute(self) -> Compute:
        return self._encoder.compute

    @property
    def dim(self) -> int:
        """Width of the last layer."""
        return self._encoder.width

    def facts(self) -> Mapping[str, Any]:
        said = self._encoder.facts()
        return {name: said[name] for name in _DECIDES} | {"dim": self.dim}

    def read(self, texts: Sequence[str], role: Role) -> list[tuple[list[int], NDArray[np.float32]]]:
        made: list[tuple[list[int], NDArray[np.float32]]] = [([], self._nothing) for _ in texts]
        for place, ids, states in self._encoder.states(texts, role):
            made[place] = self.of_states(ids, states, role)
        return made

    def reading(self, role: Role) -> Mapping[str, Any] | None:
        return self._encoder.reading(role)

    def of_states(
        self, ids: Sequence[int], states: NDArray[np.float32], role: Role
    ) -> tuple[list[int], NDArray[np.float32]]:
        if len(ids) <= self._around(role):
            return [], self._nothing
        left_out = self._uncounted if role == "document" else frozenset[int]()
        kept = [at for at, id_ in enumerate(ids) if id_ not in left_out]
        vectors = states[kept]
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))  # in one pass over them
        vectors /= np.maximum(lengths, 1e-12)[:, None]
        return [ids[at] for at in kept], vectors

    def names(self, ids: Sequence[int]) -> list[str]:
        return self._encoder.tokens.names(ids)

    def memory(self) -> list[Need]:
        return self._encoder.memory()

    def release(self) -> None:
        self._encoder.release()

    @property
    def _nothing(self) -> NDArray[np.float32]:
        return np.zeros((0, self.dim), dtype=np.float32)

    def _around(self, role: Role) -> int:
        if role not in self._bare:
            self._bare[role] = self._encoder.n_around(role)
        return self._bare[role]

    @cached_property
    def _uncounted(self) -> frozenset[int]:
        tokens = self._encoder.tokens
        return frozenset([*tokens.special_ids, *tokens.punctuation_ids()])
