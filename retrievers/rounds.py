"""Passages read in rounds, the next ones of a search each time, until nothing comes any more. Knows not what is a find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

import numpy as np

from rag.core.binomial import upper_bound
from rag.core.completions import choose_each
from rag.core.filters import Filter
from rag.core.protocols import LLM, ChoosingLLM, Retriever
from rag.core.types import NO_USAGE, Document, Prompt, Query, Ranking, Usage

_VERDICT_TOKENS = 8


@dataclass(slots=True, kw_only=True)
class Reading:
    """What was read for one query. `fresh`: the passages of this round. `marks`: whether each that was read is a find.

    `ended`: why no more are read; empty while it goes on.
    """

    query: Query
    where: Filter | None
    fresh: list[Document] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    marks: list[bool] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = NO_USAGE
    ended: str = ""

    def wants(self, document: Document) -> bool:
        """Whether a passage that comes has to be read at all."""
        return True

    def take(self, ranking: Ranking, n: int) -> None:
        """The next `n` passages that did not come yet, without those that need no reading."""
        new = [hit.document for hit in ranking.hits if hit.doc_id not in self.seen][:n]
        self.seen.update(document.doc_id for document in new)
        self.fresh = [document for document in new if self.wants(document)]
        self.usage += ranking.usage
        self.counts["rounds"] += bool(self.fresh)
        if ranking.outcome.kind == "failed":
            self.ended = f"the search failed ({ranking.outcome.detail})"
        elif not new:
            self.ended = "no candidate is left"


R = TypeVar("R", bound=Reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """`batch`: passages of a round. `patience`: rounds without a find after which it ends. `most`: passages that come, at most."""

    batch: int
    patience: int
    most: int

    def over(self, readings: Sequence[R], inner: Retriever, text: Callable[[R], str]) -> Iterator[list[R]]:
        """For each round those that have fresh passages, all in step; whoever takes them reads these and notes marks.

        `text`: what is searched for now, under the query's filters. The seconds of reading are shared out among them.
        """
        while going := [reading for reading in readings if not reading.ended]:
            depth = max(len(reading.seen) for reading in going) + self.batch
            rankings = inner.retrieve([_asked(reading, text(reading)) for reading in going], k=depth)
            for reading, ranking in zip(going, rankings, strict=True):
                reading.take(ranking, min(self.batch, self.most - len(reading.seen)))
            if fresh := [reading for reading in going if reading.fresh]:
                begun = perf_counter()
                yield fresh
                seconds = (perf_counter() - begun) / len(fresh)
                for reading in fresh:
                    reading.usage += Usage(seconds=seconds)
            for reading in going:
                reading.ended = reading.ended or self._end(reading)

    def missed(self, reading: Reading, *, unread: int) -> Missed:
        """What may be left, judged by the passages over which `patience` goes."""
        tail = self._tail(reading)
        return Missed(unread=unread, tail=len(tail), finds=sum(tail))

    def _end(self, reading: Reading) -> str:
        tail = self._tail(reading)
        if len(reading.seen) >= self.most:
            return "no more were to be read"
        if len(tail) == self.patience * self.batch and not any(tail):
            return f"the last {len(tail)} had none"
        return ""

    def _tail(self, reading: Reading) -> list[bool]:
        return reading.marks[-self.patience * self.batch :]


def fitting(llm: LLM, asked: Sequence[tuple[Reading, Prompt]], *, room: int) -> list[int]:
    """Places of the prompts that leave this room in the model's window; the others are counted as `too_long`."""
    tokens = llm.count_tokens([prompt for _, prompt in asked]) if asked else []
    fits = [n + room <= llm.context_window for n in tokens]
    for (reading, _), fit in zip(asked, fits, strict=True):
        reading.counts["too_long"] += not fit
    return [place for place, fit in enumerate(fits) if fit]


def weighed(llm: ChoosingLLM, asked: Sequence[tuple[Reading, Prompt]]) -> dict[int, float]:
    """Place -> share of Yes against No. Left out and counted: prompts that are `too_long`, and `broken`, without a probability."""
    places = fitting(llm, asked, room=_VERDICT_TOKENS)
    rows = choose_each(llm, [asked[place][1] for place in places], ("Yes", "No"))
    shares: dict[int, float] = {}
    for place, (row, usage) in zip(places, rows, strict=True):
        reading = asked[place][0]
        reading.usage += usage
        share = float(np.exp(row[0] - np.logaddexp(row[0], row[1]))) if np.isfinite(row).any() else np.nan
        if np.isnan(share):
            reading.counts["broken"] += 1
        else:
            shares[place] = share
    return shares


def _asked(reading: Reading, text: str) -> Query:
    return Query(qid=reading.query.qid, text=text, where=reading.where, within=reading.query.within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """How much is likely left in passages that nobody read, where a search was ended: an estimate from those that it read last.

    It rests on one assumption: a passage that was not read is no likelier to count than one of the last that were. That
    holds as far as the candidates came in a good order. Of the last ones, the tail, the share that counts is bounded from
    above by Clopper and Pearson, which is exact for a tail that was fixed beforehand. A search that ends because of its
    tail chose it, so the bound is somewhat too sure.

    Args:
        unread: passages that were not read.
        tail: how many of the last ones are looked at.
        finds: how many of these counted.
    """

    unread: int
    tail: int
    finds: int

    @property
    def expected(self) -> float:
        """How many of the unread count, if the share is that of the tail; all of them where nothing was read."""
        return self.unread * self.finds / self.tail if self.tail else float(self.unread)

    def at_most(self, confidence: float = 0.95) -> int:
        """How many of the unread count at most, with this confidence.

        >>> Missed(unread=1000, tail=48, finds=0).at_most(), Missed(unread=0, tail=48, finds=3).at_most()
        (60, 0)
        """
        return int(self.unread * upper_bound(self.finds, self.tail, confidence))
