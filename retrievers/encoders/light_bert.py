"""A few short texts through a BERT encoder, in numpy: what one query from the command line needs.

torch and transformers take five seconds to import, and the one query that a command asks takes ten milliseconds. Here
the same is computed without them. It reads plain BERT folders alone, and says so of all others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from retrievers.encoders.sentence_folder import SentenceFolder
from retrievers.encoders.tokenizer import file_says_all

Array = NDArray[np.float32]

MOST_TEXTS = 4
MOST_TOKENS = 64
"""Of a text. Beyond either, torch is worth its seconds."""

_POOLING = ("mean", "cls")
_erf = np.frompyfunc(math.erf, 1, 1)


class LightBert:
    """A BERT whose weights are read from its folder when they are first needed.

    Args:
        how: a folder that `reads` takes.
        compute: bfloat16 rounds after each step, as torch does.
    """

    def __init__(self, how: SentenceFolder, *, compute: str) -> None:
        from tokenizers import Tokenizer

        self._how = how
        self._round: Callable[[Array], Array] = _as_bfloat16 if compute == "bfloat16" else _as_it_is
        self._config = json.loads((how.transformer / "config.json").read_bytes())
        self._tokenizer = Tokenizer.from_file(str(how.transformer / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(how.max_length)
        self._weights: Mapping[str, Array] | None = None

    @staticmethod
    def reads(how: SentenceFolder) -> bool:
        """Whether this computes what the folder says: a plain BERT with mean or first-token pooling, in float32."""
        folder = how.transformer
        try:
            config = json.loads((folder / "config.json").read_bytes())
            ids_are_known = file_says_all(folder)
            with _opened(folder) as file:
                stored = {
                    name: file.get_slice(name).get_dtype() for name in list(file.keys()) if name.endswith("weight")
                }
        except (OSError, ValueError, RuntimeError, SpecError):
            return False
        return bool(
            _WORDS in stored
            and set(stored.values()) == {"F32"}
            and ids_are_known
            and config.get("model_type") == "bert"
            and config.get("hidden_act") == "gelu"
            and config.get("position_embedding_type", "absolute") == "absolute"
            and not config.get("is_decoder")
            and config.get("hidden_size") == how.full_dim
            and len(how.pooling) == 1
            and how.pooling[0] in _POOLING
            and how.include_prompt
            and not how.after
            and not how.lower_case
        )

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with special ones, cut at the length limit."""
        return [self._tokenizer.encode(text).ids for text in texts]

    def encode(self, ids: Sequence[Sequence[int]]) -> Array:
        """float32 [n_texts, dim]; a text without tokens gets zeros."""
        vectors = np.zeros((len(ids), self._how.dim), np.float32)
        for row, one in enumerate(ids):
            if one:
                hidden = self.states(one)
                pooled = hidden[0] if self._how.pooling == ("cls",) else hidden.mean(axis=0)
                vectors[row] = pooled[: self._how.dim]
        if self._how.normalise:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def states(self, ids: Sequence[int]) -> Array:
        """What the last layer holds of a text's tokens, float32 [n_tokens, width] (Devlin et al., NAACL 2019)."""
        weights = self._loaded()
        rounded, eps = self._round, float(self._config["layer_norm_eps"])
        n_heads = int(self._config["num_attention_heads"])

        def linear(states: Array, name: str) -> Array:
            return rounded(states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

        def norm(states: Array, name: str) -> Array:
            centred = states - states.mean(axis=-1, keepdims=True)
            scale = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(eps))
            return rounded(centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"])

        def heads(states: Array) -> Array:
            return states.reshape(len(ids), n_heads, -1).transpose(1, 0, 2)

        states = rounded(self._rows(ids) + weights["embeddings.token_type_embeddings.weight"][0])
        states = rounded(states + weights["embeddings.position_embeddings.weight"][: len(ids)])
        states = norm(states, "embeddings.LayerNorm")
        for layer in range(int(self._config["num_hidden_layers"])):
            at = f"encoder.layer.{layer}"
            query, key, value = (heads(linear(states, f"{at}.attention.self.{part}")) for part in _ATTENTION)
            scores = rounded(rounded(query * np.float32(query.shape[-1] ** -0.5)) @ key.transpose(0, 2, 1))
            mixed = rounded(rounded(_softmax(scores)) @ value).transpose(1, 0, 2).reshape(len(ids), -1)
            states = norm(
                rounded(linear(mixed, f"{at}.attention.output.dense") + states), f"{at}.attention.output.LayerNorm"
            )
            inner = rounded(_gelu(linear(states, f"{at}.intermediate.dense")))
            states = norm(rounded(linear(inner, f"{at}.output.dense") + states), f"{at}.output.LayerNorm")
        return states

    def _rows(self, ids: Sequence[int]) -> Array:
        """The word vectors of these tokens; the others stay on disk."""
        with _opened(self._how.transformer) as file:
            words = file.get_slice(_WORDS)
            return self._round(np.concatenate([words[number : number + 1] for number in ids]))

    def _loaded(self) -> Mapping[str, Array]:
        if self._weights is None:
            with _opened(self._how.transformer) as file:
                names = [name for name in list(file.keys()) if name.endswith(("weight", "bias")) and name != _WORDS]
                self._weights = {name: self._round(file.get_tensor(name)) for name in names if "pooler" not in name}
        return self._weights


_WORDS = "embeddings.word_embeddings.weight"
_ATTENTION = ("query", "key", "value")


def _opened(folder: Path) -> Any:
    from safetensors import safe_open

    return safe_open(folder / "model.safetensors", "np")


def _as_it_is(numbers: Array) -> Array:
    return numbers


def _as_bfloat16(numbers: Array) -> Array:
    """To the nearest number that bfloat16 has, ties to even."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    bits = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    rounded: Array = bits.view(np.float32)
    return rounded


def _softmax(scores: Array) -> Array:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    normed: Array = shares / shares.sum(axis=-1, keepdims=True)
    return normed


def _gelu(numbers: Array) -> Array:
    shaped: Array = numbers * np.float32(0.5) * (1 + _erf(numbers * np.float32(math.sqrt(0.5))).astype(np.float32))
    return shaped
