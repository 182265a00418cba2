"""Two runs of the same queries -> at which node one change gained and lost, document by document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Compared
from ragline_lab.lost.fate import Fate
from ragline_lab.lost.report import Gold, Lost

_GONE, _DEEP, _HERE = range(3)
"""How well a document stands after a node: not there, there below the first k, among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """Relevant documents at a node that both runs have: among the first k, and at any rank, in one of the runs alone."""

    node: str
    gained: int
    lost: int
    found: int
    missed: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "among_first_k": {"gained": self.gained, "lost": self.lost},
            "at_any_rank": {"gained": self.found, "lost": self.missed},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A document that one run kept and the other lost. `gained`: it is the second that kept it.

    `first`: the first node where it stood better in the run that kept it: among the first k instead of below, or there
    instead of not. A node that this run has alone counts where it had the document better than any node of the other. If
    there is no such node, it is one that the other run has alone, and lost it at.
    """

    qid: str
    doc_id: str
    gained: bool
    first: str
    before: Fate
    after: Fate

    def as_dict(self) -> dict[str, Any]:
        return {
            "qid": self.qid,
            "doc_id": self.doc_id,
            "gained": self.gained,
            "first": self.first,
            "before": {"label": self.before.label, "node": self.before.node or None},
            "after": {"label": self.after.label, "node": self.after.node or None},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A run beside another. `nodes`: those of both, in the second's order; `compared`: their measures, by paired tests."""

    before: Lost
    after: Lost
    nodes: tuple[NodeChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    moves: tuple[Move, ...]
    compared: tuple[Compared, ...] = ()

    @property
    def questions(self) -> dict[str, str]:
        """Query -> what it asks."""
        return {query.qid: query.question for query in self.after.queries}

    @property
    def gained(self) -> int:
        """How many documents were gained at the end."""
        return sum(move.gained for move in self.moves)

    @property
    def lost(self) -> int:
        """How many were lost there."""
        return len(self.moves) - self.gained

    def firsts(self) -> dict[str, tuple[int, int]]:
        """Node -> documents that were gained and lost at the end, by where they first were; most first."""
        counted = Counter((move.first, move.gained) for move in self.moves)
        nodes = dict.fromkeys(move.first for move in self.moves)
        pairs = {node: (counted[node, True], counted[node, False]) for node in nodes}
        return dict(sorted(pairs.items(), key=lambda pair: (-sum(pair[1]), pair[0])))

    def by_query(self) -> dict[str, list[Move]]:
        """Query -> its moves; the queries with most of them first."""
        moves: dict[str, list[Move]] = {}
        for move in self.moves:
            moves.setdefault(move.qid, []).append(move)
        return dict(sorted(moves.items(), key=lambda pair: (-len(pair[1]), pair[0])))

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON form (docs/reference/json.md)."""
        return {
            "before": self.before.name,
            "after": self.after.name,
            "dataset": self.after.dataset,
            "split": self.after.split,
            "k": self.after.k,
            "queries": len(self.after.queries),
            "relevant": self.after.n_gold,
            "measures": [one.as_dict() for one in self.compared],
            "nodes": [node.as_dict() for node in self.nodes],
            "only_before": list(self.only_before),
            "only_after": list(self.only_after),
            "gained": self.gained,
            "lost": self.lost,
            "first_at": {node: {"gained": won, "lost": gone} for node, (won, gone) in self.firsts().items()},
            "moves": [move.as_dict() for move in self.moves],
        }


def changes_between(before: Lost, after: Lost, *, compared: Sequence[Compared] = (), common: bool = False) -> Changes:
    """What the second run gained and lost.

    Args:
        compared: measures of the two, as `compare_runs` gives them; they are handed on.
        common: over the queries that both have; otherwise others are an error.
    Raises:
        SpecError: they are of other queries or judgements, or one has answers and the other has none.
    """
    if before.answers != after.answers:
        has, lacks = (before, after) if before.answers else (after, before)
        raise SpecError(
            f"'{has.name}' has answers and '{lacks.name}' has none, so a document is kept by another rule in each. Run both "
            "with the same rag eval --measures"
        )
    before, after = _paired(before, after, common=common)
    ours, theirs = _names(after), _names(before)
    pairs = [
        (query.qid, one, other)
        for query, same in zip(after.queries, before.queries, strict=True)
        for one, other in zip(query.gold, same.gold, strict=True)
    ]
    moves = [
        _move(qid, earlier, later, before, after)
        for qid, later, earlier in pairs
        if (later.fate.label == "kept") != (earlier.fate.label == "kept")
    ]
    return Changes(
        before=before,
        after=after,
        nodes=tuple(
            _node_change(name, ((_level(b, name, before), _level(a, name, after)) for _, a, b in pairs))
            for name in ours
            if name in theirs
        ),
        only_before=tuple(name for name in theirs if name not in ours),
        only_after=tuple(name for name in ours if name not in theirs),
        moves=tuple(moves),
        compared=tuple(compared),
    )


def _paired(before: Lost, after: Lost, *, common: bool) -> tuple[Lost, Lost]:
    """Both with the same queries in the same order."""
    earlier = {query.qid: query for query in before.queries}
    later = {query.qid: query for query in after.queries}
    shared = [qid for qid in later if qid in earlier]
    if not shared:
        raise SpecError(f"'{after.name}' and '{before.name}' have no query in common: they are of other questions")
    if not common and (alone := len(earlier.keys() ^ later.keys())):
        raise SpecError(
            f"'{after.name}' and '{before.name}' were not asked the same: {alone} queries are in one of them alone, "
            f"{len(shared)} in both. --common compares over those"
        )
    for qid in shared:
        if [each.doc_id for each in earlier[qid].gold] != [each.doc_id for each in later[qid].gold]:
            raise SpecError(
                f"query '{qid}' has other relevant documents in '{after.name}' than in '{before.name}'. Follow both by the "
                "judgements of one data set and split"
            )
    return (
        replace(before, queries=tuple(earlier[qid] for qid in shared)),
        replace(after, queries=tuple(later[qid] for qid in shared)),
    )


def _names(lost: Lost) -> list[str]:
    """The nodes of a run that documents pass, in order."""
    return [*(stage.name for stage in lost.stages.ranking), *lost.answering]


def _level(gold: Gold, node: str, lost: Lost) -> int:
    """How well a document stands after a node; behind the rankings it is shown and cited, or not."""
    if lost.answers and node == lost.stages.writer:
        return _HERE if gold.cited else _GONE
    if lost.answers and node == lost.stages.context:
        return _HERE if gold.shown is not None else _GONE
    if node not in gold.ranks:
        return _GONE
    return _HERE if gold.ranks[node] <= lost.k else _DEEP


def _node_change(node: str, levels: Iterable[tuple[int, int]]) -> NodeChange:
    counted = Counter(levels)
    return NodeChange(
        node=node,
        gained=sum(n for (old, new), n in counted.items() if old < new == _HERE),
        lost=sum(n for (old, new), n in counted.items() if new < old == _HERE),
        found=sum(n for (old, new), n in counted.items() if old == _GONE < new),
        missed=sum(n for (old, new), n in counted.items() if new == _GONE < old),
    )


def _move(qid: str, earlier: Gold, later: Gold, before: Lost, after: Lost) -> Move:
    gained = later.fate.label == "kept"
    better, worse = ((later, after), (earlier, before)) if gained else ((earlier, before), (later, after))
    return Move(
        qid=qid,
        doc_id=later.doc_id,
        gained=gained,
        first=_first(*better, *worse),
        before=earlier.fate,
        after=later.fate,
    )


def _first(better: Gold, keeper: Lost, worse: Gold, loser: Lost) -> str:
    """The first node that tells the run that kept a document from the one that lost it."""
    own, others = _names(keeper), _names(loser)
    best = max(_level(worse, node, loser) for node in others)
    for node in own:
        if _level(better, node, keeper) > (_level(worse, node, loser) if node in others else best):
            return node
    if worse.fate.node and worse.fate.node not in own:
        return worse.fate.node
    alone = (node for node in own if node not in others)
    return next((node for node in alone if _level(better, node, keeper) == _HERE), own[-1])
