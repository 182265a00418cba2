"""Text -> a vector for every token, with any model folder that a kind of token encoder reads: `TokenEncoder`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import ContractError, IndexProblem
from rag.core.memory import Need
from rag.core.registry import Registry
from rag.models import ModelFolder, resolve
from retrievers.encoders.descriptions import folder_facts, require_same, same_folder
from retrievers.encoders.kinds import Compute, Requested, first_that_reads
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.states import TakesStates
from retrievers.stores.token_vectors import TokenVectors

VERSION = 1
"""Raised when the same model reads a text in another way than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a model folder. `language`: for one with adapters for languages, whose it is to use."""

    dtype: Requested
    language: str | None


class TokenEncoderKind(Protocol):
    """A model folder that gives a vector for every token. Made without loading weights; several threads may call it."""

    reads: ClassVar[str]
    """What folders of this kind are, for messages."""

    def __init__(self, folder: Path, *, asked: Asked) -> None: ...

    @staticmethod
    def refuses(folder: Path) -> str | None:
        """Why this kind does not read the folder; None where it does. Reads JSON alone."""
        ...

    @property
    def compute(self) -> Compute:
        """The data type of the products."""
        ...

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """All that decides a vector beside the weights, as JSON. Loads no weights."""
        ...

    def read(self, texts: Sequence[str], role: Role) -> list[tuple[list[int], NDArray[np.float32]]]:
        """Of each text the ids of the tokens that count, and float32 [tokens, dim], of unit length."""
        ...

    def names(self, ids: Sequence[int]) -> list[str]:
        """What tokens are called in the vocabulary."""
        ...

    def memory(self) -> list[Need]:
        """Weights, and a batch. Loads nothing."""
        ...

    def release(self) -> None:
        """Let go of the weights. The next text loads them again."""
        ...


TOKEN_ENCODERS = Registry(
    "token_encoder",
    {
        "library": "retrievers.encoders.library_token_encoder:LibraryTokenEncoder",
        "plain": "retrievers.encoders.plain_token_encoder:PlainTokenEncoder",
    },
)
"""Asked in this order, those of plug-ins before them: the first that reads a folder is taken."""


def _kind_of(folder: Path) -> tuple[str, type[TokenEncoderKind]]:
    name, kind = first_that_reads(folder, TOKEN_ENCODERS, wanted="one that gives a vector for every token")
    return name, cast(type[TokenEncoderKind], kind)


class TokenEncoder:
    """A model that gives a vector for every token: a multi-vector folder of sentence-transformers or PyLate, a checkpoint in
    ColBERT's layout, or the last layer of a plain sentence encoder.

    The folder is found when it is first needed; weights load at the first text. It may be called from several threads.

    Args:
        model: a packaged name, a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        dtype: float32 or bfloat16; auto takes bfloat16 where the device multiplies in it and the folder is plain.
        language: of all texts, for a model with adapters for languages (XMOD), as its configuration spells it: de_DE.
    """

    def __init__(
        self, *, model: str, revision: str | None = None, dtype: Requested = "auto", language: str | None = None
    ) -> None:
        self.model, self.revision = model, revision
        self._asked = Asked(dtype=dtype, language=language)
        self._lock = threading.RLock()

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> TokenEncoder:
        """The encoder that described itself so.

        Raises:
            IndexMismatch: the model's files here are not those described; names both sides.
            IndexProblem: this is no description of an encoder.
            MissingModel: the model is not here and cannot be fetched.
        """
        try:
            encoder = cls(**{name: description[name] for name in ("model", "revision", "dtype", "language")})
        except (KeyError, TypeError) as cause:
            raise IndexProblem(f"the index does not say what read its tokens ({cause!r}). Rebuild it.") from cause
        require_same(
            description,
            encoder.describe(),
            said="the index's late_interaction leg was built with another model than is here",
            cure="the model's files",
        )
        return encoder

    def describe(self) -> dict[str, Any]:
        """Everything that decides the vectors of a text, as JSON. Loads no weights, but hashes them."""
        folder, (name, kind) = self._folder, self._named_kind
        return {
            "version": VERSION,
            **folder_facts(folder),
            "dtype": kind.compute,
            "language": self._asked.language,
            "kind": name,
            **kind.facts(),
        }

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._kind.dim

    def encode(self, texts: Sequence[str], *, role: Role) -> TokenVectors:
        """In order. A text without a token that counts, such as a blank one, has no vectors.

        Raises:
            ContractError: the model gave numbers that are not finite.
        """
        return self._read(texts, role)[0]

    def encode_named(self, texts: Sequence[str], *, role: Role) -> tuple[TokenVectors, list[list[str]]]:
        """The same, and what the tokens of each text are called."""
        made, ids = self._read(texts, role)
        return made, [self._kind.names(each) for each in ids]

    def reading(self) -> Mapping[str, Any] | None:
        """All that decides the states of a document's tokens that its vectors are made of; None where nobody says it."""
        kind = self._kind
        said = kind.reading("document") if isinstance(kind, TakesStates) else None
        return None if said is None else {**same_folder(self._folder), **said}

    def of_states(self, ids: Sequence[int], states: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [tokens, dim]: what `encode` gives of a document, from the states of its tokens; see `reading`."""
        kind = self._kind
        assert isinstance(kind, TakesStates)
        vectors = kind.of_states(ids, states, "document")[1]
        self._require_finite(vectors)
        return vectors

    def _require_finite(self, vectors: NDArray[np.float32]) -> None:
        if not np.isfinite(vectors).all():
            raise ContractError(
                f"token encoder '{self.model}' gave a number that is not finite, in {self._kind.compute}. Its weights may be "
                "damaged; with bfloat16, try dtype: float32."
            )

    def _read(self, texts: Sequence[str], role: Role) -> tuple[TokenVectors, list[list[int]]]:
        read = self._kind.read(texts, role)
        made = TokenVectors.of([vectors for _, vectors in read], dim=self.dim)
        self._require_finite(made.values)
        return made, [ids for ids, _ in read]

    def memory(self) -> list[Need]:
        """Weights, and one batch. Loads nothing.

        Raises:
            MissingModel: the model is not here yet.
        """
        folder = resolve(self.model, revision=self.revision, offline=True).path
        return _kind_of(folder)[1](folder, asked=self._asked).memory()

    def release(self) -> None:
        """Let go of the weights. The next text loads them again."""
        if "_named_kind" in self.__dict__:
            self._kind.release()

    @cached_property
    def _folder(self) -> ModelFolder:
        with self._lock:
            return resolve(self.model, revision=self.revision)

    @cached_property
    def _named_kind(self) -> tuple[str, TokenEncoderKind]:
        with self._lock:
            name, kind = _kind_of(self._folder.path)
            return name, kind(self._folder.path, asked=self._asked)

    @property
    def _kind(self) -> TokenEncoderKind:
        return self._named_kind[1]
