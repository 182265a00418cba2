"""Documents and queries as independent blocks, through an unchanged decoder.

    opening | document 1
            | document 2          documents start right after the opening; each sees it and itself
            | ...
                        | lead | query 1
                               | query 2      queries start after the lead; each sees opening, lead and itself

No block sees another. So what the model makes of a document depends on its text alone: it can be kept, it
does not change with the company or the order of the candidates, and any number of them can be read in parts.
The lead, which asks for what is relevant, is read once for all queries, at a position that no document reaches.

Of a document only keys stay, those of the heads that are read. Of a query stay its vectors for these heads and
how much they weigh what the query sees anyway. `rerankers.attention.reading.match` brings the two together.

Texts that go through the model together are packed into one row without padding: positions say where a token
stands, and attention is computed for each run of blocks of one length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from rerankers.attention.heads.layout import Plan
from rerankers.attention.reading import rows
from rerankers.attention.reading.capture import Step, run_pass

_PACK = 1536
"""Tokens that go through the model together: enough to keep matrix products busy, few enough for the caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What blocks see beside themselves. `states`: [2, n_key_heads, n, head_size] per layer, keys and values."""

    states: tuple[Tensor, ...]
    positions: tuple[int, ...]
    next_position: int

    def moved_to(self, position: int) -> Before:
        """The same, with blocks that start at `position` and not right behind it."""
        return replace(self, next_position=position)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryVectors:
    """A query as the heads that are read see it, heads in the plan's order.

    vectors: float32 [n_heads, n_rows, head_size], scaled. outside: float32 [n_heads, n_rows], the logarithm of
    the weight (sum of exponentiated logits) that a row gives to all it sees without any document.
    """

    vectors: Tensor
    outside: Tensor


@dataclass(frozen=True, slots=True)
class _Run:
    """Blocks of one length that stand next to each other in a row: `n` of them, the first from `start` on."""

    start: int
    n: int
    length: int

    def stacked(self, states: Tensor) -> Tensor:
        """[1, heads, row, head_size] -> [n, heads, length, head_size]."""
        own = states[0, :, self.start : self.start + self.n * self.length]
        return own.view(len(own), self.n, self.length, -1).transpose(0, 1)


@dataclass(frozen=True, slots=True)
class _Row:
    """Texts packed into one row: their ids, where each begins and ends, and the position at which all begin."""

    ids: list[int]
    blocks: list[slice]
    first: int

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], *, first: int) -> _Row:
        ids, blocks = list[int](), list[slice]()
        for text in texts:
            blocks.append(slice(len(ids), len(ids) + len(text)))
            ids += text
        return cls(ids, blocks, first)

    @property
    def runs(self) -> Iterator[_Run]:
        """All blocks, in order, those of one length together."""
        for length, members in groupby(self.blocks, key=lambda block: block.stop - block.start):
            run = list(members)
            yield _Run(run[0].start, len(run), length)

    @property
    def positions(self) -> list[int]:
        return [self.first + i for block in self.blocks for i in range(block.stop - block.start)]


class _BlocksPass:
    """Attention of a row's blocks to what stands before them and to themselves."""

    def __init__(self, before: Before | None, row: _Row, plan: Plan) -> None:
        self._before, self._row, self._plan = before, row, plan
        self._runs = tuple(row.runs)  # of all layers
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def attend(self, step: Step) -> Tensor | None:
        self._look(step)
        if step.layer == self._plan.deepest:
            return None
        return torch.cat([self._attention(step, run) for run in self._runs], 1)

    def _look(self, step: Step) -> None: ...

    def _attention(self, step: Step, run: _Run) -> Tensor:
        own = run.stacked(step.query)
        keys, values = (self._seen(step.layer, run.stacked(part), n) for n, part in enumerate((step.key, step.value)))
        mask = self._mask(run.length, self._plan.window(step.layer), own.device)
        return rows.attention(own, keys, values, scale=step.scale, softcap=step.cap, mask=mask).flatten(0, 1)[None]

    def _seen(self, layer: int, own: Tensor, which: int) -> Tensor:
        """Keys (0) or values (1) that blocks see, their own [n, g, length, d]: [n, g, before + length, d]."""
        if self._before is None:
            return own
        before = self._before.states[layer][which].expand(len(own), -1, -1, -1)
        return torch.cat((before, own), 2)

    def _mask(self, length: int, window: int | None, device: Any) -> Tensor:
        """bool [1, 1, length, before + length]: what comes before, within the layer's window where it slides."""
        mask = self._masks.get((length, window))
        if mask is None:
            before = () if self._before is None else self._before.positions
            positions = torch.tensor([*before, *range(self._row.first, self._row.first + length)], device=device)
            back = positions[len(before) :, None] - positions
            mask = back >= 0 if window is None else (back >= 0) & (back < window)
            mask = self._masks[length, window] = mask[None, None]
        return mask


class _StatesPass(_BlocksPass):
    """Keeps keys and values of all layers."""

    def __init__(self, before: Before | None, row: _Row, plan: Plan) -> None:
        super().__init__(before, row, plan)
        self.states: list[Tensor] = []

    def _look(self, step: Step) -> None:
        self.states.append(torch.stack((step.key[0], step.value[0])))


class _KeysPass(_BlocksPass):
    """Keeps the keys that the plan's heads read, each once however many heads share it."""

    def __init__(self, before: Before, row: _Row, plan: Plan) -> None:
        super().__init__(before, row, plan)
        self.keys: list[Tensor] = []

    def _look(self, step: Step) -> None:
        heads = self._plan.heads.get(step.layer, ())
        if heads:
            self.keys.append(step.key[0, sorted({head // step.shared for head in heads})])


class _QueriesPass(_BlocksPass):
    """Keeps vectors of the plan's heads for every token, and what those weigh without documents."""

    def __init__(self, before: Before, row: _Row, plan: Plan) -> None:
        super().__init__(before, row, plan)
        self.vectors: list[Tensor] = []
        self.outside: list[Tensor] = []

    def _look(self, step: Step) -> None:
        heads = self._plan.heads.get(step.layer, ())
        if not heads:
            return
        groups = [(pair, len(list(members))) for pair, members in groupby(head // step.shared for head in heads)]
        vectors = step.query[0, list(heads)].float() * step.scale
        weighed = []
        for block in self._row.blocks:
            keys = self._seen(step.layer, step.key[:, :, block], 0)[0]
            # Heads that share keys stand together, so the keys are never copied for each of them.
            of_each = torch.split(vectors[:, block], [n for _, n in groups])
            logits = torch.cat([own @ keys[pair].float().T for own, (pair, _) in zip(of_each, groups, strict=True)])
            logits = rows.capped(logits, step.cap)
            hidden = ~self._mask(block.stop - block.start, self._plan.window(step.layer), logits.device)[0]
            weighed.append(logits.masked_fill_(hidden, -torch.inf).logsumexp(-1))
        self.vectors.append(vectors)
        self.outside.append(torch.cat(weighed, 1))


@torch.no_grad()
def encode_before(
    decoder: Any, ids: Sequence[int], *, plan: Plan, after: Before | None = None, position: int = 0
) -> Before:
    """States of a text that all blocks see: the opening, or the lead `after` it at `position`.

    Call it within `attention_switched`, as the other functions here.
    """
    row = _Row.of([list(ids)], first=position)
    this_pass = _StatesPass(after, row, plan)
    run_pass(decoder, row.ids, row.positions, this_pass)
    if after is None:
        return Before(states=tuple(this_pass.states), positions=tuple(row.positions), next_position=len(ids))
    joined = tuple(torch.cat(pair, 2) for pair in zip(after.states, this_pass.states, strict=True))
    positions = (*after.positions, *row.positions)
    return Before(states=joined, positions=positions, next_position=positions[-1] + 1)


@torch.no_grad()
def encode_documents(
    decoder: Any, opening: Before, documents: Sequence[Sequence[int]], *, plan: Plan
) -> Iterator[tuple[int, Tensor]]:
    """(position in `documents`, its keys) as they are ready, texts of like length together.

    Keys are [n_pairs, n_tokens, head_size] in the model's type, a pair being a layer and a key head of `plan.pairs`.
    """
    for pack in packs(list(map(len, documents)), tokens=_PACK):
        row = _Row.of([documents[i] for i in pack], first=opening.next_position)
        this_pass = _KeysPass(opening, row, plan)
        run_pass(decoder, row.ids, row.positions, this_pass)
        keys = torch.cat(this_pass.keys)
        for i, block in zip(pack, row.blocks, strict=True):
            yield i, keys[:, block].clone()  # a view would keep the whole pack alive


@torch.no_grad()
def encode_queries(decoder: Any, before: Before, queries: Sequence[Sequence[int]], *, plan: Plan) -> list[QueryVectors]:
    """What the plan's heads see of each query, one row per token."""
    views: dict[int, QueryVectors] = {}
    for pack in packs(list(map(len, queries)), tokens=_PACK):
        row = _Row.of([queries[i] for i in pack], first=before.next_position)
        this_pass = _QueriesPass(before, row, plan)
        run_pass(decoder, row.ids, row.positions, this_pass)
        vectors, outside = torch.cat(this_pass.vectors), torch.cat(this_pass.outside)
        for i, block in zip(pack, row.blocks, strict=True):
            views[i] = QueryVectors(vectors=vectors[:, block].clone(), outside=outside[:, block].clone())
    return [views[i] for i in range(len(queries))]


def packs(lengths: Sequence[int], *, tokens: int) -> Iterator[list[int]]:
    """Positions in packs of at most `tokens` tokens, short texts first; one that is longer goes alone.

    >>> list(packs([5, 2, 9, 3], tokens=8))
    [[1, 3], [0], [2]]
    """
    pack, used = list[int](), 0
    for position in sorted(range(len(lengths)), key=lambda position: lengths[position]):
        if pack and used + lengths[position] > tokens:
            yield pack
            pack, used = [], 0
        pack.append(position)
        used += lengths[position]
    if pack:
        yield pack
