"""Text -> token ids and character spans, by a model folder's tokenizer. Texts may be hostile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

from rag.core.errors import SpecError
from rag.models.importing import import_transformers
from rag.models.light_tokenizer import LightTokenizer
from retrievers.encoders.sentence_folder import json_object

_MARKS = "▁Ġ"
"""What vocabularies put before a token that begins a word; `##` is punctuation itself."""

_AS_THE_FILE_SAYS = ("PreTrainedTokenizerFast", "TokenizersBackend")
_OF_BERT = ("BertTokenizer", "BertTokenizerFast")
"""Classes of transformers: those that take tokenizer.json as it is, and those that ask the config about case."""
_MORE_SPECIAL = ("additional_special_tokens", "extra_special_tokens")

BEFORE, BETWEEN = "Rewrite the following paragraph:", "\nThe rewritten paragraph:"
"""What stands before the first copy of an echo and before the second. The words decide vectors, so an index keeps them."""


class TextTokens:
    """A model's tokenizer. Not to be called by two threads at once: it keeps truncation as a setting.

    Args:
        backend: a `tokenizers.Tokenizer`.
        special_ids: tokens that stand for no text.
        pad_id: what fills a batch up; masked everywhere, so any id does for a tokenizer that has none.
        max_length: tokens of a text that `ids` gives, special ones among them.
        where: whose it is, for messages.
        vocabulary: tokens that the model knows; None where nobody says.
    """

    def __init__(
        self,
        backend: Any,
        *,
        special_ids: Sequence[int] = (),
        pad_id: int = 0,
        max_length: int,
        lower_case: bool,
        where: Path,
        vocabulary: int | None = None,
    ) -> None:
        self._backend, self.special_ids, self.pad_id = backend, [*special_ids], pad_id
        self.max_length = max_length
        self._lower_case = lower_case
        self._where, self._vocabulary = where, vocabulary
        backend.no_padding()

    @classmethod
    def load(cls, folder: Path, *, max_length: int, lower_case: bool) -> TextTokens:
        """The tokenizer in `folder`: by its file alone where that says all, else by transformers, which takes seconds to import.

        Raises:
            SpecError: transformers cannot load it, or it is not a fast one, which alone knows spans.
        """
        tokenizer: Any = LightTokenizer(folder) if file_says_all(folder) else _by_transformers(folder)
        said = json_object(folder / "config.json")
        size = said.get("vocab_size", (said.get("text_config") or {}).get("vocab_size"))
        return cls(
            tokenizer.backend_tokenizer,
            special_ids=[int(id_) for id_ in tokenizer.all_special_ids],
            pad_id=int(tokenizer.pad_token_id or 0),
            max_length=max_length,
            lower_case=lower_case,
            where=folder,
            vocabulary=size if isinstance(size, int) else None,
        )

    def punctuation_ids(self) -> list[int]:
        """Tokens of the vocabulary that are punctuation alone."""
        named = ((id_, name.strip(_MARKS)) for name, id_ in self._backend.get_vocab().items())
        return [id_ for id_, name in named if name and all(category(each).startswith("P") for each in name)]

    def names(self, ids: Sequence[int]) -> list[str]:
        """What each token is called in the vocabulary."""
        return [self._backend.id_to_token(int(id_)) for id_ in ids]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with special ones, cut at the length limit.

        Raises:
            SpecError: the tokenizer gave a token that the model does not know.
        """
        self._backend.enable_truncation(self.max_length)
        return self._known([one.ids for one in self._encoded(texts)])

    def pieces(self, texts: Sequence[str], *, most: int | None = None) -> list[list[int]]:
        """Token ids without special ones, to be put together with others; `most` of each text, or all."""
        self._backend.no_truncation()
        return self._known([one.ids[:most] for one in self._encoded(texts, add_special_tokens=False)])

    def _encoded(self, texts: Sequence[str], **how: bool) -> list[Any]:
        cleaned = [readable(text.lower() if self._lower_case else text) for text in texts]
        encoded: list[Any] = self._backend.encode_batch(cleaned, **how)
        return encoded

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
        encoded = self._backend.encode("a")
        ids: list[int] = encoded.ids
        return ids[: encoded.special_tokens_mask.index(0)]

    def prompt_length(self, prompt: str) -> int:
        """Tokens that `prompt` puts before a text, with the special ones that come first."""
        ids = self.ids([prompt])[0]
        return len(ids) - int(bool(ids) and ids[-1] in self.special_ids)

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """(start, end) in characters of every token, without special ones; nothing is cut."""
        self._backend.no_truncation()
        encoded = self._backend.encode_batch(list(map(readable, texts)), add_special_tokens=False)
        return [one.offsets for one in encoded]


def file_says_all(folder: Path) -> bool:
    """Whether tokenizer.json alone gives the ids that transformers gives, and tokenizer_config.json names the special tokens.

    Of a BERT, that is: for other families transformers may make the tokenizer anew, whatever the file says.
    """
    if json_object(folder / "config.json").get("model_type") != "bert":
        return False
    said = json_object(folder / "tokenizer_config.json")
    if not isinstance(said.get("pad_token"), str) or any(said.get(each) for each in _MORE_SPECIAL):
        return False
    if said.get("tokenizer_class") in _AS_THE_FILE_SAYS:
        return (folder / "tokenizer.json").is_file()
    kept = json_object(folder / "tokenizer.json").get("normalizer") or {}
    return said.get("tokenizer_class") in _OF_BERT and said.get("do_lower_case", True) == kept.get("lowercase")


def require_fast(tokenizer: Any, *, where: Path) -> None:
    """Raise SpecError unless a tokenizer of transformers is a fast one, which alone knows spans."""
    if not tokenizer.is_fast:
        raise SpecError(f"model folder '{where}': its tokenizer has no tokenizer.json, which is needed for spans")


def _by_transformers(folder: Path) -> Any:
    auto = import_transformers().AutoTokenizer
    try:
        tokenizer = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as cause:
        raise SpecError(f"model folder '{folder}': transformers cannot load its tokenizer ({cause})") from cause
    require_fast(tokenizer, where=folder)
    return tokenizer


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
