"""What a search that was ended may have missed, as an estimate from the passages that it read last."""

from __future__ import annotations

from dataclasses import dataclass

from rag.core.binomial import upper_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """How much is likely left in passages that nobody read.

    It rests on one assumption: a passage that was not read is no likelier to count than one of the last that were. That
    holds as far as the candidates came in a good order. Of the last ones, the tail, the share that counts is bounded from
    above by Clopper and Pearson, which is exact for a tail that was fixed beforehand. A search that ends because of its
    tail chose it, so the bound is somewhat too sure.

    Args:
        unread: passages that were not read.
        tail: how many of the last ones are looked at.
        finds: how many of these counted.
    """

    unread: int
    tail: int
    finds: int

    @property
    def expected(self) -> float:
        """How many of the unread count, if the share is that of the tail; all of them where nothing was read."""
        return self.unread * self.finds / self.tail if self.tail else float(self.unread)

    def at_most(self, confidence: float = 0.95) -> int:
        """How many of the unread count at most, with this confidence.

        >>> Missed(unread=1000, tail=48, finds=0).at_most(), Missed(unread=0, tail=48, finds=3).at_most()
        (60, 0)
        """
        return int(self.unread * upper_bound(self.finds, self.tail, confidence))
