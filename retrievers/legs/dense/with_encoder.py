"""A dense leg without its search: the encoder that made it, and reads its queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrievers.legs.model_leg import ModelLeg
from retrievers.legs.protocol import MADE_BY, Facts, Mask

if TYPE_CHECKING:
    from retrievers.encoders.sentence_encoder import SentenceEncoder
    from retrievers.legs.dense.server_encoder import ServedEncoder


def is_served(facts: Facts) -> bool:
    """Whether a server made the vectors."""
    return "server" in (facts.get(MADE_BY) or {})


def remade(made_by: Facts) -> SentenceEncoder | ServedEncoder:
    """The encoder that a leg's facts describe."""
    if "server" in made_by:
        from retrievers.legs.dense.server_encoder import ServedEncoder

        return ServedEncoder.from_description(made_by)
    from retrievers.encoders.sentence_encoder import SentenceEncoder

    return SentenceEncoder.from_description(made_by)


class WithEncoder(ModelLeg["SentenceEncoder | ServedEncoder"]):
    """A dense leg without its search: see `ModelLeg`."""

    def __init__(self, facts: Facts, mask: Mask) -> None:
        super().__init__(facts, mask, made_by=remade)
        self.served = is_served(facts)

    @property
    def structure(self) -> str:
        """How the vectors are arranged: a name of `retrievers.stores.STRUCTURES`."""
        return str(self._facts["structure"])

    def warm_up(self) -> None:
        """Load the encoder."""
        self.encoder.encode(["warm"], role="query")
