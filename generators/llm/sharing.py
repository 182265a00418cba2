"""Prompts of a call that begin alike, and batches in which such a beginning is read once. Pure: ids in, positions out.

What was kept of earlier calls counts as read: it is worth nothing to read it once more for several prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from generators.llm.decoding import groups

_SHORTEST = 16  # tokens; reading fewer again costs less than a pass of their own
_WORTH = 0.05  # share of all tokens that must be spared for a second pass to pay
_DEEPEST = 64  # beginnings inside beginnings that are looked at; text can be made to nest without end

Ids = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What is read together: positions of rows, and for each which of `prefixes` it begins with. No prefixes: none."""

    rows: list[int]
    owners: list[int] = field(default_factory=list)
    prefixes: list[Ids] = field(default_factory=list)

    def stems(self, rows: Sequence[Ids]) -> list[Ids]:
        """What is read first: the prefixes, or where there are none the rows themselves."""
        return self.prefixes or list(rows)

    def cached(self, begun: Sequence[int]) -> list[int]:
        """Tokens of each row that were read for another row before it. `begun`: those of each stem, in earlier calls."""
        if not self.prefixes:
            return list(begun)
        paid = {owner: place for place, owner in reversed(list(enumerate(self.owners)))}
        return [
            len(self.prefixes[owner]) if paid[owner] < place else begun[owner]
            for place, owner in enumerate(self.owners)
        ]


def portions(
    heads: Sequence[Ids],
    lengths: Sequence[int],
    kept: Sequence[int],
    *,
    extra: int,
    tokens: int,
    rows: int,
    share: bool,
) -> Iterator[Portion]:
    """All rows in batches of at most `tokens` padded tokens and `rows` rows each.

    Args:
        heads: what may be shared of each row; its last token never is, for it must be read to know what follows.
        lengths: tokens of each whole row.
        kept: tokens of each head that need not be read.
        extra: tokens that every row needs besides.
        share: false reads every row by itself.
    """
    families = _worthwhile(alike(heads), kept) if share else []
    saved = sum(_spared(length, family, kept) for length, family in families)
    if saved < _WORTH * (sum(lengths) - sum(kept)):
        families = []
    shared = {row for _, family in families for row in family}
    yield from _shared(families, heads, lengths, extra=extra, tokens=tokens, rows=rows)
    alone = [row for row in range(len(heads)) if row not in shared]
    rests = [lengths[row] - kept[row] for row in alone]
    widest = max((kept[row] for row in alone), default=0)  # in memory it counts like what is read
    for batch in groups(rests, extra=extra + widest, tokens=tokens, rows=rows):
        yield Portion(rows=[alone[place] for place in batch])


def _worthwhile(families: Sequence[tuple[int, list[int]]], kept: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Families without the rows whose common beginning is kept already. A family of fewer than two rows is left out."""
    shorter = [(length, [row for row in family if kept[row] < length]) for length, family in families]
    return [(length, family) for length, family in shorter if len(family) > 1]


def _spared(length: int, family: Sequence[int], kept: Sequence[int]) -> int:
    """Tokens that need not be read where a family's beginning, less what is kept of it, is read once."""
    rests = [length - kept[row] for row in family]
    return sum(rests) - min(rests)


def _shared(
    families: Sequence[tuple[int, list[int]]],
    heads: Sequence[Ids],
    lengths: Sequence[int],
    *,
    extra: int,
    tokens: int,
    rows: int,
) -> Iterator[Portion]:
    """Families side by side, longest beginnings first. One that does not fit a batch is begun again in the next."""
    waiting = [
        (length, number, row)
        for number, (length, family) in enumerate(sorted(families, key=lambda one: -one[0]))
        for row in sorted(family, key=lambda row: -lengths[row])
    ]
    batch: list[tuple[int, int, int]] = []
    widest = 0
    for one in waiting:
        tail = lengths[one[2]] - one[0]
        if batch and (len(batch) == rows or (len(batch) + 1) * (batch[0][0] + max(widest, tail) + extra) > tokens):
            yield _portion(batch, heads)
            batch, widest = [], 0
        batch.append(one)
        widest = max(widest, tail)
    if batch:
        yield _portion(batch, heads)


def _portion(batch: Sequence[tuple[int, int, int]], heads: Sequence[Ids]) -> Portion:
    numbers = list(dict.fromkeys(number for _, number, _ in batch))
    first = {number: heads[row][:length] for length, number, row in reversed(batch)}
    return Portion(
        rows=[row for _, _, row in batch],
        owners=[numbers.index(number) for _, number, _ in batch],
        prefixes=[first[number] for number in numbers],
    )


def alike(heads: Sequence[Ids]) -> list[tuple[int, list[int]]]:
    """Families of two or more rows: how many tokens all of a family begin with, and its positions.

    Of the ways to cut the sorted rows where they part, the one that spares the most tokens.

    >>> alike([[1] * 20 + [2], [3] * 30, [1] * 20 + [4]])
    [(20, [0, 2])]
    """
    order = sorted(range(len(heads)), key=lambda row: heads[row])
    common = [_common(heads[one], heads[other]) for one, other in pairwise(order)]
    _, families = _cut(common, 0, len(order), _DEEPEST)
    return [(length, sorted(order[start:end])) for length, start, end in families]


def _cut(common: Sequence[int], start: int, end: int, depth: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Tokens spared among sorted rows `start` to `end`, and the families (length, start, end) that spare them."""
    if end - start < 2:
        return 0, []
    least = min(common[start : end - 1])
    whole = least * (end - start - 1) if least >= _SHORTEST else 0
    if depth:
        cuts = [start, *(place + 1 for place in range(start, end - 1) if common[place] == least), end]
        parts = [_cut(common, *span, depth - 1) for span in pairwise(cuts)]
        spared = sum(part for part, _ in parts)
        if spared > whole or not whole:
            return spared, [family for _, families in parts for family in families]
    return whole, [(least, start, end)] if whole else []


def _common(one: Ids, other: Ids) -> int:
    """Tokens that both begin with, less than either has."""
    longest = min(len(one), len(other)) - 1
    return next((place for place in range(longest) if one[place] != other[place]), max(0, longest))
