"""Legs: the searchable parts of an index. The table of their kinds, readable without loading any."""

from __future__ import annotations

from rag.core.plugins import shipped
from rag.core.registry import Registry


class LegTable(Registry):
    """Name of a leg -> the class that says what it is (`retrievers.legs.protocol.LegKind`).

    `shipped`: the legs that every ragline has. What is only added in one process changes no graph that does not name it.
    """

    def __init__(self, table: dict[str, str]) -> None:
        super().__init__("leg", table)
        self.shipped = tuple(table)

    def names(self) -> tuple[str, ...]:
        """All legs: ours in the order of the table, then others by name, those of installed packages from `take_in` on."""
        return (*self.shipped, *sorted(name for name in self._table if name not in self.shipped))

    def take_in(self) -> None:
        """Have the legs of installed packages too, where something is named that is none of the others."""
        for name, each in shipped(self.stage).items():
            self._table.setdefault(name, each.component)


LEGS = LegTable(
    {
        "lexical": "retrievers.legs.lexical.kind:LexicalKind",
        "dense": "retrievers.legs.dense.kind:DenseKind",
        "sparse": "retrievers.legs.sparse.kind:SparseKind",
        "late_interaction": "retrievers.legs.late_interaction.kind:LateInteractionKind",
    }
)

PLAIN = "lexical"
"""The leg that needs no model: what an index has where nothing else is asked for."""

USUAL = ("lexical", "dense")
"""What an index has where nobody says."""
