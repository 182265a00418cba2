"""Test sets of what people asked: answers that they called good or bad are judgements of the passages that were cited."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rag.errors import SpecError
from rag.files import Entry, write_atomically
from rag.graphs import index_identity
from rag.indexes import Index
from ragline_lab.questions.written import MANIFEST, as_record, write_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedSet:
    """What was written. `left_out`: questions of which no good answer cites a passage that the index has."""

    out: str
    rated: int
    questions: int
    judgements: int
    left_out: int

    def lines(self) -> list[str]:
        """The same in words."""
        return [
            f"{self.rated:,} rated answers: {self.questions:,} questions with {self.judgements:,} judged passages",
            f"{self.left_out:,} questions left out: no good answer to them cites a passage of this index",
        ]


def judged(entries: Iterable[Entry]) -> dict[str, dict[str, int]]:
    """Question -> id of a passage -> 1 where a good answer cites it, 0 where only bad ones do.

    Entries come oldest first: of two ratings the last one counts. Letter case and spaces make no other question.
    """
    asked: dict[str, str] = {}
    grades: dict[str, dict[str, int]] = {}
    for entry in entries:
        if entry.good is None:
            continue
        question = asked.setdefault(" ".join(entry.question.split()).casefold(), entry.question)
        grades.setdefault(question, {}).update(dict.fromkeys(entry.cited, int(entry.good)))
    return grades


def write_rated(entries: Iterable[Entry], index: Index, out: Path) -> RatedSet:
    """Write a folder in the layout of BEIR: the index's passages, the questions, and what their ratings judge.

    It says nothing of who asked. Passages that nobody cited are not judged, so a graph that finds others gains nothing here.

    Raises:
        SpecError: the folder is there and not empty, or no question is left.
    """
    if out.exists() and any(out.iterdir()):
        raise SpecError(f"'{out}' is not empty. Name a new folder")
    rated = [entry for entry in entries if entry.good is not None]
    known = {question: _known(grades, index) for question, grades in judged(rated).items()}
    kept = {question: grades for question, grades in known.items() if 1 in grades.values()}
    if not kept:
        raise SpecError(
            f"of {len(rated):,} rated answers no good one cites a passage of index '{index.name}'. Answers are rated by the "
            "thumbs of the page, POST /v1/feedback, or rag log FILE --rate ID good"
        )
    qids = {question: f"q{number}" for number, question in enumerate(kept, start=1)}
    rows = [f"{qids[question]}\t{doc_id}\t{grade}\n" for question, own in kept.items() for doc_id, grade in own.items()]
    report = RatedSet(
        out=str(out), rated=len(rated), questions=len(kept), judgements=len(rows), left_out=len(known) - len(kept)
    )
    out.mkdir(parents=True, exist_ok=True)
    write_lines(out / "queries.jsonl", ({"_id": qid, "text": question} for question, qid in qids.items()))
    write_atomically(out / "qrels" / "test.tsv", f"query-id\tcorpus-id\tscore\n{''.join(rows)}")
    write_lines(out / "corpus.jsonl", map(as_record, index.documents))
    made_by = {"from": "rated answers", "index": index_identity(index)}
    said = {"rated": report.rated, "questions": report.questions, "judgements": report.judgements}
    write_atomically(
        out / MANIFEST, json.dumps({"made_by": made_by, **said, "left_out": report.left_out}, indent=1) + "\n"
    )
    return report


def _known(grades: Mapping[str, int], index: Index) -> dict[str, int]:
    """Those of passages that the index has."""
    known = {}
    for doc_id, grade in grades.items():
        try:
            index.documents.row(doc_id)
        except KeyError:
            continue
        known[doc_id] = grade
    return known
