"""Token -> vector, and texts -> means of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from retrievers.encoders.static_folder import ROWS, TABLE, WEIGHTS, StaticFolder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class StaticTable:
    """The vectors of a vocabulary, and its tokenizer. Threads may share it: nothing of it changes.

    Raises:
        SpecError: files of the folder do not fit each other.
    """

    def __init__(self, how: StaticFolder) -> None:
        self._tokenizer = load_tokenizer(how.tokenizer)
        names = self._tokenizer.get_vocab(with_added_tokens=True)
        self._unknown = _unknown_id(self._tokenizer)
        self._characters: int | None = None
        if how.max_length is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(how.max_length)
            self._characters = how.max_length * int(median(map(len, names)))
        self._normalise = how.normalise
        self._vectors = _token_vectors(how)
        if max(names.values()) >= len(self._vectors):
            raise SpecError(
                f"'{how.weights}' has vectors for {len(self._vectors)} tokens, and {how.tokenizer.name} numbers them up to"
                f" {max(names.values())}. Take both files from one model."
            )

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n, dim]: the mean of each text's tokens. Unknown tokens do not count; without any other it is zeros."""
        from scipy.sparse import csr_array

        cut = [text[: self._characters] for text in texts]
        encoded = self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)
        ids = [[id_ for id_ in each.ids if id_ != self._unknown] for each in encoded]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.fromiter((id_ for one in ids for id_ in one), dtype=np.int32, count=int(starts[-1]))
        # A row for each text, with how often it has each token: a product of matrices does the sums.
        counts = csr_array((np.ones(len(tokens), np.float32), tokens, starts), shape=(len(ids), len(self._vectors)))
        counts.sum_duplicates()
        means = (counts @ self._vectors) / np.maximum(lengths, 1)[:, None].astype(np.float32)
        if self._normalise:
            means /= np.linalg.norm(means, axis=1, keepdims=True) + 1e-32
        result: NDArray[np.float32] = means
        return result


def load_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer in a file, without padding.

    Raises:
        SpecError: it cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as cause:  # the library raises nothing narrower
        raise SpecError(f"'{file}' cannot be read as a tokenizer: {cause}") from cause
    tokenizer.no_padding()
    return tokenizer


def _token_vectors(how: StaticFolder) -> NDArray[np.float32]:
    """float32 [tokens, dim], with rows that tokens share and weights worked in."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(how.weights, framework="numpy") as file:
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError, ValueError) as cause:
        raise SpecError(f"'{how.weights}' cannot be read as safetensors: {cause}") from cause
    vectors: NDArray[Any] = tensors[TABLE]
    if (rows := tensors.get(ROWS)) is not None:
        if rows.min(initial=0) < 0 or rows.max(initial=0) >= len(vectors):
            raise SpecError(f"'{how.weights}': '{ROWS}' points outside of the {len(vectors)} rows of '{TABLE}'")
        vectors = vectors[rows]
    vectors = vectors.astype(np.float32)
    if (weights := tensors.get(WEIGHTS)) is not None:
        vectors = vectors * weights.astype(np.float32)[:, None]
    return np.ascontiguousarray(vectors)


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of the token that stands for what the vocabulary has not."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_token") is not None:
        return tokenizer.token_to_id(model["unk_token"])
    unknown: int | None = model.get("unk_id")  # as Unigram says it
    return unknown
