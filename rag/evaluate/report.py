"""What an evaluation leaves on disk: values per query as CSV, means as one JSON object."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.evaluate.measures import Evaluation


def write_per_query(evaluation: Evaluation, path: Path) -> None:
    """A line per query: qid, then one column per measure.

    A qid that a spreadsheet would run as a formula is written with an apostrophe before it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["qid", *evaluation.per_query])
        columns = list(evaluation.per_query.values())
        for qid in columns[0] if columns else ():
            writer.writerow([_inert(qid), *(repr(values[qid]) for values in columns)])


def results(evaluation: Evaluation, *, seconds: float | None = None, **more: Any) -> dict[str, Any]:
    """The JSON object of `rag eval`: {"measures": {name: mean}, "queries": n, "seconds": s, ...}."""
    timed = {} if seconds is None else {"seconds": seconds}
    return {"measures": dict(evaluation.measures), "queries": evaluation.n_queries, **timed, **more}


def write_results(found: Mapping[str, Any], path: Path) -> None:
    """Write a JSON object; NaN and infinity, which JSON lacks, are a ValueError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
