"""Figures that others published, from a file, to stand beside one's own."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError

_WANTED = '[{"system": "BM25", "set": "scifact", "measure": "nDCG@10", "value": 0.665, "source": "arXiv 2104.08663"}]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean that somebody published. `source`: where."""

    system: str
    set: str
    measure: str
    value: float
    source: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_published(file: Path) -> list[Figure]:
    """The figures of a JSON list: `system`, `set`, `measure`, `value` and, if one likes, `source`.

    Raises:
        SpecError: the file cannot be read, an entry is none, or one figure is there twice.
    """
    try:
        records = json.loads(file.read_bytes())
    except OSError as cause:
        raise SpecError(f"{file} cannot be read: {cause.strerror}") from None
    except (ValueError, RecursionError) as cause:
        raise SpecError(f"{file}: not JSON: {cause}. A list is wanted, such as {_WANTED}") from None
    if not isinstance(records, list):
        raise SpecError(f"{file}: a list of figures is wanted, such as {_WANTED}")
    figures = [_figure(record, f"{file}: entry {number}") for number, record in enumerate(records, start=1)]
    seen: set[tuple[str, str, str]] = set()
    for figure in figures:
        key = (figure.system, figure.set, figure.measure)
        if key in seen:
            raise SpecError(f"{file}: {figure.measure} of '{figure.system}' on '{figure.set}' is there twice")
        seen.add(key)
    return figures


def _figure(record: Any, place: str) -> Figure:
    if not isinstance(record, dict):
        raise SpecError(f"{place}: an object is wanted, such as {_WANTED[1:-1]}")
    names = ("system", "set", "measure")
    if missing := [name for name in names if not isinstance(record.get(name), str) or not record[name]]:
        raise SpecError(f"{place}: {', '.join(missing)} must be text that is not empty; such as {_WANTED[1:-1]}")
    value = record.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SpecError(f"{place}: value must be a finite number, got {value!r}")
    if unknown := sorted(record.keys() - {*names, "value", "source"}):
        raise SpecError(f"{place}: unknown {', '.join(map(repr, unknown))}; known: {', '.join(names)}, value, source")
    texts = {name: record[name] for name in names}
    return Figure(**texts, value=float(value), source=str(record.get("source") or ""))
