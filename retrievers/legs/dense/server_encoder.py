"""An encoder behind a server: OpenAI's, Ollama's or text-embeddings-inference's form of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from generators.llm.server_client import NotFound, ServerClient
from generators.llm.server_keys import origin_of
from rag.core.errors import IndexMismatch, IndexProblem, SpecError, StageError
from rag.core.memory import Need
from rag.core.progress import Progress, silent
from rag.ingest import word_spans
from retrievers.encoders.sentence_folder import Role
from retrievers.encoders.tokenizer import readable
from retrievers.legs.dense.settings import ServedEncoderSettings

BY = "index.dense.encoder"
PROBE = "The quick brown fox jumps over the lazy dog; 42 kg, Zürich."
"""A text whose vector tells one model from another."""
LEAST_SIMILAR = 0.9995
"""Cosine of two vectors of the probe by one model: what rounding and batches on a GPU leave."""


class _Api(NamedTuple):
    """Where texts go, in what body, and where their vectors stand in the reply."""

    path: str
    from_root: bool
    body: Callable[[str, Sequence[str]], dict[str, Any]]
    vectors: Callable[[Any], Any]


_APIS = {
    "openai": _Api(
        "/embeddings",
        False,
        lambda model, texts: {"model": model, "input": list(texts), "encoding_format": "float"},
        lambda reply: [each["embedding"] for each in sorted(reply["data"], key=lambda each: each["index"])],
    ),
    "ollama": _Api(
        "/api/embed",
        True,
        lambda model, texts: {"model": model, "input": list(texts)},
        lambda reply: reply["embeddings"],
    ),
    "tei": _Api("/embed", True, lambda _, texts: {"inputs": list(texts)}, lambda reply: reply),
}


class ServedEncoder:
    """Texts -> vectors of unit norm, by a server. Nothing is asked before the first text. Threads may share it.

    What is served under a name may change unseen. So an index keeps the vector of one known text, and a server that gives
    another one for it is refused.
    """

    def __init__(self, settings: ServedEncoderSettings, *, probe: Sequence[float] | None = None) -> None:
        self._settings = settings
        self._known = None if probe is None else np.asarray(probe, np.float32)
        self._api = _APIS[settings.api]
        self._client = ServerClient(
            settings.url,
            by=BY,
            api_key_variable=settings.api_key_variable,
            timeout_s=settings.timeout_s,
            retries=settings.retries,
            max_in_flight=settings.requests_at_once,
        )

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> ServedEncoder:
        """The encoder that described itself so.

        Raises:
            IndexProblem: this is no description of one.
        """
        try:
            settings = ServedEncoderSettings.model_validate(description["server"])
            return cls(settings, probe=description["probe"])
        except (KeyError, TypeError, ValueError) as cause:
            raise IndexProblem(f"the index does not say which server encoded it ({cause}). Build it again") from cause

    def describe(self) -> dict[str, Any]:
        """The server, the model, and the vector of `PROBE`, which the server is asked for."""
        return {
            "name": self._settings.model,
            "server": self._settings.model_dump(mode="json", exclude_defaults=True),
            "probe": [round(float(number), 6) for number in self._probe],
        }

    def same_as(self, description: Mapping[str, Any]) -> bool:
        """Whether an encoder that described itself so gives the same vectors."""
        mine = self._settings.model_dump(include=_DECIDING)
        try:
            other = ServedEncoder.from_description(description)
        except (IndexProblem, SpecError):
            return False
        return mine == other._settings.model_dump(include=_DECIDING) and _alike(other._known, self._probe)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return len(self._probe)

    def encode(self, texts: Sequence[str], *, role: Role, progress: Progress = silent) -> NDArray[np.float32]:
        """float32 [n, dim], in order. An empty text gets zeros.

        Raises:
            MissingModel: no server answers.
            IndexMismatch: the server gives another vector for the known text than it gave when the index was built.
            StageError: what it replies are no vectors.
        """
        prompt = self._settings.query_prompt if role == "query" else self._settings.document_prompt
        vectors = np.zeros((len(texts), self.dim), np.float32)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        size = self._settings.texts_per_request
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        with ThreadPoolExecutor(self._settings.requests_at_once, thread_name_prefix="encode") as pool:
            asked = pool.map(lambda part: self._asked([prompt + readable(texts[row]) for row in part]), parts)
            for done, (part, given) in enumerate(zip(parts, asked, strict=True), start=1):
                if given.shape[1] != self.dim:
                    raise StageError(
                        f"{BY}: {self._settings.url} gave vectors of {given.shape[1]} and {self.dim} numbers"
                    )
                vectors[part] = given
                progress("encode", min(done * size, len(rows)), len(rows))
        return vectors

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Start and end of each word: the server's tokens are not known here."""
        return word_spans(texts)

    def memory(self) -> list[Need]:
        """Nothing: the weights are elsewhere."""
        return []

    def release(self) -> None:
        """Let go of the connections."""
        self._client.close()

    @cached_property
    def _probe(self) -> NDArray[np.float32]:
        """The vector of `PROBE`, held against the one that is known."""
        vector: NDArray[np.float32] = self._asked([PROBE])[0]
        if self._known is not None and not _alike(self._known, vector):
            raise IndexMismatch(
                f"{BY}: '{self._settings.model}' at {origin_of(self._settings.url)} is not the model that the index was built "
                "with: it gives another vector for the same text. Serve that model again, or build the index again"
            )
        return vector

    def _asked(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n, dim], unit norm."""
        api, url = self._api, self._settings.url
        try:
            reply = self._client.post(api.path, api.body(self._settings.model, texts), from_root=api.from_root)
        except NotFound as missing:
            raise SpecError(f"{BY}: {url} has no {api.path} or no model '{self._settings.model}' ({missing})") from None
        try:
            vectors = np.asarray(api.vectors(reply), np.float32)
        except (KeyError, TypeError, ValueError, IndexError):
            vectors = np.empty(0, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not vectors.size or not np.isfinite(vectors).all():
            raise StageError(f"{BY}: {url} did not give a vector for each of {len(texts)} texts")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.maximum(norms, 1e-12)
        return unit


_DECIDING = {"url", "model", "api", "query_prompt", "document_prompt"}
"""Settings that decide a vector, or whose it is."""


def _alike(one: NDArray[np.float32] | None, other: NDArray[np.float32]) -> bool:
    return one is not None and one.shape == other.shape and bool(one @ other >= LEAST_SIMILAR)
