"""A set of questions as a folder in the layout of BEIR, with a record of how it was made: by a model, or of what people asked.

Of what people asked, answers that they called good or bad are judgements of the passages that were cited.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Dataset
from rag.files import Entry, write_atomically, write_pieces_atomically
from rag.graphs import index_identity
from rag.indexes import Index
from rag.types import Document
from ragline_lab.questions.lines import Line
from ragline_lab.questions.report import QuestionsReport

MANIFEST = "questions.json"
_OF_CHUNKS = frozenset({"parent", "start", "end"})
"""Metadata that say where in a document a passage stands; here passages are the documents."""


def require_documents(corpus: Dataset, doc_ids: Iterable[str]) -> None:
    """Raise SpecError unless the data set has these documents."""
    wanted = set(doc_ids)
    for document in corpus.documents():
        wanted.discard(document.doc_id)
        if not wanted:
            return
    raise SpecError(
        f"data set '{corpus.folder}' lacks {len(wanted):,} documents of the index, first '{min(wanted)}': the index was made "
        "of something else. Leave out --corpus, and the index's own passages are written"
    )


def write_set(
    report: QuestionsReport, made_by: Mapping[str, Any], index: Index, corpus: Dataset | None, out: Path
) -> None:
    """Write corpus, queries, judgements, reference answers, and how they were made.

    Args:
        made_by: all that the questions depend on.
        corpus: the data set that the index was made of, to be linked; None writes the index's passages.
    """
    own = [(f"q{number}", line) for number, line in enumerate(report.own.kept, start=1)]
    others = [(f"u{number}", line) for number, line in enumerate(report.others.kept, start=1)]
    judged = {qid: line.source if corpus is None else line.document for qid, line in own}
    write_lines(out / "queries.jsonl", ({"_id": qid, "text": line.question} for qid, line in own))
    write_lines(out / "qa.jsonl", _items(own, others, judged))
    rows = "".join(f"{qid}\t{doc_id}\t1\n" for qid, doc_id in judged.items())
    write_atomically(out / "qrels" / "test.tsv", f"query-id\tcorpus-id\tscore\n{rows}")
    if corpus is None:
        write_lines(out / "corpus.jsonl", map(as_record, index.documents))
    else:
        _link(corpus, out)
    write_atomically(out / MANIFEST, json.dumps({"made_by": dict(made_by), **report.as_dict()}, indent=1) + "\n")


def _items(
    own: Iterable[tuple[str, Line]], others: Iterable[tuple[str, Line]], judged: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for qid, line in own:
        answered = {"answers": [line.answer], "answerable": True, "supporting_ids": [judged[qid]]}
        yield {"id": qid, "question": line.question, **answered}
    for qid, line in others:
        yield {"id": qid, "question": line.question, "answers": [], "answerable": False}


def as_record(passage: Document) -> dict[str, Any]:
    """A passage as a line of a corpus."""
    more = {name: value for name, value in passage.metadata.items() if name not in _OF_CHUNKS}
    return {**more, "_id": passage.doc_id, "title": passage.title, "text": passage.text}


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """A JSON object a line, one at a time."""
    write_pieces_atomically(path, (json.dumps(record) + "\n" for record in records))


def _link(corpus: Dataset, out: Path) -> None:
    """A link to the data set's corpus, plain or packed, in place of a copy."""
    [source] = corpus.corpus
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        (out / name).unlink(missing_ok=True)
    (out / source.name).symlink_to(source.resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedSet:
    """What was written. `left_out`: questions of which no good answer cites a passage that the index has."""

    out: str
    rated: int
    questions: int
    judgements: int
    left_out: int

    def lines(self) -> list[str]:
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
