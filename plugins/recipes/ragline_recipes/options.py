"""Options that a question lists, and the part of a graph that lies between what it names and what they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ragline_recipes.triples import Triple, TripleGraph

_OPTION = re.compile(r"^[ \t]*\(?([A-Za-z]|[1-9])[.):][ \t]+(\S[^\n]*)$", re.MULTILINE)
_MOST_OPTIONS, _MOST_ENTITIES = 26, 100_000


def options_of(text: str) -> tuple[str, tuple[str, ...]]:
    """The question without its options, and these: lines such as "A. Paris" or "(b) Rome" at its end, two at least."""
    found = list(_OPTION.finditer(text))
    if len(found) < 2 or len(found) > _MOST_OPTIONS or text[found[-1].end() :].strip():
        return text, ()
    return text[: found[0].start()].rstrip(), tuple(each[2].strip() for each in found)


def between(
    graph: TripleGraph, starts: Iterable[str], ends: Iterable[str], *, hops: int, back: bool
) -> frozenset[Triple]:
    """The triples on ways of at most so many steps from an entity of `starts` to one of `ends`."""
    starts = [*starts]
    ahead = _distances(graph, starts, hops, forward=True, backward=back)
    behind = _distances(graph, ends, hops, forward=back, backward=True, but_not_through=frozenset(starts))
    found = set()
    for entity, steps in ahead.items():
        for triple, reached in _edges(graph, entity, forward=True, backward=back):
            if reached in behind and steps + 1 + behind[reached] <= hops:
                found.add(triple)
    return frozenset(found)


def _distances(
    graph: TripleGraph,
    starts: Iterable[str],
    hops: int,
    *,
    forward: bool,
    backward: bool,
    but_not_through: frozenset[str] = frozenset(),
) -> Mapping[str, int]:
    """Entity -> fewest steps from any of `starts`, up to `hops`."""
    distances = dict.fromkeys(starts, 0)
    edge: Sequence[str] = list(distances)
    for step in range(1, hops + 1):
        fresh: dict[str, None] = {}
        for entity in (each for each in edge if each not in but_not_through):
            for _, reached in _edges(graph, entity, forward=forward, backward=backward):
                if reached not in distances and len(distances) + len(fresh) < _MOST_ENTITIES:
                    fresh[reached] = None
        distances |= dict.fromkeys(fresh, step)
        edge = list(fresh)
    return distances


def _edges(graph: TripleGraph, entity: str, *, forward: bool, backward: bool) -> Iterable[tuple[Triple, str]]:
    if forward:
        yield from ((triple, triple.tail) for each in graph.forward.get(entity, {}).values() for triple in each)
    if backward:
        yield from ((triple, triple.head) for each in graph.backward.get(entity, {}).values() for triple in each)
