"""Text -> token ids and character spans, by a model folder's tokenizer. Texts may be hostile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

from rag.core.errors import SpecError
from rag.models.importing import import_transformers
from retrievers.encoders.sentence_folder import json_object

_MARKS = "▁Ġ"
"""What vocabularies put before a token that begins a word; `##` is punctuation itself."""

BEFORE, BETWEEN = "Rewrite the following paragraph:", "\nThe rewritten paragraph:"
"""What stands before the first copy of an echo and before the second. The words decide vectors, so an index keeps them."""


class TextTokens:
    """A model's tokenizer. Not to be called by two threads at once: it keeps truncation as a setting.

    Args:
        max_length: tokens of a text that `ids` gives, special ones among them.
        vocabulary: tokens that the model knows; None where nobody says.
    Raises:
        SpecError: it is not a fast one, which alone knows spans; `where` says whose it is.
    """

    def __init__(
        self, tokenizer: Any, *, max_length: int, lower_case: bool, where: Path, vocabulary: int | None = None
    ) -> None:
        if not tokenizer.is_fast:
            raise SpecError(f"model folder '{where}': its tokenizer has no tokenizer.json, which is needed for spans")
        self._tokenizer = tokenizer
        self.max_length = max_length
        self._lower_case = lower_case
        self._where, self._vocabulary = where, vocabulary

    @classmethod
    def load(cls, folder: Path, *, max_length: int, lower_case: bool) -> TextTokens:
        """The tokenizer in `folder`.

        Raises:
            SpecError: transformers cannot load it, or it is not a fast one.
        """
        auto = import_transformers().AutoTokenizer
        try:
            tokenizer = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as cause:
            raise SpecError(f"model folder '{folder}': transformers cannot load its tokenizer ({cause})") from cause
        said = json_object(folder / "config.json")
        size = said.get("vocab_size", (said.get("text_config") or {}).get("vocab_size"))
        vocabulary = size if isinstance(size, int) else None
        return cls(tokenizer, max_length=max_length, lower_case=lower_case, where=folder, vocabulary=vocabulary)

    @property
    def pad_id(self) -> int:
        """What fills a batch up; masked everywhere, so any id does for a tokenizer that has none."""
        return int(self._tokenizer.pad_token_id or 0)

    @property
    def special_ids(self) -> list[int]:
        """Tokens that stand for no text."""
        return [int(id_) for id_ in self._tokenizer.all_special_ids]

    def punctuation_ids(self) -> list[int]:
        """Tokens of the vocabulary that are punctuation alone."""
        named = ((id_, name.strip(_MARKS)) for name, id_ in self._tokenizer.get_vocab().items())
        return [id_ for id_, name in named if name and all(category(each).startswith("P") for each in name)]

    def names(self, ids: Sequence[int]) -> list[str]:
        """What each token is called in the vocabulary."""
        named: list[str] = self._tokenizer.convert_ids_to_tokens([int(id_) for id_ in ids])
        return named

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with special ones, cut at the length limit.

        Raises:
            SpecError: the tokenizer gave a token that the model does not know.
        """
        if not texts:
            return []
        cleaned = [readable(text.lower() if self._lower_case else text) for text in texts]
        encoded = self._tokenizer(
            cleaned, truncation=True, max_length=self.max_length, padding=False, return_attention_mask=False
        )
        return self._known(encoded["input_ids"])

    def pieces(self, texts: Sequence[str], *, most: int | None = None) -> list[list[int]]:
        """Token ids without special ones, to be put together with others; `most` of each text, or all."""
        cleaned = [readable(text.lower() if self._lower_case else text) for text in texts]
        encoded = self._tokenizer(
            cleaned,
            add_special_tokens=False,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            verbose=False,
        )
        return self._known([ids[:most] for ids in encoded["input_ids"]])

    def _known(self, ids: list[list[int]]) -> list[list[int]]:
        highest = max((max(one) for one in ids if one), default=-1)
        if self._vocabulary is not None and highest >= self._vocabulary:
            raise SpecError(
                f"model folder '{self._where}': its tokenizer gave token {highest:,} ('{self.names([highest])[0]}'), and the "
                f"model knows {self._vocabulary:,} tokens (config.json, vocab_size). These are the files of two models: fetch "
                "the whole model again, or choose another"
            )
        return ids

    def opening_ids(self) -> list[int]:
        """The special tokens that come before any text."""
        encoded = self._tokenizer("a", return_special_tokens_mask=True, return_attention_mask=False)
        ids: list[int] = encoded["input_ids"]
        return ids[: encoded["special_tokens_mask"].index(0)]

    def prompt_length(self, prompt: str) -> int:
        """Tokens that `prompt` puts before a text, with the special ones that come first."""
        ids = self.ids([prompt])[0]
        return len(ids) - int(bool(ids) and ids[-1] in self.special_ids)

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """(start, end) in characters of every token, without special ones; nothing is cut."""
        if not texts:
            return []
        encoded = self._tokenizer(
            [readable(text) for text in texts],
            add_special_tokens=False,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=True,
            verbose=False,  # it would warn that a text is longer than the model reads
        )
        return [[(int(start), int(end)) for start, end in spans] for spans in encoded["offset_mapping"]]


def readable(text: str) -> str:
    """`text` with lone surrogates, which no tokenizer takes, as question marks: as many characters as before."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def echoed(tokens: TextTokens, texts: Sequence[str], *, prompt: str) -> tuple[list[list[int]], list[int]]:
    """Token ids of each text with its echo (Springer et al., 2024, arXiv 2402.15449), and how many come before the second copy.

    A token of a language model sees what stands before it alone. In the second copy every token has seen the whole text.

    The prompt stands first and once. Both copies are the same tokens, cut alike, so that the second is never the shorter
    one. Nothing follows it: a closing token would be pooled with it. A text without a token gets none at all.

    Raises:
        SpecError: prompt and words fill the model's length.
    """
    first = tokens.opening_ids() + tokens.pieces([prompt])[0]
    before, between = tokens.pieces([BEFORE, BETWEEN])
    fixed = len(first) + len(before) + len(between)
    room = (tokens.max_length - fixed) // 2
    if room < 1:
        raise SpecError(
            f"index.dense.encoding: of {tokens.max_length} tokens an echo needs {fixed} for its words and the prompt, which"
            " leaves none for two copies of a text. Raise max_tokens, shorten the prompt, or leave echo out."
        )
    ids, skipped = list[list[int]](), list[int]()
    for copy in tokens.pieces([f" {text}" if text else "" for text in texts], most=room):
        lead = [*first, *before, *copy, *between] if copy else []
        ids.append([*lead, *copy])
        skipped.append(len(lead))
    return ids, skipped
