"""Softmax rows of a few positions over a long shared prefix, and attention with soft-capped logits.

Arithmetic alone: tensors in, tensors out. Query heads that share a key head are rows of one matrix product,
so keys and values are never repeated. Logits, softmax and sums are float32 whatever the model's data type is.

Letters in shapes: s suffixes, h query heads, g key heads, r = h / g, t suffix positions, p prefix positions,
d head size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 1 << 24
"""Logits alive at once, in numbers: 64 MB of float32."""


def suffix_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    prefix_key: Tensor,
    prefix_value: Tensor,
    scale: float,
    softcap: float | None,
    mask: Tensor | None,
    weights: Tensor | None,
    need_output: bool = True,
) -> tuple[Tensor | None, Tensor | None]:
    """Attention of several suffixes to the shared prefix and to themselves, and what the prefix received.

    Args:
        query: [s, h, t, d]; key and value of the suffixes are [s, g, t, d].
        prefix_key: [1, g, p, d], like prefix_value.
        mask: bool [s or 1, 1, t, p + t], true where attention is allowed; None allows all.
        weights: float32 [s, t]; None when only the output is wanted.
        need_output: false when only the columns are wanted.
    Returns:
        Output [s, t, h, d] in the query's type, and columns float32 [s, h, p]: the attention to each prefix
        position, weighted by `weights` and summed over t.
    """
    n, n_heads, length, _ = query.shape
    n_keys, past = key.shape[1], prefix_key.shape[2]
    shared = n_heads // n_keys
    width = past + n * length
    # For each key head, the heads that share it: suffix by suffix, n * shared in all. Columns are the prefix, then the
    # suffixes one after another.
    grouped = query.float().view(n, n_keys, shared, length, -1).transpose(0, 1)
    rows = (grouped * scale).reshape(n_keys, n * shared, length, -1)
    hidden_past, hidden_own = _hidden(mask, n, shared, length, past, query.device)
    each = None if weights is None else weights.repeat_interleave(shared, 0)[:, None]
    output = rows.new_empty(n_keys, n * shared, length, value.shape[-1]) if need_output else None
    columns = rows.new_zeros(n_keys, n * shared, past) if each is not None else None
    for g in range(n_keys):
        keys = torch.cat([prefix_key[0, g], key[:, g].flatten(0, 1)]).float()
        values = torch.cat([prefix_value[0, g], value[:, g].flatten(0, 1)]).float() if need_output else None
        for heads, positions in _blocks(n * shared, length, width):
            logits = capped(rows[g, heads, positions] @ keys.T, softcap)
            logits[..., past:].masked_fill_(hidden_own[heads, positions], -torch.inf)
            if hidden_past is not None:
                logits[..., :past].masked_fill_(hidden_past[heads, positions], -torch.inf)
            attention = logits.softmax(-1)
            if output is not None and values is not None:
                output[g, heads, positions] = attention @ values
            if columns is not None and each is not None:
                columns[g, heads] += (each[heads, :, positions] @ attention[..., :past])[:, 0]
    if output is not None:
        output = output.view(n_keys, n, shared, length, -1).permute(1, 3, 0, 2, 4)
        output = output.reshape(n, length, n_heads, -1).to(query.dtype)
    if columns is not None:
        columns = columns.view(n_keys, n, shared, past).transpose(0, 1).flatten(1, 2)
    return output, columns


def _blocks(n_heads: int, length: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Heads and positions whose logits fit into `_BLOCK` together: whole heads, or part of one when it is large."""
    positions = min(length, max(1, _BLOCK // width))
    heads = max(1, _BLOCK // (width * positions))
    for head in range(0, n_heads, heads):
        for position in range(0, length, positions):
            yield slice(head, head + heads), slice(position, position + positions)


def _hidden(
    mask: Tensor | None, n: int, shared: int, length: int, past: int, device: torch.device
) -> tuple[Tensor | None, Tensor]:
    """What may not be seen: of the prefix (None when all of it may), and of the suffixes side by side.

    Both are [n * shared, length, columns].
    """
    if mask is None:
        seen = torch.ones(n, 1, length, past + length, dtype=torch.bool, device=device)
    else:
        seen = mask.expand(n, 1, length, past + length)
    own = torch.ones(n, shared, length, n, length, dtype=torch.bool, device=device)
    for s in range(n):
        own[s, :, :, s] = ~seen[s, 0, :, past:]
    before = seen[:, 0, :, :past]
    hidden_past = None
    if not bool(before.all()):
        hidden_past = (~before)[:, None].expand(n, shared, length, past).flatten(0, 1)
    return hidden_past, own.view(n * shared, length, n * length)


def capped(logits: Tensor, softcap: float | None) -> Tensor:
    """softcap * tanh(logits / softcap), in place (Gemma 2)."""
    return logits if softcap is None else logits.div_(softcap).tanh_().mul_(softcap)


def attention(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, mask: Tensor | None, softcap: float | None = None
) -> Tensor:
    """Fused attention of a whole prompt; causal when there is no mask. Returns [s, t, h, d]."""
    if softcap is not None:
        return softcapped_attention(query, key, value, scale=scale, softcap=softcap, mask=mask)
    shared = query.shape[1] // key.shape[1]
    if mask is None or query.device.type == "cpu" or shared == 1:
        output = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=shared > 1
        )
        return output.transpose(1, 2)
    return shared_by_turns(query, key, value, scale=scale, mask=mask).transpose(1, 2)


def shared_by_turns(query: Tensor, key: Tensor, value: Tensor, *, scale: float, mask: Tensor) -> Tensor:
    """Masked fused attention [s, h, t, d] in which the query heads that share a key head take turns.

    For devices whose kernels, given a mask and shared keys, would repeat the keys and hold all logits.
    """
    shared = query.shape[1] // key.shape[1]
    parts = [
        functional.scaled_dot_product_attention(query[:, r::shared], key, value, attn_mask=mask, scale=scale)
        for r in range(shared)
    ]
    return torch.stack(parts, 2).flatten(1, 2)


def softcapped_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, softcap: float, mask: Tensor | None
) -> Tensor:
    """Attention of a text with soft-capped logits, which no fused kernel knows. Returns [s, t, h, d].

    Keys may begin before the queries. Works in blocks of query positions, so that never more than `_BLOCK`
    logits are alive.
    """
    n, n_heads, length, _ = query.shape
    n_keys, before = key.shape[1], key.shape[2] - length
    shared = n_heads // n_keys
    grouped = query.reshape(n, n_keys, shared, length, -1)
    position = torch.arange(before + length, device=query.device)
    step = max(1, _BLOCK // (n * n_heads * (before + length)))
    outputs = []
    for start in range(0, length, step):
        end = min(start + step, length)
        past = before + end
        rows = (grouped[:, :, :, start:end].float() * scale).flatten(2, 3)
        logits = capped(rows @ key[:, :, :past].float().mT, softcap).view(n, n_keys, shared, end - start, past)
        if mask is None:
            seen = position[None, None, None, None, :past] <= position[before + start : past, None]
        else:
            seen = mask[:, :, None, start:end, :past]
        weights = logits.masked_fill_(~seen, -torch.inf).softmax(-1).flatten(2, 3)
        outputs.append((weights @ value[:, :, :past].float()).view(n, n_keys, shared, end - start, -1))
    return torch.cat(outputs, 3).flatten(1, 2).transpose(1, 2).to(query.dtype)
