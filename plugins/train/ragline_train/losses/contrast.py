"""What several losses are made of: similarities, and how surprising the right one is among them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def similarities(v: Tensor, t: Tensor, *, temperature: float, groups: Tensor | None = None) -> Tensor:
    """[n, n]: of each of `v` to each of `t`, over the temperature; minus infinity for others of one group."""
    return without_group(v @ t.T / temperature, groups)


def without_group(scores: Tensor, groups: Tensor | None) -> Tensor:
    """Scores [n, n] in which others of the own group are hidden."""
    if groups is None:
        return scores
    same = groups[:, None] == groups[None, :]
    return scores.masked_fill(same & ~torch.eye(len(groups), dtype=torch.bool, device=scores.device), -torch.inf)


def surprise(scores: Tensor) -> Tensor:
    """[n]: minus the log of the share that the softmax of each row gives to its own column. Scores: [n, m], m >= n."""
    return cross_entropy(scores, torch.arange(len(scores), device=scores.device), reduction="none")


def both_ways(scores: Tensor) -> Tensor:
    """[n]: mean surprise of a pair, by its row and by its column. Scores: [n, n]."""
    return (surprise(scores) + surprise(scores.T)) / 2


def unit(vectors: Tensor) -> Tensor:
    """The vectors, of length 1."""
    return normalize(vectors, dim=-1)
