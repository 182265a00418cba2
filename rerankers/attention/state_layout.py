"""How one document's state lies in memory and on disk: bits of bfloat16, or int8 with a scale per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

StateKind = Literal["bfloat16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLayout:
    """Between a state [n_pairs, n_tokens, head_size] and its bytes, uint8 [n_tokens * bytes_per_token].

    bfloat16: the numbers in order. int8: float32 scales [n_pairs, n_tokens] first, then the numbers; what is read
    back differs by at most 1/254 of the largest number in its row.
    """

    n_pairs: int
    head_size: int
    kind: StateKind

    @property
    def bytes_per_token(self) -> int:
        return self.n_pairs * (2 * self.head_size if self.kind == "bfloat16" else 4 + self.head_size)

    def pack(self, state: Tensor) -> Tensor | None:
        """The bytes of a state, on the CPU; None where a number is not finite, which no caller should meet again.

        Raises:
            ValueError: another shape.
        """
        if state.dim() != 3 or state.shape[0] != self.n_pairs or state.shape[2] != self.head_size:
            raise ValueError(
                f"a state must be [{self.n_pairs} pairs, n_tokens, {self.head_size}], got {list(state.shape)}"
            )
        parts = _bfloat16(state) if self.kind == "bfloat16" else _int8(state)
        data = torch.cat([part.reshape(-1).view(torch.uint8) for part in parts])
        return data if self.unpack(data).isfinite().all() else None

    def unpack(self, data: Tensor) -> Tensor:
        """bfloat16 that shares memory with `data`, or float32: what takes least time until it is multiplied."""
        n_tokens = len(data) // self.bytes_per_token
        if self.kind == "bfloat16":
            return data.view(torch.bfloat16).view(self.n_pairs, n_tokens, self.head_size)
        n_rows = self.n_pairs * n_tokens
        scales = data[: 4 * n_rows].view(torch.float32).view(self.n_pairs, n_tokens, 1)
        return data[4 * n_rows :].view(torch.int8).view(self.n_pairs, n_tokens, self.head_size) * scales


def _bfloat16(state: Tensor) -> list[Tensor]:
    return [state.detach().to("cpu", torch.bfloat16).contiguous()]


def _int8(state: Tensor) -> list[Tensor]:
    """Scales and numbers. A row of zeros has scale 0; a row that is not finite has a scale that is not."""
    exact = state.detach().to("cpu", torch.float32)
    scales = exact.abs().amax(-1, keepdim=True) / 127
    divisors = torch.where(scales > 0, scales, torch.ones(()))
    return [scales, (exact / divisors).round().clamp(-127, 127).to(torch.int8)]
