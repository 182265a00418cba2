"""States of tokens, which vectors of texts and vectors of tokens are both made of: what their encoders say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retrievers.encoders.kinds import Batch
from retrievers.encoders.sentence_folder import Role

Seen = Callable[[int, Sequence[int], NDArray[np.float32]], None]
"""Called with the place of a text that has a token, the ids of its tokens, special ones among them, and what the last layer
holds of each: float32 [tokens, width], which the next call may write over."""


@runtime_checkable
class GivesStates(Protocol):
    """A kind of encoder that shows what its vectors are made of."""

    def reading(self, role: Role) -> Mapping[str, Any] | None:
        """All that decides the states of a text's tokens beside the folder; None where they are of another text."""
        ...

    def batches(self, texts: Sequence[str], role: Role, seen: Seen | None = None) -> Iterator[Batch]:
        """See `EncoderKind.batches`; the vectors are the same, whether or not somebody sees the states."""
        ...


@runtime_checkable
class TakesStates(Protocol):
    """A kind of token encoder that makes its vectors of states that somebody else read."""

    def reading(self, role: Role) -> Mapping[str, Any] | None:
        """The same of the states that it takes."""
        ...

    def of_states(
        self, ids: Sequence[int], states: NDArray[np.float32], role: Role
    ) -> tuple[list[int], NDArray[np.float32]]:
        """Of one text, see `TokenEncoderKind.read`. Loads no weights."""
        ...
