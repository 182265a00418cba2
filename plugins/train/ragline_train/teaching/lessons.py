"""What is taught, what is kept apart to tell the gain, and what is left out of both and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from rag.errors import SpecError
from rag.files import data_sha256
from rag.types import Document
from ragline_train.pseudo import Case
from ragline_train.teaching.guard import Guard, copies, question_digest
from ragline_train.teaching.questions import Asked

APART = 0.2
"""Share of the clusters of passages whose questions are kept apart: one half to choose by, the other to tell the gain by."""
MOST_CHOOSING, MOST_TELLING = 60, 150
"""Questions kept apart. The first are asked whenever a step may be chosen, the others only for what was chosen."""
SHOWN = 12
"""Candidates of a question kept apart."""
FEWEST_APART = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """Cases by what they are for. `taught` teach. By `choosing` the best step is chosen. `telling` tell what it gained, and decide
    nothing. `left_out`: reason -> questions. `teacher`: who graded.
    """

    taught: tuple[Case, ...]
    choosing: tuple[Case, ...]
    telling: tuple[Case, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    teacher: str = ""

    @property
    def digest(self) -> str:
        """sha256 of all that is taught and kept apart, in order: a run goes on with the same data alone."""
        return data_sha256([_data(each) for each in (self.taught, self.choosing, self.telling)])

    @property
    def question_digests(self) -> list[str]:
        """Of each taught question, so that whoever judges the model later can tell that none of theirs is among them."""
        return sorted({question_digest(case.query) for case in self.taught})

    @property
    def doc_ids(self) -> list[str]:
        return sorted({each.parent for case in self.taught for each in case.candidates})

    def told_by_source(self) -> Lessons:
        """The same, in which of the questions kept apart the source alone is relevant."""
        choosing, telling = (tuple(map(_by_source, cases)) for cases in (self.choosing, self.telling))
        return replace(self, choosing=choosing, telling=telling)

    def counts(self) -> dict[str, int]:
        """Origin -> questions that teach."""
        return dict(sorted(Counter(case.origin for case in self.taught).items()))


@dataclass(frozen=True, slots=True)
class Split:
    """Documents whose passages are kept apart, to choose by and to tell by.

    They are whole clusters of copies, and all passages of a document with them. A cluster goes by a hash of its first document
    and the seed, so that it stays where it is when other documents come.
    """

    choosing: frozenset[str]
    telling: frozenset[str]

    @classmethod
    def of(cls, documents: Sequence[Document], *, seed: int = 0, share: float = APART) -> Split:
        """Of all documents that may teach."""
        parents = list(dict.fromkeys(document.parent for document in documents))
        first = dict(zip((d.doc_id for d in documents), copies([d.text for d in documents]), strict=True))
        cluster = _joined(documents, first)
        places = {parent: crc32(f"{seed} {cluster[parent]}".encode()) / 2**32 for parent in parents}
        return cls(
            frozenset(parent for parent, place in places.items() if place < share / 2),
            frozenset(parent for parent, place in places.items() if share / 2 <= place < share),
        )

    def has(self, document: Document) -> bool:
        return document.parent in self.choosing or document.parent in self.telling


def _joined(documents: Sequence[Document], first: Mapping[str, int]) -> dict[str, str]:
    """parent -> the first parent of its cluster: documents that have copies of one another's passages are together."""
    leader: dict[str, str] = {}

    def root(parent: str) -> str:
        while leader.setdefault(parent, parent) != parent:
            leader[parent] = leader[leader[parent]]
            parent = leader[parent]
        return parent

    for document in documents:
        one, two = sorted((root(documents[first[document.doc_id]].parent), root(document.parent)))
        leader[two] = one
    return {parent: root(parent) for parent in leader}


def round_trip(cases: Sequence[Case], *, first: int = 5) -> tuple[list[Case], dict[str, int]]:
    """Cases without written questions that do not lead back: their passage is not among the teacher's first (SPTAR's filter)."""
    kept = [case for case in cases if case.origin != "written" or _leads_back(case, first)]
    n = len(cases) - len(kept)
    return kept, {"written, and does not lead back to its passage": n} if n else {}


def _leads_back(case: Case, first: int) -> bool:
    own = next(grade for grade, each in zip(case.grades, case.candidates, strict=True) if each.doc_id == case.source)
    return sum(grade > own for grade in case.grades) < first


def divided(cases: Sequence[Case], split: Split, *, left_out: Mapping[str, int], teacher: str) -> Lessons:
    """Cases as those that teach and those kept apart.

    A passage that is kept apart is in no case that teaches, not even as a negative. A case whose grades are all alike says
    nothing and is left out, as is one that has fewer than two candidates by then.

    Raises:
        SpecError: too little is left to teach, or to tell a gain by.
    """
    counts = Counter(left_out)
    taught, choosing, telling = list[Case](), list[Case](), list[Case]()
    for case in cases:
        source = next((each for each in case.candidates if each.doc_id == case.source), None)
        if source is not None and split.has(source):
            (choosing if source.parent in split.choosing else telling).append(_shortened(case))
            continue
        places = [place for place, each in enumerate(case.candidates) if not split.has(each)]
        if len(places) < 2:
            counts["fewer than two candidates"] += 1
            continue
        grades = tuple(case.grades[place] for place in places)
        if max(grades) - min(grades) < 1e-9:
            counts["the teacher finds all alike"] += 1
            continue
        taught.append(_of(case, places))
    if len(taught) < 2:
        reasons = ", ".join(f"{n} are left out ({why})" for why, n in counts.items()) or "none is left out"
        raise SpecError(
            f"{len(taught)} questions are left to teach, and two are the fewest. Of {len(cases) + sum(left_out.values())}"
            f" {reasons}. More or longer documents, or a log of questions (--questions), would help"
        )
    if min(len(choosing), len(telling)) < FEWEST_APART:
        raise SpecError(
            f"{len(choosing)} and {len(telling)} questions are kept apart, to choose the best step by and to tell its gain by, and"
            f" {FEWEST_APART} of each are the fewest. More documents, or a log of questions (--questions), would help"
        )
    return Lessons(
        taught=tuple(taught),
        choosing=tuple(choosing[:MOST_CHOOSING]),
        telling=tuple(telling[:MOST_TELLING]),
        left_out=dict(counts),
        teacher=teacher,
    )


def unguarded(asked: Sequence[Asked], guard: Guard, *, place: str) -> tuple[list[Asked], dict[str, int]]:
    """Questions that give no judged one away, and how many did.

    What a corpus asks of itself is left out and counted. What somebody handed over is refused, for it is theirs to mend.

    Raises:
        LeakedQuestion: a question that was handed over is a judged one, or nearly so.
    """
    handed = [one.text for one in asked if one.origin in ("log", "judged")]
    guard.require_none(handed, place=place)
    kept = [one for one in asked if one.origin in ("log", "judged") or guard.leak(one.text) is None]
    n = len(asked) - len(kept)
    return kept, {"like a question that judges": n} if n else {}


def _by_source(case: Case) -> Case:
    return replace(case, grades=tuple(float(each.doc_id == case.source) for each in case.candidates))


def _shortened(case: Case) -> Case:
    """Its source, and the first others up to `SHOWN`."""
    places = sorted(range(len(case.candidates)), key=lambda place: case.candidates[place].doc_id != case.source)[:SHOWN]
    places.sort(key=lambda place: case.candidates[place].doc_id)  # so that no order gives the source away
    return _of(case, places)


def _of(case: Case, places: Sequence[int]) -> Case:
    """The case with the candidates at these places alone."""
    return replace(
        case,
        candidates=tuple(case.candidates[place] for place in places),
        grades=tuple(case.grades[place] for place in places),
        first=tuple(case.first[place] for place in places) if case.first else (),
    )


def _data(cases: Sequence[Case]) -> list[str]:
    return [
        json.dumps([case.query, [each.digest.hex() for each in case.candidates], [round(g, 6) for g in case.grades]])
        for case in cases
    ]
