"""Forward passes of a decoder over a batch of prompts, and the choice of the next tokens.

Prompts of unequal length are padded on the left and masked, so every row ends at the same position and a batch
gives what each prompt gives alone. The loop is ours and not `generate`: rows leave the batch when they are done and
others join it, each row has its own random generator, and a stream stops when its consumer stops asking.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from generators.llm.prefixes import BLOCK, PrefixStore, fill
from rag.core.types import SamplingParams

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Lock = AbstractContextManager[Any]


def groups(lengths: Sequence[int], *, extra: int, tokens: int, rows: int | None = None) -> Iterator[list[int]]:
    """Positions in batches of like length, longest first, at most `tokens` padded tokens and `rows` rows each.

    Every row counts its batch's longest length and `extra`. A row that is over the limit alone goes alone.

    >>> list(groups([2, 9, 3], extra=1, tokens=10))
    [[1], [2, 0]]
    """
    batch: list[int] = []
    widest = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if batch and ((len(batch) + 1) * widest > tokens or len(batch) == rows):
            yield batch
            batch = []
        if not batch:
            widest = lengths[position] + extra
        batch.append(position)
    if batch:
        yield batch


def pad_left(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask, int64 [rows, longest]. Padding has id 0: masked positions are not read."""
    import torch

    mask = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    ids = torch.zeros_like(mask)
    for position, row in enumerate(rows):
        ids[position, -len(row) :] = torch.tensor(row)
        mask[position, -len(row) :] = 1
    return ids, mask


def forward(model: Any, ids: Tensor, mask: Tensor, *, keep: int, lock: Lock, cache: Any = None) -> Tensor:
    """Logits, float32 [rows, keep, vocabulary], of the last `keep` positions of one pass.

    Args:
        ids: the tokens that are not in `cache` yet, [rows, new].
        mask: 1 where there is a token, [rows, cached + new].
    """
    import torch

    takes = inspect.signature(model.forward).parameters
    extra: dict[str, Any] = {}
    if "position_ids" in takes:  # models with relative positions alone have none
        positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        extra["position_ids"] = positions.to(model.device)
    if "logits_to_keep" in takes:
        extra["logits_to_keep"] = keep
    with lock, torch.inference_mode():
        out = model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            past_key_values=cache,
            use_cache=cache is not None,
            **extra,
        )
        logits: Tensor = out.logits[:, -keep:].float()
    return logits


def forward_after(
    model: Any, rows: Sequence[Sequence[int]], begun: Sequence[Sequence[Tensor]], *, keep: int, lock: Lock, cache: Any
) -> tuple[Tensor, Tensor]:
    """Logits as of `forward`, of rows whose first tokens may have been read before.

    Between what was read before and the rest of a row there may be padding. It is masked, and positions are counted
    without it, but a sliding window would count it: such a window must be wider than the rows.

    Args:
        begun: for each row, the kept blocks of its first tokens (`generators.llm.prefixes`), less than the row.
        cache: empty.
    Returns:
        The logits, and the mask of all that the cache holds now.
    """
    import torch

    mask = fill(cache, begun)
    ids, own = pad_left([row[BLOCK * len(blocks) :] for row, blocks in zip(rows, begun, strict=True)])
    mask = torch.cat([mask, own], dim=1)
    return forward(model, ids, mask, keep=keep, lock=lock, cache=cache), mask


def forward_shared(
    model: Any,
    prefixes: Sequence[Sequence[int]],
    owners: Sequence[int],
    suffixes: Sequence[Sequence[int]],
    begun: Sequence[Sequence[Tensor]],
    *,
    keep: int,
    lock: Lock,
    cache: Any,
) -> tuple[Tensor, Tensor]:
    """As `forward_after`, of `suffixes[i]` after `prefixes[owners[i]]`; every prefix is read once.

    Args:
        begun: for each prefix, the kept blocks of its first tokens.
    """
    import torch

    _, mask = forward_after(model, prefixes, begun, keep=1, lock=lock, cache=cache)
    index = torch.tensor(owners)
    with torch.inference_mode():
        cache.batch_select_indices(index.to(model.device))
    ids, own = pad_left(suffixes)
    mask = torch.cat([mask[index], own], dim=1)
    return forward(model, ids, mask, keep=keep, lock=lock, cache=cache), mask


class Batch:
    """Prompts inside the decoder, with their key/value cache.

    `logits`: float32 [rows, vocabulary], for the token that comes next in every row.

    Args:
        lock: taken for each pass on its own, so that a slow consumer of a stream keeps nobody waiting.
        cache: empty; it must be croppable where `peek` is called. None for rows that nothing follows.
        prefixes: what the prompts follow on, read once each; see `forward_shared`.
        owners: for each prompt, which of `prefixes`.
        begun: for each prefix, or each prompt where there are none, the kept blocks of its first tokens.
    """

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        *,
        lock: Lock,
        cache: Any,
        prefixes: Sequence[Sequence[int]] = (),
        owners: Sequence[int] = (),
        begun: Sequence[Sequence[Tensor]] = (),
    ) -> None:
        self._model, self._lock, self._cache = model, lock, cache
        if prefixes:
            logits, self._mask = forward_shared(model, prefixes, owners, prompts, begun, keep=1, lock=lock, cache=cache)
        else:
            begun = begun or [()] * len(prompts)
            logits, self._mask = forward_after(model, prompts, begun, keep=1, lock=lock, cache=cache)
        self.logits = logits[:, -1]

    def remember(self, store: PrefixStore, heads: Sequence[Sequence[int]]) -> None:
        """Keep what the rows begin with. `heads`: their whole prompts."""
        store.keep(heads, self._cache, self._mask)

    def feed(self, tokens: Sequence[int]) -> None:
        """Append one token to every row."""
        import torch

        self._mask = self._longer(1)
        ids = torch.tensor(tokens)[:, None]
        logits = forward(self._model, ids, self._mask, keep=1, lock=self._lock, cache=self._cache)
        self.logits = logits[:, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """Let the other rows go, and the padding that was there for them alone."""
        import torch

        from generators.llm.growing import trim

        index = torch.tensor(rows)
        self._mask = self._mask[index]
        with torch.inference_mode():
            self._cache.batch_select_indices(index.to(self._model.device))
            padding = int(self._mask.any(dim=0).int().argmax())
            if padding and self.can_join:
                trim(self._cache, padding)
                self._mask = self._mask[:, padding:]

    @property
    def can_join(self) -> bool:
        """Whether `join` is possible with this model's cache."""
        from generators.llm.growing import can_join

        return can_join(self._cache)

    def join(self, other: Batch) -> None:
        """Take in the rows of another batch of the model, behind one's own. The other is used up."""
        import torch

        from generators.llm.growing import join, pad_to

        longest = max(self._mask.shape[1], other._mask.shape[1])
        with torch.inference_mode():
            join(self._cache, other._cache)
            self.logits = torch.cat([self.logits, other.logits])
        self._mask = torch.cat([pad_to(self._mask, longest), pad_to(other._mask, longest)])

    def peek(self, tokens: Sequence[int]) -> Tensor:
        """Logits, float32 [rows, len(tokens), vocabulary], after each of `tokens`; the rows stay as they are."""
        import torch

        ids = torch.tensor(tokens).expand(self._mask.shape[0], -1)
        mask = self._longer(len(tokens))
        logits = forward(self._model, ids, mask, keep=len(tokens), lock=self._lock, cache=self._cache)
        self._cache.crop(-len(tokens))
        return logits

    def _longer(self, n: int) -> Tensor:
        import torch

        return torch.cat([self._mask, self._mask.new_ones(self._mask.shape[0], n)], dim=1)


class Picker:
    """Chooses the next token of one row, greedily or by sampling with the row's own generator."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._generator: torch.Generator | None = None
        if params.temperature > 0:
            import torch

            self._generator = torch.Generator().manual_seed(params.seed % 2**63)

    def pick(self, logits: Tensor) -> int:
        """A token id, from the logits [vocabulary] of one row."""
        import torch

        if self._generator is None:
            return int(logits.argmax())
        # On the processor and in float64: the draw may not depend on the device or on who else is in the batch.
        shares = torch.softmax(logits.cpu().double() / self._params.temperature, dim=-1)
        shares, ids = shares.sort(descending=True, stable=True)
        before = shares.cumsum(dim=-1) - shares
        shares = torch.where(before < self._params.top_p, shares, torch.zeros_like(shares))
        return int(ids[torch.multinomial(shares, 1, generator=self._generator)])


def chosen(logits: Tensor, tokens: Sequence[int]) -> list[float]:
    """Natural-log probability of `tokens[i]` under `logits[i]`, from logits [n, vocabulary]."""
    import torch

    index = torch.tensor(tokens, device=logits.device)[:, None]
    values = logits.gather(1, index)[:, 0] - logits.logsumexp(dim=-1)
    return [float(value) for value in values]


def most_likely(logits: Tensor, n: int) -> list[tuple[int, float]]:
    """The `n` likeliest next tokens and their natural-log probabilities, from logits [vocabulary]."""
    import torch

    values, ids = torch.log_softmax(logits, dim=-1).topk(min(n, logits.shape[-1]))
    return list(zip(ids.tolist(), values.tolist(), strict=True))
