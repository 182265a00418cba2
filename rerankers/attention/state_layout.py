"""How one document's state lies in memory and on disk: bits of bfloat16, or int8 with a scale per row."""

from __future__ import annotations

from dataclasses import dataclass
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
    [n_pairs, n_tokens], then the numbers; what is read back differs by at most 1/254 of the largest number in its row.
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
            given = "none" if prior is None else list(prior.shape)
            wanted = f"[{keys.shape[1]} tokens]" if self.with_prior else "none"
            raise ValueError(f"a state's prior must be {wanted}, got {given}")
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
        return State(rest[4 * n_rows :].view(torch.int8).view(self.n_pairs, n_tokens, self.head_size) * scales, prior)


def _bfloat16(state: Tensor) -> list[Tensor]:
    return [state.detach().to("cpu", torch.bfloat16).contiguous()]


def _int8(state: Tensor) -> list[Tensor]:
    """Scales and numbers. A row of zeros has scale 0; a row that is not finite has a scale that is not."""
    exact = state.detach().to("cpu", torch.float32)
    scales = exact.abs().amax(-1, keepdim=True) / 127
    divisors = torch.where(scales > 0, scales, torch.ones(()))
    return [scales, (exact / divisors).round().clamp(-127, 127).to(torch.int8)]
