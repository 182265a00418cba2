"""Layout of one document's state in memory and on disk: bits of bfloat16, or int8 with a scale per row.

A few of a key's numbers are many times as large as the others, and a scale that fits them leaves little of the rest. So
int8 rounds not the key but its discrete cosine transform, in which such peaks are spread over all numbers (the idea of
QuaRot: Ashkboos et al., NeurIPS 2024, arXiv 2404.00456), and turns it back when it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

StateKind = Literal["bfloat16", "int8"]


class State(NamedTuple):
    """What is kept of a document. keys: [n_pairs, n_tokens, head_size].

    prior: float32 [n_tokens], what each token adds to the document's prior; None where there is no prior.
    """

    keys: Tensor
    prior: Tensor | None = None

    def is_finite(self) -> bool:
        return bool(self.keys.isfinite().all()) and (self.prior is None or bool(self.prior.isfinite().all()))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLayout:
    """Between a state and its bytes, uint8 [n_tokens * bytes_per_token].

    First the prior, as it is, where there is one. Then the keys. bfloat16: the numbers in order. int8: float32 scales
    [n_pairs, n_tokens], then the numbers of the rows' cosine transforms; each of these is off by at most 1/254 of the largest
    in its row.
    """

    n_pairs: int
    head_size: int
    kind: StateKind
    with_prior: bool = False

    @property
    def bytes_per_token(self) -> int:
        keys = self.n_pairs * (2 * self.head_size if self.kind == "bfloat16" else 4 + self.head_size)
        return keys + 4 * self.with_prior

    def pack(self, state: State) -> Tensor | None:
        """The bytes of a state, on the CPU; None where a number is not finite, which no caller should meet again.

        Raises:
            ValueError: another shape, or a prior where there should be none, or none where there should be one.
        """
        keys, prior = state
        if keys.dim() != 3 or keys.shape[0] != self.n_pairs or keys.shape[2] != self.head_size:
            raise ValueError(
                f"a state must be [{self.n_pairs} pairs, n_tokens, {self.head_size}], got {list(keys.shape)}"
            )
        if (prior is not None) != self.with_prior or (prior is not None and prior.shape != keys.shape[1:2]):
            shape = "none" if prior is None else list(prior.shape)
            wanted = f"[{keys.shape[1]} tokens]" if self.with_prior else "none"
            raise ValueError(f"a state's prior must be {wanted}, got {shape}")
        parts = [] if prior is None else [prior.detach().to("cpu", torch.float32).contiguous()]
        parts += _bfloat16(keys) if self.kind == "bfloat16" else _int8(keys)
        data = torch.cat([part.reshape(-1).view(torch.uint8) for part in parts])
        return data if self.unpack(data).is_finite() else None

    def unpack(self, data: Tensor) -> State:
        """Keys as bfloat16 that shares memory with `data`, or float32: what takes least time until it is multiplied."""
        n_tokens = len(data) // self.bytes_per_token
        prior = data[: 4 * n_tokens].view(torch.float32) if self.with_prior else None
        rest = data[4 * n_tokens :] if self.with_prior else data
        if self.kind == "bfloat16":
            return State(rest.view(torch.bfloat16).view(self.n_pairs, n_tokens, self.head_size), prior)
        n_rows = self.n_pairs * n_tokens
        scales = rest[: 4 * n_rows].view(torch.float32).view(self.n_pairs, n_tokens, 1)
        spread = rest[4 * n_rows :].view(torch.int8).view(self.n_pairs, n_tokens, self.head_size) * scales
        return State(spread @ cosines(self.head_size), prior)


def _bfloat16(state: Tensor) -> list[Tensor]:
    return [state.detach().to("cpu", torch.bfloat16).contiguous()]


def _int8(state: Tensor) -> list[Tensor]:
    """Scales and numbers. A row of zeros has scale 0; a row that is not finite has a scale that is not."""
    spread = state.detach().to("cpu", torch.float32) @ cosines(state.shape[-1]).T
    scales = spread.abs().amax(-1, keepdim=True) / 127
    divisors = torch.where(scales > 0, scales, torch.ones(()))
    return [scales, (spread / divisors).round().clamp(-127, 127).to(torch.int8)]


@cache
def cosines(size: int) -> Tensor:
    """float32 [size, size], orthonormal: row k is the k-th basis vector of the DCT-II."""
    positions = torch.arange(size, dtype=torch.float64)
    basis: Tensor = torch.cos(torch.pi * positions[:, None] * (2 * positions + 1) / (2 * size)) * (2 / size) ** 0.5
    basis[0] /= 2**0.5
    return basis.float()
