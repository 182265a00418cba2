"""A set of questions as a folder in the layout of BEIR, with a record of how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Dataset
from rag.files import write_atomically, write_pieces_atomically
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
