"""How `rag search --explain` shows why a hit has its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST = 8
"""Parts of a stage that are shown; the others are added up in one line. --json has all."""
_WIDEST = 40


def explanation_lines(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each stage and for each part: how much, what of the query, what of the document, and how.

    >>> part = {"of_query": "leav", "of_document": "leav", "score": 1.5, "how": ""}
    >>> for line in explanation_lines([{"node": "words", "use": "retrieve.bm25", "score": 1.5, "parts": [part]}]):
    ...     print(line)
    words (retrieve.bm25) 1.5000 is
      1.5000  leav
    """
    return [line for stage in stages for line in _stage(stage)]


def _stage(stage: Mapping[str, Any]) -> list[str]:
    asked = f", asked {stage['query']!r}," if "query" in stage else ""
    name = f"{stage['node']} ({stage['use']}){asked} {stage['score']:.4f}"
    if stage["parts"] is None:
        return [f"{name}: {stage['use']} cannot take its scores apart"]
    parts = stage["parts"]
    shown, left = parts[:MOST], parts[MOST:]
    amounts = [f"{part['score']:.4f}" for part in shown]
    asked_width = max((len(_short(part["of_query"])) for part in shown), default=0)
    width = max(map(len, amounts), default=0)
    lines = [f"{name} is"]
    for amount, part in zip(amounts, shown, strict=True):
        met = "" if part["of_document"] == part["of_query"] else _short(part["of_document"]) or "not in it"
        beside = "  ".join(filter(None, (met, part["how"])))
        lines.append(f"  {amount:>{width}}  {_short(part['of_query']):<{asked_width}}  {beside}".rstrip())
    if left:
        lines.append(f"  {sum(part['score'] for part in left):>{width}.4f}  of {len(left):,} more")
    return lines


def _short(text: str) -> str:
    """On one line, and not too long for a table."""
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 3]}..."
