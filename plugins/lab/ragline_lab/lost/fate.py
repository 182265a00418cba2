"""What became of one relevant document, told by its ranks alone.

A document is *here* after a node if it is among the first k documents of the node's ranking, k being that of the measure. It
is kept if it is here after the last ranking node or, where answers were written, if an answer cites it. Everything else is
lost, and each lost document has one label and, but for one that nobody found, one node:

    never found   no leg gave it
    failed        the query failed, so nothing came of it
    fell          the last node it was here before and not after, which could have kept it here and did not
    cut           that node, where it passes on fewer hits than the document's place; or, for a document that was here
                  nowhere, the node that ended it, or the nearest reranker to the end that does not look so deep
    too low       a document that was here nowhere, and that all nodes handed on: the last ranking node
    prompt        here after the last ranking node, and not among the passages that the writer was shown
    not cited     shown, and no marker of the answer names it

The search goes from the end back, so that a fall that a later node made good is none. A document that the writer was shown
counts as shown, wherever it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rag.evaluate import Lists, Trail
from ragline_lab.lost.stages import Stages

Label = Literal["kept", "never found", "cut", "fell", "too low", "failed", "prompt", "not cited"]

LABELS: dict[Label, str] = {
    "kept": "among the first k at the end; where answers were written, cited",
    "never found": "no leg gave it",
    "cut": "a node was given it deeper than it looks, or deeper than what it passes on",
    "fell": "a node was given it among the first k and put it lower, or left it out",
    "too low": "handed on to the end, and never among the first k",
    "failed": "the query failed at a node",
    "prompt": "among the first k, but not among the passages that were shown to the writer",
    "not cited": "shown to the writer, but no marker names it",
}
"""What a label means, in the order in which they are told."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Standing:
    """Where a document stands after a node: its rank among documents, and the place of its first hit among hits, from 1."""

    rank: int
    place: int


Standings = Mapping[str, Mapping[str, Standing]]
"""Node -> document -> where it stands; documents that a node did not give are not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a document, and at which node; no node for one that was kept or that nobody found."""

    label: Label
    node: str = ""


def standings(lists: Lists) -> dict[str, Standing]:
    """Document -> its best standing over the lists that a node gave for a query."""
    best: dict[str, Standing] = {}
    for documents in lists:
        seen: set[str] = set()
        for place, document in enumerate(documents, start=1):
            if document not in seen:
                seen.add(document)
                own = Standing(rank=len(seen), place=place)
                best[document] = min(best.get(document, own), own)
    return best


def fate(document: str, trail: Trail, stands: Standings, stages: Stages, *, k: int) -> Fate:
    """What became of a document of a query. `stands`: of every node in the trail."""
    if document in trail.cited:
        return Fate(label="kept")
    if trail.shown is not None and document in trail.shown:
        return Fate(label="not cited", node=stages.writer or "")
    last = stages.last.name
    if last not in trail.nodes:
        return Fate(label="failed", node=trail.failed or last)
    if not _here(stands, last, document, k):
        return _lost(document, stands, stages, k=k)
    if trail.failed is not None:
        return Fate(label="failed", node=trail.failed)
    return Fate(label="kept") if trail.shown is None else Fate(label="prompt", node=stages.context or "")


def _lost(document: str, stands: Standings, stages: Stages, *, k: int) -> Fate:
    """The fate of a document that is not here at the last ranking node."""
    if not any(document in stands.get(leg.name, {}) for leg in stages.legs):
        return Fate(label="never found")
    for stage in stages.way:
        if given := [stands[source][document] for source in stage.inputs if _here(stands, source, document, k)]:
            # A node that changed nothing would have passed on what it was given at this place.
            could_keep = stage.k is None or min(given).place <= stage.k
            return Fate(label="fell" if could_keep else "cut", node=stage.name)
    ended = document not in stands[stages.last.name]
    for stage in stages.way:
        given = [stands[source][document] for source in stage.inputs if document in stands.get(source, {})]
        if given and (ended or (stage.depth is not None and min(given).place > stage.depth)):
            return Fate(label="cut", node=stage.name)
    return Fate(label="too low", node=stages.last.name)


def _here(stands: Standings, node: str, document: str, k: int) -> bool:
    return document in stands.get(node, {}) and stands[node][document].rank <= k
