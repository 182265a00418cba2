"""An affine map over vectors that do not change, learnt from pairs of question and passage by contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.float32]
Map = Callable[[Vectors], Vectors]
"""float32 [n, dim] -> the same, of unit length."""

_STEPS, _TOLD_EVERY, _RATE, _SHARPNESS = 200, 10, 1e-3, 20.0
_APART = 5
"""Of so many pairs the last chooses the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Row n of both belongs together. float32 [n, dim]."""

    queries: Vectors
    documents: Vectors


def unchanged(vectors: Vectors) -> Vectors:
    """Of unit length, and nothing else."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(lengths, 1e-12)
    return scaled


def learnt(*tasks: Pairs) -> Map:
    """x -> Wx + b, from W = I and b = 0, by cross-entropy over a task's other passages; equal passages are no negatives.

    Every fifth pair teaches nothing and chooses the step. Equal pairs give an equal map. The loss of several tasks is the mean.
    """
    import torch

    taught, apart = [_some(each, False) for each in tasks], [_some(each, True) for each in tasks]
    dim = tasks[0].queries.shape[1]
    weight, bias = torch.eye(dim, requires_grad=True), torch.zeros(dim, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=_RATE, weight_decay=0.0)
    best = (float("inf"), weight.detach().clone(), bias.detach().clone())
    for step in range(_STEPS + 1):
        if step % _TOLD_EVERY == 0:
            with torch.no_grad():
                loss = float(_loss(apart, weight, bias))
            if loss < best[0]:
                best = (loss, weight.detach().clone(), bias.detach().clone())
        optimizer.zero_grad()
        _loss(taught, weight, bias).backward()
        optimizer.step()
    chosen, shift = best[1].numpy(), best[2].numpy()
    return lambda vectors: unchanged(unchanged(vectors) @ chosen.T + shift)


def _some(pairs: Pairs, apart: bool) -> tuple[Tensor, Tensor]:
    import torch

    rows = [row for row in range(len(pairs.queries)) if (row % _APART == _APART - 1) is apart]
    return torch.from_numpy(unchanged(pairs.queries)[rows]), torch.from_numpy(unchanged(pairs.documents)[rows])


def _loss(tasks: Sequence[tuple[Tensor, Tensor]], weight: Tensor, bias: Tensor) -> Tensor:
    import torch
    from torch.nn.functional import cross_entropy, normalize

    losses = []
    for queries, documents in tasks:
        ours, theirs = (normalize(each @ weight.T + bias, dim=1) for each in (queries, documents))
        same = (documents @ documents.T > 1 - 1e-6).fill_diagonal_(False)
        logits = (_SHARPNESS * ours @ theirs.T).masked_fill(same, float("-inf"))
        losses.append(cross_entropy(logits, torch.arange(len(queries))))
    return torch.stack(losses).mean()
