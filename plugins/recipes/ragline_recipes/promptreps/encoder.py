"""Texts -> a vector and weighted tokens, both from one prompt and one forward pass of a language model.

Knows no index.
"""

from __future__ import annotations

import inspect
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import prompts
from rag.errors import IndexProblem
from rag.indexes import Ragged, SparseRows, folder_facts, of_like_length, require_same, resolve
from rag.protocols import CanRelease, LocalLLM, Weights
from rag.writing import LLMS, encode_prompt, encode_text
from ragline_recipes.promptreps.settings import PromptRepsSettings

_WORDS = """
    a an and are as at be but by for if in into is it no not of on or such that the their then there these
    they this to was will with"""
_STOP_WORDS = frozenset(_WORDS.split())
"""Lucene's 33 for English."""

_WORD = re.compile(r"\w+")
_VOCABULARY_WORD = re.compile(r"[▁Ġ]?([a-z][a-z0-9]*)")
VERSION = 1
"""Raised when the same model and prompt represent a text in another way than before."""
_FEWEST = 10  # tokens of a text without an allowed one
_MOST_CHARACTERS = 40  # of a token, beyond which a text is cut before its tokens are counted
_SPARE = 8  # tokens by which a text may come out longer beside its prompt than alone
BLOCK = 128
"""Units: what a killed build loses at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Representations:
    """Of n texts. `dense`: float32 [n, dim], unit norm. `words`: tokens and their weights, int32. `n_tokens`: what the model
    read for all of them."""

    dense: NDArray[np.float32]
    words: SparseRows
    n_tokens: int = 0

    def row(self, place: int) -> Mapping[str, NDArray[Any]]:
        """One text's part, by name."""
        return {"dense": self.dense[place], **self.words.row(place)}

    def weights(self, place: int) -> dict[int, int]:
        """Of one text, by token."""
        row = self.words.row(place)
        return dict(zip(row["tokens"].tolist(), row["weights"].tolist(), strict=True))


class PromptRepsEncoder:
    """One pass per text, no decoding. Greedy by nature: the same text gives the same representation.

    Args:
        llm: a chat model in this process.
        prompt: name or path of a prompt with the variables noun and text.
        text_tokens: tokens of a text that are read.
        sparse_tokens: most tokens of a lexical representation.
        batch_tokens: most tokens, padding included, of one pass.
    """

    def __init__(
        self,
        llm: LocalLLM,
        *,
        prompt: str = "promptreps",
        text_tokens: int = 512,
        sparse_tokens: int = 128,
        batch_tokens: int = 4096,
    ) -> None:
        self.llm, self._prompt_name = llm, prompt
        self.prompt = prompts.load(prompt)
        self.prompt.require("noun", "text", by="index.promptreps")
        self.text_tokens, self.sparse_tokens, self.batch_tokens = text_tokens, sparse_tokens, batch_tokens
        self._fallback: NDArray[np.int64] | None = None

    @classmethod
    def from_settings(cls, settings: PromptRepsSettings) -> PromptRepsEncoder:
        """The encoder that an index with these settings is built with."""
        return cls(
            model_of(settings.model_dump()),
            prompt=settings.prompt,
            text_tokens=settings.text_tokens,
            sparse_tokens=settings.sparse_tokens,
        )

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> PromptRepsEncoder:
        """The encoder that described itself so.

        Raises:
            IndexMismatch: model or prompt here are not those described; names both sides.
            IndexProblem: this is no description of an encoder.
            MissingModel: the model is not here and cannot be fetched.
        """
        try:
            encoder = cls(
                model_of(description),
                prompt=description["prompt"],
                text_tokens=description["text_tokens"],
                sparse_tokens=description["sparse_tokens"],
            )
        except (KeyError, TypeError, ValueError) as cause:
            raise IndexProblem(f"the index does not say what represented its units ({cause!r}). Rebuild it.") from cause
        require_same(
            description,
            encoder.describe(),
            said="the index's promptreps leg was built in another way than is done here",
            cure="the files of the model or prompt",
        )
        return encoder

    def describe(self) -> dict[str, Any]:
        """Everything that decides how a text is represented, as JSON. Loads no weights, but hashes them."""
        llm: Any = self.llm
        folder = resolve(llm.model_name, revision=llm.revision, offline=llm.offline)
        return {
            "version": VERSION,
            **folder_facts(folder),
            "dtype": llm.computes_in().partition(" ")[0],
            "prompt": self._prompt_name,
            "prompt_sha256": self.prompt.sha256,
            "pooling": "last token",
            "text_tokens": self.text_tokens,
            "sparse_tokens": self.sparse_tokens,
        }

    def release(self) -> None:
        """Let go of the weights; the next text loads them again."""
        if isinstance(self.llm, CanRelease):
            self.llm.release()

    def encode(self, texts: Sequence[str], *, role: Literal["query", "document"]) -> Representations:
        """In order. `role` chooses the noun of the prompt: Query or Passage."""
        noun = "Query" if role == "query" else "Passage"
        with self.llm.weights() as lent:
            room = self._room(lent, noun)
            rows = [self._ids(lent, noun, text, room) for text in texts]
            states: dict[int, tuple[NDArray[np.float32], dict[int, int]]] = {}
            for batch in of_like_length([len(row) for row in rows], self.batch_tokens):
                vectors, logits = last_states(lent.model, [rows[place] for place in batch])
                for place, vector, scores in zip(batch, vectors, logits, strict=True):
                    allowed = allowed_tokens(lent.tokenizer, texts[place])
                    weights = sparse_weights(scores, allowed, keep=self.sparse_tokens)
                    if not weights:
                        weights = sparse_weights(scores, self._words(lent, len(scores)), keep=_FEWEST)
                    states[place] = vector, weights
        sparse = [dict(sorted(states[place][1].items())) for place in range(len(texts))]
        words = SparseRows(
            tokens=np.array([token for weights in sparse for token in weights], dtype=np.int32),
            weights=np.array([weight for weights in sparse for weight in weights.values()], dtype=np.int32),
            starts=np.cumsum([0, *map(len, sparse)], dtype=np.int64),
        )
        dense = np.array([states[place][0] for place in range(len(texts))], dtype=np.float32).reshape(len(texts), -1)
        return Representations(dense=dense, words=words, n_tokens=sum(map(len, rows)))

    def _room(self, lent: Weights, noun: str) -> int:
        """Tokens of a text that are read; fewer than asked for where the model has no room for them and its prompt."""
        around = len(encode_prompt(lent.tokenizer, self.prompt.render(noun=noun, text="")))
        return max(1, min(self.text_tokens, self.llm.context_window - around - _SPARE))

    def _ids(self, lent: Weights, noun: str, text: str, room: int) -> list[int]:
        """The prompt's ids, with as much of the text as there is room for."""
        text = text[: room * _MOST_CHARACTERS]

        def n_tokens(end: int) -> int:
            return len(encode_text(lent.tokenizer, text[:end]))

        if n_tokens(len(text)) > room:
            text = text[: bisect_right(range(len(text)), room, key=n_tokens) - 1]
        return encode_prompt(lent.tokenizer, self.prompt.render(noun=noun, text=text))

    def _words(self, lent: Weights, size: int) -> NDArray[np.int64]:
        """Ids of the vocabulary that are words in lower case."""
        if self._fallback is None:
            names = lent.tokenizer.get_vocab().items()
            ids = sorted(id_ for name, id_ in names if _VOCABULARY_WORD.fullmatch(name))
            self._fallback = np.array(ids, dtype=np.int64)
        return self._fallback[self._fallback < size]


def model_of(said: Mapping[str, Any]) -> Any:
    """The chat model that settings or a description name, which is one copy with any other of the same weights."""
    # Each text is read once, so nothing that prompts begin with is kept.
    return LLMS.get("transformers")(
        model=said["model"], revision=said["revision"], dtype=said["dtype"], max_batch_tokens=4096, share_prefixes=False
    )


def last_states(model: Any, rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the model holds at the end of each row: unit vectors, float32 [rows, dim], and logits [rows, vocabulary]."""
    import torch

    longest = max(map(len, rows))
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
    takes = inspect.signature(model.forward).parameters
    extra: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    if "position_ids" in takes:
        extra["position_ids"] = (mask.cumsum(dim=-1) - 1).clamp(min=0).to(model.device)
    with torch.inference_mode():
        out = model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            output_hidden_states=True,
            use_cache=False,
            **extra,
        )
        vectors = torch.nn.functional.normalize(out.hidden_states[-1][:, -1].float(), dim=-1)
        return vectors.cpu().numpy(), out.logits[:, -1].float().cpu().numpy()


def allowed_tokens(tokenizer: Any, text: str) -> NDArray[np.int64]:
    """Ids of the text's words in lower case, without stop words, each encoded without a space before it; ascending."""
    words = dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS)
    return np.array(sorted({id_ for word in words for id_ in encode_text(tokenizer, word)}), dtype=np.int64)


def sparse_weights(logits: NDArray[np.float32], allowed: NDArray[np.int64], *, keep: int) -> dict[int, int]:
    """Token -> round(100 * log(1 + max(0, logit))), the `keep` highest of the allowed; ties by id, zeros left out.

    >>> sparse_weights(np.array([0.5, 2.0, 7.3, 12.9, -1.0], dtype=np.float32), np.arange(5), keep=4)
    {3: 263, 2: 212, 1: 110, 0: 41}
    """
    weights = np.rint(100 * np.log1p(np.maximum(logits[allowed].astype(np.float64), 0.0))).astype(np.int64)
    best = np.lexsort((allowed, -weights))[:keep]
    return {int(allowed[place]): int(weights[place]) for place in best if weights[place] > 0}


def encode_block(encoder: PromptRepsEncoder, texts: list[str]) -> dict[str, NDArray[Any] | Ragged]:
    """The representations of texts, as a block keeps them."""
    new = encoder.encode(texts, role="document")
    words = new.words
    return {
        "dense": new.dense,
        "tokens": Ragged(words.tokens, words.starts),
        "weights": Ragged(words.weights, words.starts),
    }
