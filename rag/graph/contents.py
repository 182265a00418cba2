"""Which kinds of content a graph reads, and whether that suits what an index or a query holds. Loads no weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rag.core.content_forms import IN_WORDS
from rag.core.contents import ANY, TEXT_ALONE, kinds_of
from rag.core.errors import SpecError
from rag.core.powers import reads_of
from rag.core.protocols import ShowsKinds
from rag.core.types import Query
from rag.graph.checked import Checked, Made
from rag.graph.wiring import ancestors
from retrievers.index_protocol import HasParts, Index, kinds_held
from retrievers.legs.protocol import leg_reads


def check_kinds(checked: Checked) -> None:
    """Complain of an index that holds kinds which no leg of it reads.

    What else leaves a kind out is noted: a leg beside one that reads it, a reranker and a generator.
    """
    held = kinds_held(checked.index)
    if checked.index is None or not held:
        return
    _check_legs(checked, checked.index, held)
    for name, facts in {**checked.made, **checked.inner_made}.items():
        for each in _with_inline(facts):
            reads = reads_of(each.part)
            left_out = frozenset() if reads >= ANY else held - reads
            stage = each.use.partition(".")[0]
            if left_out and stage == "rerank":
                checked.notes.append(
                    f"node '{name}': {each.use} reads {_named(reads)}, and of {_named(left_out)}, which the index holds, what "
                    "stands for it in words: a caption or a name"
                )
            elif left_out and stage == "generate":
                checked.notes.append(f"node '{name}': {each.use} leaves out {_named(left_out)}, which the index holds")


def check_shown(checked: Checked) -> None:
    """Complain of a generator that does not read what a stage before it puts before its model."""
    inputs = {name: node.inputs for name, node in checked.body.nodes.items()}
    showing = {name: part.shows for name, part in checked.parts.items() if isinstance(part, ShowsKinds)}
    for name, made in checked.made.items():
        before = showing.keys() & ancestors(name, inputs) if made.use.startswith("generate.") else ()
        for above in sorted(before):
            if unread := showing[above] - reads_of(made.part):
                checked.complain(
                    ("nodes", name),
                    f"{made.use} does not read {_named(unread)}, which '{above}' puts before its model. Use llm.server with"
                    f" vision: true and a server whose model sees, or leave '{above}' out",
                )


def _check_legs(checked: Checked, index: Index, held: frozenset[str]) -> None:
    reads = {leg: leg_reads(index.facts(leg)) for leg in checked.legs if leg in index.legs}
    unread = held - frozenset().union(*reads.values())
    parts = index.parts.values() if isinstance(index, HasParts) else [index]  # a leg of some is no leg of the whole
    others = {leg: leg_reads(part.facts(leg)) for part in parts for leg in part.legs if leg not in reads}
    for leg, kinds in others.items() if reads else ():
        if read_there := unread & kinds:
            unread -= read_there
            checked.notes.append(
                f"leg '{leg}' reads {_named(read_there)}, which the index holds, and this graph does not search it"
            )
    if reads and unread:
        checked.complain(
            ("nodes",),
            f"the index holds {_named(unread)}, and no leg that this graph searches reads it: "
            f"{', '.join(f'{leg} reads {_named(kinds)}' for leg, kinds in reads.items())}. Search a leg whose encoder does, "
            "or index text alone",
        )
    for leg, kinds in reads.items():
        if left_out := held - unread - kinds:
            checked.notes.append(
                f"leg '{leg}' leaves out {_named(left_out)}, which the index holds; another leg reads it"
            )


def _with_inline(facts: Made) -> Iterator[Made]:
    yield facts
    for inner in facts.inline:
        yield from _with_inline(inner)


def require_read(queries: Iterable[Query], parts: Iterable[Any], index: Index | None, legs: Iterable[str]) -> None:
    """Return if every kind that queries or their history hold is read by some part or leg. Text alone costs a look.

    Raises:
        SpecError: names the kind, and what is read.
    """
    kinds: set[str] = set()
    for query in queries:
        if query.contents:
            kinds |= kinds_of(query.contents)
        for turn in query.history:
            if turn.contents:
                kinds |= kinds_of(turn.contents)
    if not (kinds := {kind for kind in kinds if kind not in IN_WORDS}):
        return
    read = TEXT_ALONE.union(*map(reads_of, parts)) - ANY  # what looks at none reads no question's either
    if index is not None:
        read = read.union(*(leg_reads(index.facts(leg)) for leg in legs if leg in index.legs))
    if unread := kinds - read:
        raise SpecError(f"a query holds {_named(unread)}, and this graph reads {_named(read)}. Leave it out")


def _named(kinds: Iterable[str]) -> str:
    return " and ".join(sorted(kinds)) if set(kinds) != TEXT_ALONE else "text alone"
