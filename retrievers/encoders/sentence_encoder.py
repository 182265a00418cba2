"""Text -> vectors, with any model folder that a kind of encoder reads: `SentenceEncoder`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import ContractError, IndexProblem, SpecError
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.models import ModelFolder, resolve, weights_sha256
from rag.models.table import PACKAGED
from retrievers.encoders.descriptions import require_same, same_folder
from retrievers.encoders.kinds import Batch, EncoderKind, Requested, kind_of
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.settings import EncodesAsAsked, Encoding
from retrievers.encoders.states import GivesStates, Seen

# Texts that are tokenised and sorted by length together: enough to fill batches evenly, and 30 MB of token ids.
_TEXTS_AT_ONCE = 4096
# Descriptions name every kind but the one that was there first.
_UNNAMED = "plain"


class SentenceEncoder:
    """A model in sentence-transformers format (Reimers and Gurevych, EMNLP 2019), by the first kind that reads its folder.

    The folder is found, and fetched if need be, when it is first needed; weights load at the first text. It may be called
    from several threads.

    Args:
        model: a packaged name, a folder, or a hub id.
        revision: commit, branch or tag of a hub model.
        compute: float32 or bfloat16; auto takes bfloat16 where the processor or GPU multiplies in it.
        encoding: what is asked for where the folder says something else, or nothing.
        kind: the name of the kind that is asked first whether it reads the folder.
    """

    def __init__(
        self,
        *,
        model: str,
        revision: str | None = None,
        compute: Requested = "auto",
        encoding: Encoding | None = None,
        kind: str | None = None,
    ) -> None:
        if not model:
            raise ValueError("encoder: model must name a packaged model, a folder or a hub id")
        if compute not in get_args(Requested):
            raise ValueError(f"encoder: compute must be auto, float32 or bfloat16, got {compute!r}")
        self.model = model
        self.revision = revision
        self._requested: Requested = compute
        self._encoding = Encoding() if encoding is None else encoding
        self._first = kind
        self._lock = threading.RLock()

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> SentenceEncoder:
        """The encoder that described itself so.

        Raises:
            IndexMismatch: the model's files here are not those described; names both sides.
            IndexProblem: this is no description of an encoder.
            MissingModel: the model is not here and cannot be fetched.
        """
        try:
            name, revision, compute = (description[key] for key in ("name", "revision", "compute"))
            encoding = Encoding.model_validate(description.get("encoding", {}))
            kind = description.get("kind", _UNNAMED)
            encoder = cls(model=name, revision=revision, compute=compute, encoding=encoding, kind=kind)
        except (KeyError, TypeError, ValueError) as cause:
            raise IndexProblem(f"the index does not say which encoder made it ({cause!r}). Rebuild it.") from cause
        require_same(
            description,
            encoder.describe(),
            said=f"the index was built with another encoder than '{name}' is here",
            cure="the model's files",
            here="the model here",
        )
        return encoder

    def describe(self) -> dict[str, Any]:
        """Everything that decides what vector a text gets, as JSON. Loads no weights, but hashes them."""
        folder = self._folder
        name, kind = self._named_kind
        return {
            "name": str(folder.path) if folder.source == "path" else folder.name,
            "revision": folder.revision if folder.source == "hub" else None,
            "weights_sha256": weights_sha256(folder.path),
            **({} if name == _UNNAMED else {"kind": name}),
            **({"encoding": said} if (said := self._encoding.said()) else {}),
            **kind.facts(),
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes of those that a packaged model was made for; none where that is not known."""
        known = PACKAGED.get(self.model)
        return tuple(known.languages) if known else ()

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return self._kind.dim

    @property
    def compute(self) -> Literal["float32", "bfloat16"]:
        """The data type of the products."""
        return self._kind.compute

    def reading(self) -> Mapping[str, Any] | None:
        """All that decides the states of a document's tokens; None where they are not shown, or are of another text."""
        kind = self._kind
        said = kind.reading("document") if isinstance(kind, GivesStates) else None
        return None if said is None else {**same_folder(self._folder), **said}

    def encode(
        self, texts: Sequence[str], *, role: Role, progress: Progress = silent, seen: Seen | None = None
    ) -> NDArray[np.float32]:
        """Encode texts, each cut at the model's length limit.

        Args:
            role: chooses the model's prompt, which is put before each text.
            progress: called as ("encode", texts done, texts in all).
            seen: is shown the states of each text's tokens, where `reading` says that there are some.
        Returns:
            float32 [n, dim] in input order, unit norm where the model says so. A text without any token gets zeros.
        Raises:
            ContractError: the model gave numbers that are not finite.
        """
        if role not in get_args(Role):
            raise ValueError(f"encoder: role must be query or document, got {role!r}")
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        done = 0
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = texts[start : start + _TEXTS_AT_ONCE]
            for rows, encoded in self._batches(part, role, seen, start):
                damaged = rows[~np.isfinite(encoded).all(axis=1)]
                if len(damaged):
                    raise ContractError(
                        f"encoder '{self.model}' gave a number that is not finite, in {self.compute}, for text number"
                        f" {start + damaged.min()} of {len(texts)} (from 0). Its weights may be damaged; with bfloat16,"
                        " try compute: float32."
                    )
                vectors[start + rows] = encoded
                done += len(rows)
                progress("encode", done, len(texts))
        return vectors

    def _batches(self, texts: Sequence[str], role: Role, seen: Seen | None, first: int) -> Iterator[Batch]:
        """`first`: the place of the first text, as `seen` is told places."""
        kind = self._kind
        if seen is None or not isinstance(kind, GivesStates):
            return kind.batches(texts, role)
        return kind.batches(texts, role, lambda place, ids, states: seen(first + place, ids, states))

    def memory(self) -> list[Need]:
        """Weights, and the batches that run side by side. Loads nothing.

        Raises:
            MissingModel: the model is not here yet.
        """
        folder = resolve(self.model, revision=self.revision, offline=True).path
        return kind_of(folder, first=self._first)[1](folder, requested=self._requested).memory()

    def release(self) -> None:
        """Let go of the weights. The next text loads them again; a running call keeps them until it is done."""
        if "_named_kind" in self.__dict__:
            self._kind.release()

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each token of each text begins and ends, in characters; nothing is cut and no special tokens come in.

        Tokens that share a character, such as bytes of a rare one, have the same span.
        """
        return self._kind.spans(texts)

    @cached_property
    def _folder(self) -> ModelFolder:
        with self._lock:
            return resolve(self.model, revision=self.revision)

    @cached_property
    def _named_kind(self) -> tuple[str, EncoderKind]:
        with self._lock:
            name, kind = kind_of(self._folder.path, first=self._first)
            made = kind(self._folder.path, requested=self._requested)
            return name, self._as_asked(made) if self._encoding.said() else made

    def _as_asked(self, made: EncoderKind) -> EncoderKind:
        if not isinstance(made, EncodesAsAsked):
            raise SpecError(
                f"index.dense.encoding: '{self.model}' is {made.reads}, which does what its files say. Leave"
                f" {', '.join(self._encoding.said())} out, or take a plain transformers folder."
            )
        return made.as_asked(self._encoding)

    @property
    def _kind(self) -> EncoderKind:
        return self._named_kind[1]
