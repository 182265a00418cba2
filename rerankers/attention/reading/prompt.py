"""The prompt of in-context reranking as token ids: documents first, the query last.

    opener of a user turn, opening phrase,
    separator, [1] title and text, separator, [2] title and text, ..., separator     <- prefix, shared by all
    queries instruction, separator, "Query: " and the query, end of the turn                 <- suffix, one
    per query

Every piece is encoded once and the ids are joined, so spans are exact for any tokenizer, a separator always
has the same ids, and no text can open a chat turn. This module knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rag.core.digests import text_sha256
from rag.core.words import first_words
from rag.models.chat import encode_text, user_turn
from rerankers.attention.reading.score import Span

OPENING = "These are numbered paragraphs."
SEPARATOR = "\n\n"
QUERY = "Query: "
INSTRUCTIONS = {
    "qa": "Answer the question below with the help of the paragraphs above.",
    "ie": "Locate the information in the paragraphs above that is relevant to the query below.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Ids of all that stays the same from query to query. Made once per tokenizer and instruction."""

    head: tuple[int, ...]
    separator: tuple[int, ...]
    instruction: tuple[int, ...]
    end: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any, *, instruction: str) -> Pieces:
        """`instruction` is its text. A tokenizer without a chat template gets the plain layout of
        `rag.models.chat`.
        """
        before, after = user_turn(tokenizer)
        return cls(
            head=(*before, *encode_text(tokenizer, OPENING)),
            separator=tuple(encode_text(tokenizer, SEPARATOR)),
            instruction=tuple(encode_text(tokenizer, instruction)),
            end=tuple(after),
        )

    def prefix(self, documents: Sequence[Sequence[int]]) -> tuple[list[int], list[Span]]:
        """Ids up to the instruction, and each document's half-open span, from its "[i]" to its last text
        token.
        """
        ids, spans = list(self.head), list[Span]()
        for document in documents:
            ids += self.separator
            spans.append((len(ids), len(ids) + len(document)))
            ids += document
        return [*ids, *self.separator], spans

    @property
    def fixed_length(self) -> int:
        """Tokens of a prefix beside documents and the separators before them."""
        return len(self.head) + len(self.separator)

    def suffix(self, tokenizer: Any, query: str) -> list[int]:
        """Ids from the first token of the instruction to the last of the prompt: the rows that are read."""
        return [*self.instruction, *self.separator, *encode_text(tokenizer, QUERY + query), *self.end]

    @property
    def sha256(self) -> str:
        """Changes with anything that changes the layout, for whoever keeps heads or states that depend on
        it.
        """
        return text_sha256(repr((self.head, self.separator, self.instruction, self.end)))


def document_text(number: int, title: str, text: str, *, max_words: int) -> str:
    """ "[number] title", a new line and the text; without a title, the text follows the number.

    Title and text are cut after `max_words` words each, where words are what stands between white space.
    Space within the text is kept.
    """
    title, text = first_words(title, max_words), first_words(text, max_words)
    return f"[{number}] {title}\n{text}".rstrip() if title else f"[{number}] {text}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPieces:
    """Ids of what blocks have in common: the opening before every document, what closes a document, and the lead
    before every query, of which `label` is what is left without the instruction. Documents carry no number, since they
    have no order.
    """

    opening: tuple[int, ...]
    separator: tuple[int, ...]
    lead: tuple[int, ...]
    label: tuple[int, ...]
    end: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any, *, instruction: str) -> BlockPieces:
        """`instruction` is its text; an empty one is left out."""
        pieces = Pieces.of(tokenizer, instruction=instruction)
        asks = (*pieces.instruction, *pieces.separator) if instruction else ()
        label = tuple(encode_text(tokenizer, QUERY))
        return cls(
            opening=(*pieces.head, *pieces.separator),
            separator=pieces.separator,
            lead=(*asks, *label),
            label=label,
            end=pieces.end,
        )

    def document(self, ids: Sequence[int], *, max_tokens: int) -> list[int]:
        """A document's block: its ids, cut so that with what closes it there are at most `max_tokens`."""
        return [*ids[: max_tokens - len(self.separator)], *self.separator]

    def length(self, *, max_tokens: int, max_query_tokens: int) -> int:
        """Positions up to the end of the longest query, behind the longest document."""
        return len(self.opening) + max_tokens + len(self.lead) + max_query_tokens + len(self.end)

    @property
    def sha256(self) -> str:
        """Changes with anything that changes the layout."""
        return text_sha256(repr((self.opening, self.separator, self.lead, self.end)))
