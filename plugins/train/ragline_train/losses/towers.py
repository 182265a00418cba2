"""Heads over frozen features, and one loop that teaches them by any loss.

What is frozen is read once and kept, so that a run takes seconds and losses can be compared at equal steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from ragline_train.losses.base import Batch, Loss, Other, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Frozen features of N pairs, and what else losses ask for, by the names of the batch's fields.

    `media`: float [N, w], features of pictures or the like. `texts`: [N, d], vectors of length 1. `seen`: features that the
    head of media turns into vectors, [N, ..., w]; `others`: the same of further sides. `said`: vectors that the head of texts
    turns, [N, ..., d]. `fixed`: what is given as it is, [N, ...]. `whole`: what is the same for all pairs.
    """

    media: Tensor
    texts: Tensor
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    said: Mapping[str, Tensor] = field(default_factory=dict)
    others: Mapping[str, Other] = field(default_factory=dict)
    fixed: Mapping[str, Tensor] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.media)


class Towers(nn.Module):
    """Media: `unit(A x + b + C gelu(B x))`. Texts: `unit(t + E gelu(D t))`. C and E begin at 0, so that the start is A alone.

    Args:
        start: [w, d], A. It is drawn (`drawn`), or fitted before (`ridge`).
        offset: [d], b.
        hidden: rows of B and D.
        dropout: share of the features of media that are hidden at each step of teaching. There are more features than pairs,
            so that without it heads learn by heart.
    """

    def __init__(self, start: Tensor, offset: Tensor, *, hidden: int = 128, dropout: float = 0.6) -> None:
        super().__init__()
        width, dim = start.shape
        self.start, self.offset = nn.Parameter(start.clone()), nn.Parameter(offset.clone())
        self.hiding = nn.Dropout(dropout)
        self.seen_in, self.seen_out = nn.Linear(width, hidden), nn.Linear(hidden, dim)
        self.said_in, self.said_out = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        for last in (self.seen_out, self.said_out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    @classmethod
    def drawn(cls, width: int, dim: int, *, seed: int = 0, dropout: float = 0.6) -> Self:
        torch.manual_seed(seed)
        return cls(0.02 * torch.randn(width, dim), torch.zeros(dim), dropout=dropout).eval()

    @classmethod
    def ridge(cls, pairs: Pairs, *, penalty: float = 30.0, seed: int = 0) -> Self:
        """From the ridge regression of texts on media."""
        mean, centre = pairs.media.double().mean(dim=0), pairs.texts.double().mean(dim=0)
        x = pairs.media.double() - mean
        square = x.T @ x + penalty * torch.eye(x.shape[1], dtype=torch.float64)
        start = torch.linalg.solve(square, x.T @ (pairs.texts.double() - centre))
        torch.manual_seed(seed)
        return cls(start.float(), (centre - mean @ start).float()).eval()

    def media(self, features: Tensor) -> Tensor:
        """[..., w] -> [..., d]."""
        features = self.hiding(features)
        bent = self.seen_out(torch.nn.functional.gelu(self.seen_in(features)))
        return unit(features @ self.start + self.offset + bent)

    def texts(self, vectors: Tensor) -> Tensor:
        """[..., d] -> [..., d]."""
        return unit(vectors + self.said_out(torch.nn.functional.gelu(self.said_in(vectors))))

    def batch(self, pairs: Pairs, rows: Tensor, *, progress: float) -> tuple[Tensor, Tensor, Batch]:
        """What a loss is given of some pairs."""
        made: dict[str, Any] = {name: self.media(each[rows]) for name, each in pairs.seen.items()}
        made |= {name: self.texts(each[rows]) for name, each in pairs.said.items()}
        made |= {name: each[rows] for name, each in pairs.fixed.items()}
        others = {
            name: Other(vectors=self.media(one.vectors[rows]), there=one.there[rows])
            for name, one in pairs.others.items()
        }
        batch = Batch(**made, **pairs.whole, others=others, progress=progress)
        return self.media(pairs.media[rows]), self.texts(pairs.texts[rows]), batch


def teach(
    towers: Towers, pairs: Pairs, loss: Loss, *, steps: int = 200, size: int = 256, rate: float = 1e-3, seed: int = 0
) -> list[float]:
    """Teach both heads, and what weights the loss has, in place. The value of each step.

    AdamW; each batch is drawn without putting back, and the same seed gives the same batches to every loss.

    Raises:
        ValueError: fewer than two pairs; a value or a vector is not finite, and then the heads are as after the step before.
    """
    if len(pairs) < 2:
        raise ValueError(f"teach: {len(pairs)} pair has nothing to be told from; two are needed")
    drawing = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    taught = [*towers.parameters(), *loss.parameters()]
    optimizer = torch.optim.AdamW(taught, lr=rate, weight_decay=0.1)
    values = []
    towers.train()
    for step in range(steps):
        rows = torch.randperm(len(pairs), generator=drawing)[:size]
        v, t, batch = towers.batch(pairs, rows, progress=step / steps)
        value, _ = loss(v, t, batch)
        if not bool(value.isfinite()):
            raise ValueError(f"teach: {type(loss).__name__} is not finite in step {step + 1}; lower the rate")
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    towers.eval()
    return values
