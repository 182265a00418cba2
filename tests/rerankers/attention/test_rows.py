"""The row arithmetic against loops in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rerankers.attention.reading import rows

S, H, G, T, P, D = 2, 6, 2, 5, 11, 4
SCALE = 0.7


def tensor(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2


def naive(
    query: Any, key: Any, value: Any, *, softcap: float | None, seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Softmax weights [h, t, n] and output [t, h, d] of one sequence; seen bool [t, n]."""
    q, k, v = (x.double().numpy() for x in (query, key, value))
    shared = q.shape[0] // k.shape[0]
    weights = np.zeros((q.shape[0], q.shape[1], k.shape[1]))
    output = np.zeros((q.shape[1], q.shape[0], v.shape[2]))
    for h in range(q.shape[0]):
        for t in range(q.shape[1]):
            logits = np.array([q[h, t] @ k[h // shared, j] * SCALE for j in range(k.shape[1])])
            if softcap is not None:
                logits = softcap * np.tanh(logits / softcap)
            powers = np.exp(logits - logits.max()) * seen[t]
            weights[h, t] = powers / powers.sum()
            output[t, h] = weights[h, t] @ v[h // shared]
    return weights, output


@pytest.mark.parametrize("block", [1 << 24, 40])
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("softcap", [None, 1.5])
def test_suffixes_share_the_prefix_and_do_not_see_each_other(
    softcap: float | None, window: int | None, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_BLOCK", block)
    query, key, value = tensor(S, H, T, D, seed=1), tensor(S, G, T, D, seed=2), tensor(S, G, T, D + 1, seed=3)
    prefix_key, prefix_value = tensor(1, G, P, D, seed=4), tensor(1, G, P, D + 1, seed=5)
    weights = torch.tensor([[0.2] * 5, [1 / 3, 1 / 3, 1 / 3, 0, 0]])
    back = np.arange(P, P + T)[:, None] - np.arange(P + T)
    seen = (back >= 0) & (back < (window or P + T))
    output, columns = rows.suffix_attention(
        query,
        key,
        value,
        prefix_key=prefix_key,
        prefix_value=prefix_value,
        scale=SCALE,
        softcap=softcap,
        mask=torch.from_numpy(seen)[None, None],
        weights=weights,
    )
    assert output is not None
    assert columns is not None
    assert columns.dtype == torch.float32
    for s in range(S):
        keys, values = torch.cat([prefix_key[0], key[s]], 1), torch.cat([prefix_value[0], value[s]], 1)
        attention, expected = naive(query[s], keys, values, softcap=softcap, seen=seen)
        received = np.einsum("t,htp->hp", weights[s].double().numpy(), attention[:, :, :P])
        np.testing.assert_allclose(columns[s].numpy(), received, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(output[s].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_half_precision_model_keeps_float32_sums() -> None:
    query, key, value = (tensor(1, 2, T, D, seed=i).bfloat16() for i in (1, 2, 3))
    prefix = tensor(1, 2, 300, D, seed=4).bfloat16()
    seen = np.tril(np.ones((T, 300 + T), dtype=bool), 300)
    output, columns = rows.suffix_attention(
        query,
        key,
        value,
        prefix_key=prefix,
        prefix_value=prefix,
        scale=SCALE,
        softcap=None,
        mask=torch.from_numpy(seen)[None, None],
        weights=torch.full((1, T), 1 / T),
    )
    assert output is not None
    assert columns is not None
    attention, _ = naive(
        query[0], torch.cat([prefix[0], key[0]], 1), torch.cat([prefix[0], value[0]], 1), softcap=None, seen=seen
    )
    assert output.dtype == torch.bfloat16
    np.testing.assert_allclose(columns[0].numpy(), attention[:, :, :300].mean(1), rtol=1e-5, atol=1e-9)


def test_output_or_columns_alone() -> None:
    given: dict[str, Any] = {
        "prefix_key": tensor(1, G, P, D, seed=4),
        "prefix_value": tensor(1, G, P, D, seed=5),
        "scale": SCALE,
        "softcap": None,
        "mask": None,
    }
    three = tensor(S, H, 1, D, seed=1), tensor(S, G, 1, D, seed=2), tensor(S, G, 1, D, seed=3)
    ones = torch.ones(S, 1)
    output, columns = rows.suffix_attention(*three, weights=ones, **given)
    alone, nothing = rows.suffix_attention(*three, weights=None, **given)
    assert nothing is None
    assert torch.equal(alone, output)  # type: ignore[arg-type]
    nothing, alone = rows.suffix_attention(*three, weights=ones, need_output=False, **given)
    assert nothing is None
    assert torch.equal(alone, columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [1 << 24, 200])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("softcap", [None, 1.5])
def test_attention_of_a_whole_prompt(
    softcap: float | None, window: int | None, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_BLOCK", block)
    query, key, value = tensor(1, H, P, D, seed=1), tensor(1, G, P, D, seed=2), tensor(1, G, P, D, seed=3)
    back = np.arange(P)[:, None] - np.arange(P)
    seen = (back >= 0) & (back < (window or P))
    mask = torch.from_numpy(seen)[None, None] if window else None
    if softcap is None:
        output = rows.attention(query, key, value, scale=SCALE, mask=mask)
    else:
        output = rows.softcapped_attention(query, key, value, scale=SCALE, softcap=softcap, mask=mask)
    _, expected = naive(query[0], key[0], value[0], softcap=softcap, seen=seen)
    np.testing.assert_allclose(output[0].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_heads_that_take_turns_give_what_they_give_together() -> None:
    query, key, value = tensor(1, H, P, D, seed=1), tensor(1, G, P, D, seed=2), tensor(1, G, P, D, seed=3)
    mask = torch.ones(P, P, dtype=torch.bool).tril()[None, None]
    by_turns = rows.shared_by_turns(query, key, value, scale=SCALE, mask=mask)
    together = rows.attention(query, key, value, scale=SCALE, mask=mask)
    torch.testing.assert_close(by_turns.transpose(1, 2), together)
