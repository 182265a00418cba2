"""How much memory a graph will need, part by part, before anything of it is loaded; and whether it fits.

What is added up is the most that each part takes, all at the same time. A pipeline that answers one question after
another needs less; one that is refused here may run out of memory in the middle of a long batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.core.errors import RagError, SpecError
from rag.core.memory import LIMIT, RAM, Machine, Need, TellsMemory, gib, this_machine
from rag.pipeline.release import inside, models_of, searches

if TYPE_CHECKING:
    from rag.graph.build import Graph
    from rag.graph.checked import Checked
    from retrievers.index_protocol import Index

_PROGRAM = 160 << 20
_TORCH = 400 << 20
"""Python with ragline, and what torch and transformers add to it once they are imported: resident sizes, rounded up."""
_NAMED = 5
"""Parts that a refusal names, the largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one part of a graph needs. `with_`: the part that holds the same memory already.

    `n_bytes`: what it counts; nothing where another part holds it, or where it is pages of files.
    """

    part: str
    need: Need
    with_: str = ""

    @property
    def n_bytes(self) -> int:
        return 0 if self.with_ or self.need.mapped else self.need.n_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """`shares` in the order of the graph; `notes` say what could not be counted; `wrong` what cannot be at all."""

    machine: Machine
    shares: tuple[Share, ...]
    notes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    whose: str = "the graph"

    @property
    def places(self) -> tuple[str, ...]:
        """RAM and the GPUs that something needs."""
        return tuple(dict.fromkeys(share.need.where for share in self.shares))

    def total(self, where: str = RAM) -> int:
        """Bytes needed in one place."""
        return sum(share.n_bytes for share in self.shares if share.need.where == where)

    @property
    def problems(self) -> tuple[str, ...]:
        """Empty if all of it fits, as far as is known."""
        over = [where for where in self.places if self.total(where) > (self.machine.room(where) or float("inf"))]
        return (*self.wrong, *map(self._refusal, over))

    def table(self) -> list[str]:
        """Lines for people: every part, what it needs, and sums against what there is."""
        rows = [(share.part, share.need.what, share.need.where, _amount(share)) for share in self.shares]
        for where in self.places:
            room = self.machine.room(where)
            has = "unknown" if room is None else gib(room)
            rows.append(("all parts", f"of {has}", where, gib(self.total(where))))
        widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
        lines = [
            f"{part:<{widths[0]}}  {what:<{widths[1]}}  {where:<{widths[2]}}  {amount:>{widths[3]}}"
            for part, what, where, amount in rows
        ]
        return [*lines, *(f"note: {note}" for note in self.notes)]

    def _refusal(self, where: str) -> str:
        largest = sorted((s for s in self.shares if s.need.where == where and s.n_bytes), key=lambda s: -s.n_bytes)
        parts = ", ".join(f"{share.part} {share.need.what} {gib(share.n_bytes)}" for share in largest[:_NAMED])
        smaller = "; ".join(dict.fromkeys(share.need.smaller for share in largest[:_NAMED] if share.need.smaller))
        room = gib(self.machine.room(where) or 0)
        whose = f"{self.machine.said_by} allows {room}" if where == RAM else f"it has {room}"
        override = f", or set {LIMIT} if you know better (inf: no limit)" if where == RAM else ""
        return (
            f"memory: {self.whose} can need {gib(self.total(where))} of {where}, but {whose}. Largest: {parts}. "
            f"Take a smaller model{f'; {smaller}' if smaller else ''}{override}."
        )


def plan_memory(
    graph: Graph | Checked, *, index: Index | None = None, machine: Machine | None = None, node: str | None = None
) -> MemoryPlan:
    """What the models, nodes and index of a graph will need. Loads no weights and fetches nothing.

    Args:
        index: the one that the graph searches.
        machine: where it will run; None looks at this one.
        node: count only what this node reads, as if all else had let go.
    """
    owners = _owners(graph, node)
    if index is not None and graph.legs and (node is None or searches(graph, node)):
        owners.append(("index", _Searched(index, graph.legs)))
    whose = "the graph" if node is None else f"node '{node}' alone"
    return _plan(owners, [graph], index=index, machine=machine, whose=whose)


def plan_side_by_side(
    graphs: Mapping[str, Graph], *, index: Index | None = None, machine: Machine | None = None
) -> MemoryPlan:
    """What several graphs over one index will need in one process: weights and legs that they share count once."""
    owners = [(f"{name}: {owner}", part) for name, graph in graphs.items() for owner, part in _owners(graph)]
    legs = list(dict.fromkeys(leg for graph in graphs.values() for leg in graph.legs))
    if index is not None and legs:
        owners.append(("index", _Searched(index, legs)))
    return _plan(owners, list(graphs.values()), index=index, machine=machine, whose="all graphs together")


def _owners(graph: Graph | Checked, node: str | None = None) -> list[tuple[str, Any]]:
    """Parts by what they are called; with a node, those that it reads."""
    models, parts = graph.models, graph.parts
    if node is not None:
        models = {name: model for name, model in models.items() if name in models_of(graph, node)}
        parts = {node: parts[node]}
    owners: list[tuple[str, Any]] = [(f"model '{name}'", model) for name, model in models.items()]
    owners += [(f"node '{name}'", part) for name, part in parts.items()]
    return [*owners, *(("an inner component", part) for part in inside(graph))]


def _plan(
    owners: Sequence[tuple[str, Any]],
    graphs: Sequence[Graph | Checked],
    *,
    index: Index | None,
    machine: Machine | None,
    whose: str,
) -> MemoryPlan:
    counted = [(owner, part) for owner, part in owners if isinstance(part, TellsMemory)]
    needs: list[tuple[str, Need]] = []
    notes: list[str] = []
    wrong: list[str] = []
    for owner, part in counted:
        try:
            needs += [(owner, need) for need in part.memory()]
        except SpecError as cause:
            wrong.append(f"memory: {owner}: {cause}")
        except RagError as cause:
            notes.append(f"{owner} is not counted: {cause}")
    if index is None and any(graph.legs for graph in graphs):
        notes.append("the index and the nodes that search it are not counted: give one with --index DIR")
    program = _PROGRAM + (_TORCH if counted and _has_weights(graphs, needs) else 0)
    needs.insert(0, ("program", Need(what="Python and its libraries", n_bytes=program)))
    return MemoryPlan(
        machine=this_machine() if machine is None else machine,
        shares=tuple(_shared(needs)),
        notes=tuple(notes),
        wrong=tuple(wrong),
        whose=whose,
    )


def plan_turns(
    graph: Graph | Checked, *, by_stage: bool, index: Index | None = None, machine: Machine | None = None
) -> list[MemoryPlan]:
    """One plan of the whole graph; by stage one for each node, of which the largest must fit. See `plan_memory`."""
    machine = this_machine() if machine is None else machine
    nodes: list[str | None] = [*graph.parts] if by_stage else [None]
    return [plan_memory(graph, index=index, machine=machine, node=node) for node in nodes]


def require_room_together(graphs: Mapping[str, Graph], *, index: Index | None) -> None:
    """Go on if several graphs over one index fit into one process.

    Raises:
        SpecError: they do not; with numbers.
    """
    require_room([plan_side_by_side(graphs, index=index)])


def require_room(plans: Iterable[MemoryPlan]) -> None:
    """Do nothing if each of them fits.

    Raises:
        SpecError: one does not; with numbers, of all that do not.
    """
    if problems := [problem for plan in plans for problem in plan.problems]:
        raise SpecError(*problems)


class _Searched:
    """The legs of an index that a graph uses."""

    def __init__(self, index: Index, legs: Sequence[str]) -> None:
        self._index, self._legs = index, legs

    def memory(self) -> Sequence[Need]:
        return self._index.memory(self._legs)


def _has_weights(graphs: Iterable[Graph | Checked], needs: Iterable[tuple[str, Need]]) -> bool:
    return any(graph.models for graph in graphs) or any("weights" in need.what for _, need in needs)


def _shared(needs: Iterable[tuple[str, Need]]) -> Iterable[Share]:
    """Of needs that are one copy, the first counts."""
    holders: dict[Any, str] = {}
    for part, need in needs:
        mark = (need.copy, need.where)
        held = need.copy is not None and mark in holders
        yield Share(part=part, need=need, with_=holders[mark] if held else "")
        holders.setdefault(mark, part)


def _amount(share: Share) -> str:
    if share.with_:
        return f"that of {share.with_}"
    return f"{gib(share.need.n_bytes)} mapped" if share.need.mapped else gib(share.need.n_bytes)
