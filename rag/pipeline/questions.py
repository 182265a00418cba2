"""Questions from a JSONL file, one at a time, in the forms that data sets come in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.core.lines import numbered, records
from rag.core.types import Query
from rag.pipeline.seen_texts import Digests

_IDS = ("id", "qid", "_id", "question_id")
_TEXTS = ("question", "query", "text", "input")


def read_questions(path: Path, *, limit: int | None = None) -> Iterator[Query]:
    """The questions of a file in its order, at most `limit`. A `.gz` file is unpacked on the way.

    Read are FlashRAG's form (`id`, `question`), DPR's (`question`, no id: the line's number is it), and BEIR's (`_id`,
    `text`). Answers and other keys are left alone.

    Raises:
        SpecError: a line is no JSON object, has no question, or repeats an id; with file and line.
    """
    seen = Digests()
    for number, record in islice(records(path), limit):
        where = f"{path}:{number}"
        qid = _id(record, where) or str(number)
        if qid in seen:
            raise SpecError(f"{where}: the id '{qid}' was there before; every question needs its own")
        seen.add(qid)
        yield Query(qid=qid, text=_text(record, where))


def count_questions(path: Path, *, limit: int | None = None) -> int:
    """How many questions `read_questions` would give."""
    return sum(1 for _ in islice(numbered(path), limit))


def _id(record: dict[str, Any], where: str) -> str:
    id_ = next((record[key] for key in _IDS if record.get(key) is not None), "")
    if isinstance(id_, bool) or not isinstance(id_, str | int):
        raise SpecError(f"{where}: an id is a text or a whole number, got {str(id_)[:80]!r}")
    return str(id_)


def _text(record: dict[str, Any], where: str) -> str:
    text = next((record[key] for key in _TEXTS if key in record), None)
    if not isinstance(text, str) or not text.strip():
        raise SpecError(f"{where}: no question; a line has a text under one of {', '.join(_TEXTS)}")
    return text
