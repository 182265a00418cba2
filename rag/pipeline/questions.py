"""Questions from a file, one at a time: JSONL in the forms that data sets come in, or plain lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rag.core.access import Asker, read_asker
from rag.core.errors import SpecError
from rag.core.filters import Filter, Where, asked_by, both
from rag.core.lines import numbered, records
from rag.core.types import Query
from rag.pipeline.seen_texts import Digests

_IDS = ("id", "qid", "_id", "question_id")
_TEXTS = ("question", "query", "text", "input")


def read_questions(
    path: Path, *, limit: int | None = None, where: Where | None = None, asker: Asker | None = None
) -> Iterator[Query]:
    """The questions of a file in its order, at most `limit`. A `.gz` file is unpacked on the way.

    Read are FlashRAG's form (`id`, `question`), DPR's (`question`, no id: the line's number is it), and BEIR's (`_id`,
    `text`). A metadata filter may stand under `where`, and who asks under `asker`. Answers and other keys are left alone.
    A file whose name ends in `.txt` holds a question a line; the line's number is its id.

    Args:
        where: a filter for all of them, beside their own.
        asker: who asks those that do not say it themselves.
    Raises:
        SpecError: a line is no JSON object, has no question, repeats an id, or has a filter or an asker that cannot be
            understood; with file and line.
    """
    return (query for _, query in numbered_questions(path, limit=limit, where=where, asker=asker))


def numbered_questions(
    path: Path, *, limit: int | None = None, where: Where | None = None, asker: Asker | None = None
) -> Iterator[tuple[int, Query]]:
    """(number of the line from 1, question), as `read_questions` has them."""
    seen = Digests()
    for number, record in islice(_records(path), limit):
        place = f"{path}:{number}"
        qid = _id(record, place) or str(number)
        if qid in seen:
            raise SpecError(
                f"{place}: the id '{qid}' is that of line {_first_line(path, qid)} too; every question needs its own. "
                "Delete one of the two lines, or give it another id"
            )
        seen.add(qid)
        yield number, Query(qid=qid, text=_text(record, place), where=_where(record, where, asker, place))


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.name.lower().removesuffix(".gz").endswith(".txt"):
        return ((number, {"question": line.strip()}) for number, line in numbered(path))
    return records(path)


def _first_line(path: Path, qid: str) -> int:
    return next(number for number, record in _records(path) if (_id(record, "") or str(number)) == qid)


def _id(record: dict[str, Any], where: str) -> str:
    id_ = next((record[key] for key in _IDS if record.get(key) is not None), "")
    if isinstance(id_, bool) or not isinstance(id_, str | int):
        raise SpecError(f"{where}: an id is a text or a whole number, not {type(id_).__name__}")
    return str(id_)


def _where(record: dict[str, Any], also: Where | None, asker: Asker | None, place: str) -> Filter | None:
    asking = asker if record.get("asker") is None else read_asker(record["asker"], place=place)
    try:
        return asked_by(asking, both(also, record.get("where")))
    except SpecError as error:
        raise SpecError(f"{place}: {error}") from None


def _text(record: dict[str, Any], where: str) -> str:
    text = next((record[key] for key in _TEXTS if key in record), None)
    if not isinstance(text, str) or not text.strip():
        raise SpecError(f"{where}: no question; a line has a text under one of {', '.join(_TEXTS)}")
    return text
