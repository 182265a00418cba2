"""Streams of one model, written together: a pass of the model gives each of them its next token."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress

from generators.llm.decoding import Batch
from generators.llm.turns import TurnLock
from generators.llm.writing import Writer
from rag.core.load import Load
from rag.core.stopping import unwanted, when_unwanted
from rag.core.types import Completion

_READ_AT_ONCE = 4096
"""Tokens of prompts, padding included, that are read in one pass, so that who leaves meanwhile is not read in the next."""


class Together:
    """Writes streams in one batch, without a thread of its own: who needs a piece makes the next pass, for all.

    A stream that begins joins the others at their next pass. Where the model's cache cannot be joined
    (`generators.llm.growing`), it waits for their end, and those that wait are written together then. A row leaves the
    batch when it is done, and at the next pass after its stream was closed or its reader's work became unwanted
    (`rag.core.stopping`); one that was not read yet is never read then. What a slow reader has not fetched waits
    for it, to the end of its completion at most.

    Args:
        start: the ids of prompts -> a batch that has read them.
        tokens: most tokens, padding and room for the completions included, that the batch holds. A row that is over it
            alone goes alone.
    """

    def __init__(self, start: Callable[[list[list[int]]], Batch], *, tokens: int) -> None:
        self._start, self._tokens = start, tokens
        self._turn = TurnLock()
        self._coming: list[_Row] = []
        self._joins = True  # until a batch says that no other can join it
        # Only streams hold on to their cohort, so that it goes with the last of them, and the weights with it.
        self._cohort: Callable[[], _Cohort | None] = lambda: None

    def write(self, ids: list[int], writer: Writer, *, most: int) -> Generator[str, None, Completion]:
        """The pieces of one completion, of `most` tokens at most.

        An error in this row ends no other. One in a pass that is made for all ends all that are in it. A row that
        nobody wants any more (`rag.core.stopping`) ends where it is, with finish reason `abort`.
        """
        row = _Row(ids, writer, most)
        self._coming.append(row)
        try:
            with when_unwanted(row.leave):
                while True:
                    ended = row.ended  # before its pieces are looked at: none comes after it
                    while row.pieces:
                        yield row.pieces.popleft()
                    if row.error is not None and ended:
                        raise row.error
                    if ended or unwanted():
                        return writer.completion()
                    with self._turn:
                        if not (row.pieces or row.ended or row.gone):
                            self._pass()
        finally:
            row.gone, row.cohort = True, None
            with suppress(ValueError):
                self._coming.remove(row)

    def load(self) -> Load:
        """Rows that are written, and those that wait to be read."""
        cohort = self._cohort()
        return Load(busy=0 if cohort is None else len(cohort.rows), waiting=len(self._coming))

    def _pass(self) -> None:
        """One more token for every row, those included that join now."""
        cohort = self._cohort() or _Cohort()
        self._cohort = weakref.ref(cohort)
        try:
            cohort.go_on()
            self._admit(cohort)
            cohort.take()
        except Exception as error:
            cohort.fail(error)
        except BaseException:  # Ctrl-C in the thread that made the pass: the cache may hold half of it
            cohort.fail(RuntimeError("the pass that this stream shared was interrupted"))
            raise

    def _admit(self, cohort: _Cohort) -> None:
        """Read the prompts of those that wait, as many as there is room for."""
        while cohort.is_open and (rows := self._next(cohort.rows)):
            try:
                batch = self._start([row.ids for row in rows])
            except Exception as error:
                if len(rows) == 1:
                    rows[0].end(error)
                    self._coming.remove(rows[0])
                for row in rows:  # one by one, so that it fails for the row at fault alone
                    row.alone = True
                continue
            cohort.add(rows, batch)
            self._joins = batch.can_join
            for row in rows:
                self._coming.remove(row)

    def _next(self, rows: Sequence[_Row]) -> list[_Row]:
        """Waiting rows that may join these rows and that somebody waits for, first come first."""
        chosen: list[_Row] = []
        for row in [row for row in self._coming if not row.gone]:
            beside, read = [*rows, *chosen, row], [*chosen, row]
            over = len(beside) * max(one.most for one in beside) > self._tokens
            long = self._joins and len(read) * max(len(one.ids) for one in read) > _READ_AT_ONCE
            if (len(beside) > 1 and over) or (chosen and (long or row.alone or chosen[0].alone)):
                break
            chosen.append(row)
        return chosen


class _Row:
    """A completion that is written for a stream."""

    def __init__(self, ids: list[int], writer: Writer, most: int) -> None:
        self.ids, self.writer, self.most = ids, writer, len(ids) + most
        self.pieces: deque[str] = deque()
        self.token = 0
        self.cohort: _Cohort | None = None
        self.gone = self.ended = self.alone = False
        self.error: Exception | None = None

    def leave(self) -> None:
        """Nobody waits for it any more."""
        self.gone = True

    def end(self, error: Exception | None = None) -> None:
        self.error, self.ended = error, True


class _Cohort:
    """Rows that are in the decoder together."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self._batch: Batch | None = None

    @property
    def is_open(self) -> bool:
        """Whether more rows can come in."""
        return self._batch is None or self._batch.can_join

    def go_on(self) -> None:
        """Let those go that are done or whose stream was closed, and read the last token of the others."""
        if self._batch is None:
            return
        going = [place for place, row in enumerate(self.rows) if not (row.gone or row.ended)]
        if going and len(going) < len(self.rows):
            self._batch.keep(going)
        self.rows = [self.rows[place] for place in going]
        if going:
            self._batch.feed([row.token for row in self.rows])
        else:
            self._batch = None

    def add(self, rows: Sequence[_Row], batch: Batch) -> None:
        if self._batch is None:
            self._batch = batch
        else:
            self._batch.join(batch)
        self.rows += rows
        for row in rows:
            row.cohort = self

    def take(self) -> None:
        """Choose the next token of every row."""
        for row, logits in zip(self.rows, () if self._batch is None else self._batch.logits, strict=True):
            try:
                row.token, piece = row.writer.take(logits)
            except Exception as error:
                row.end(error)
                continue
            if piece:
                row.pieces.append(piece)
            if row.writer.reason:
                row.end()

    def fail(self, error: Exception) -> None:
        for row in self.rows:
            if not row.ended:
                row.end(error)
        self.rows, self._batch = [], None
