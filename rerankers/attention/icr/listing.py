"""The candidates of one query as token ids, and how many of them fit into one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.core.types import Document
from rag.models.chat import encode_text
from rerankers.attention.reading.prompt import Pieces, document_text
from rerankers.attention.reading.score import Span

_LEAST = 8
"""Tokens that a document must have room for: below that, a prompt says nothing about it."""


class Listing:
    """Documents in first-stage order, best first, ready to be laid out in any selection.

    `fits` says how many of them always fit into one prompt, whichever they are; it is 0 when not even two do.
    `cut` holds the positions of documents too long to share a prompt with another: they are cut to half the
    room.
    """

    def __init__(
        self,
        pieces: Pieces,
        tokenizer: Any,
        documents: Sequence[Document],
        *,
        room: int,
        max_words: int,
        backwards: bool,
    ) -> None:
        """`room` is the tokens that a prefix may have. `backwards` puts the best document last."""
        self._pieces, self._tokenizer, self._documents = pieces, tokenizer, documents
        self._max_words, self._backwards = max_words, backwards
        self._ids: dict[tuple[int, int], list[int]] = {}
        self.cut: set[int] = set()
        each = len(pieces.separator) + 1  # a document's number in another window may be a token longer
        room -= pieces.fixed_length
        self._limit = room // 2 - each
        self.fits = 0
        if self._limit >= _LEAST:
            numbers = self._numbers(range(len(documents)))
            self.fits = _largest([len(self._document(i, n)) + each for i, n in numbers.items()], room)

    def prefix(self, positions: Sequence[int]) -> tuple[list[int], list[Span]]:
        """Ids of a prompt up to its instruction, and each document's span in the order of `positions`."""
        numbers = self._numbers(positions)
        ids, spans = self._pieces.prefix([self._document(i, n) for i, n in numbers.items()])
        return ids, [spans[numbers[position] - 1] for position in positions]

    def _numbers(self, positions: Sequence[int]) -> dict[int, int]:
        """Position -> number in the prompt, from 1, in prompt order."""
        in_prompt = reversed(positions) if self._backwards else positions
        return {position: number for number, position in enumerate(in_prompt, start=1)}

    def _document(self, position: int, number: int) -> list[int]:
        ids = self._ids.get((position, number))
        if ids is None:
            document = self._documents[position]
            text = document_text(number, document.title, document.text, max_words=self._max_words)
            ids = encode_text(self._tokenizer, text)
            if len(ids) > self._limit:
                self.cut.add(position)
                ids = ids[: self._limit]
            self._ids[position, number] = ids
        return ids


def _largest(costs: Sequence[int], room: int) -> int:
    """How many documents always fit into `room` tokens: the longest are counted first."""
    used = 0
    for n, cost in enumerate(sorted(costs, reverse=True)):
        used += cost
        if used > room:
            return n
    return len(costs)
