"""Legs: the searchable parts of an index. The table of their kinds, readable without loading any."""

from __future__ import annotations

from collections.abc import Iterable

from rag.core.registry import Registry


class LegTable(Registry):
    """Name of a leg -> the class that says what it is (`retrievers.legs.protocol.LegKind`).

    `shipped`: the legs that every ragline has. What is only added in one process changes no graph that does not name it.
    """

    def __init__(self, table: dict[str, str]) -> None:
        super().__init__("leg", table)
        self.shipped = tuple(table)

    def ordered(self, legs: Iterable[str]) -> tuple[str, ...]:
        """Distinct legs in the order of the table, in which they are built.

        Raises:
            ValueError: none, or an unknown one.
        """
        wanted = list(legs)
        if not wanted or set(wanted) - set(self._table):
            raise ValueError(f"legs must be some of {', '.join(self._table)}; got {', '.join(wanted) or 'none'}")
        return tuple(name for name in self._table if name in wanted)

    def names(self) -> tuple[str, ...]:
        """All legs in the order of the table."""
        return tuple(self._table)


LEGS = LegTable(
    {
        "lexical": "retrievers.legs.lexical.kind:LexicalKind",
        "dense": "retrievers.legs.dense.kind:DenseKind",
        "promptreps": "retrievers.legs.promptreps.kind:PromptRepsKind",
        "sparse": "retrievers.legs.sparse.kind:SparseKind",
        "late_interaction": "retrievers.legs.late_interaction.kind:LateInteractionKind",
    }
)

PLAIN = "lexical"
"""The leg that needs no model: what an index has where nothing else is asked for."""

USUAL = ("lexical", "dense")
"""What an index has where nobody says."""
