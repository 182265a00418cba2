"""What an evaluation leaves on disk: values per query as CSV, means as one JSON object."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.evaluate.measures import Evaluation


def write_per_query(evaluation: Evaluation, path: Path) -> None:
    """A line per query: qid, then one column per measure, empty where the measure does not hold for the query.

    A qid that a spreadsheet would run as a formula is written with an apostrophe before it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["qid", *evaluation.per_query])
        columns = list(evaluation.per_query.values())
        for qid in dict.fromkeys(qid for values in columns for qid in values):
            writer.writerow([_inert(qid), *(repr(values[qid]) if qid in values else "" for values in columns)])


def read_per_query(path: Path) -> dict[str, dict[str, float]]:
    """What `write_per_query` wrote: measure -> qid -> value.

    Raises:
        SpecError: the file is not there, or is no such table.
    """
    columns: dict[str, dict[str, float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                qid = _live(row.pop("qid"))
                for measure, value in row.items():
                    column = columns.setdefault(measure, {})
                    if value:
                        column[qid] = float(value)
    except OSError as cause:
        raise SpecError(f"cannot read {path}: {cause.strerror}") from cause
    except (KeyError, TypeError, ValueError, csv.Error) as cause:
        raise SpecError(f"{path} is no table of values per query, as rag eval writes them: {cause}") from cause
    return columns


def read_written(path: Path, *, by: str = "rag eval", absent: str = "run it again") -> Any:
    """What a JSON file of a run folder holds.

    Args:
        by: the command that writes it. `absent`: what to do where it is not there. Both are for the messages.
    Raises:
        SpecError: the file is not there, or was cut off.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as cause:
        raise SpecError(f"{path} cannot be read ({cause.strerror}). `{by}` writes it; {absent}") from None
    except (ValueError, RecursionError) as cause:
        raise SpecError(f"{path} is no JSON ({cause}): it was cut off or changed. Run {by} again") from None


def read_object(path: Path, *, by: str = "rag eval") -> dict[str, Any]:
    """The same of a file that holds one JSON object.

    Raises:
        SpecError: as `read_written`, or it holds something else.
    """
    data = read_written(path, by=by)
    if not isinstance(data, dict):
        raise SpecError(f"{path}: a JSON object is wanted, as {by} writes it, not {type(data).__name__}")
    return data


def results(evaluation: Evaluation, *, seconds: float | None = None, **more: Any) -> dict[str, Any]:
    """The JSON object of `rag eval`: {"measures": {name: mean}, "queries": n, "seconds": s, ...}."""
    timed = {} if seconds is None else {"seconds": seconds}
    return {"measures": dict(evaluation.measures), "queries": evaluation.n_queries, **timed, **more}


def write_results(record: Mapping[str, Any], path: Path) -> None:
    """Write a JSON object. NaN and infinity, which JSON lacks, raise ValueError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


_RUN = {"=", "+", "-", "@", "\t", "\r"}
"""What a spreadsheet takes for a formula begins so."""


def _inert(text: str) -> str:
    return f"'{text}" if text.lstrip("'")[:1] in _RUN else text


def _live(text: str) -> str:
    return text.removeprefix("'") if text.lstrip("'")[:1] in _RUN else text
