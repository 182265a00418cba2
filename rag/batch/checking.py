"""What is known of a file of questions before the first of them is asked, and paid for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rag.batch.folder import RunFolder
from rag.core.errors import SpecError
from rag.core.filters import Filter, conditions, parse_where, parted, scope_of
from rag.core.types import Query, Where
from rag.pipeline import Pipeline
from retrievers.index_protocol import is_labelled

_SHOWN = 5
Numbered = Iterable[tuple[int, Query]]
"""Questions, each with the number of its line."""


def require_good(questions: Numbered, path: Path, pipeline: Pipeline, *, where: Where | None) -> int:
    """How many questions there are, once all of them are read and their filters are known to name metadata of the index.

    Raises:
        SpecError: a line is wrong, with file and line; or the filter for all of them, `where`.
    """
    labelled = is_labelled(pipeline.index)  # then who asks decides which keys there are, and lines say that
    n_questions, of_askers = 0, defaultdict[Filter | None, set[str]](set)
    if not labelled:
        _require_keys(where, pipeline, "")
        of_askers[None] = _keys(where)
    for number, query in questions:
        n_questions += 1
        known = of_askers[scope_of(query.where) if labelled else None]
        if new := _keys(query.where) - known:
            _require_keys(query.where, pipeline, f"{path}:{number}: ")
            known |= new
    return n_questions


def _keys(where: Where | None) -> set[str]:
    tree = parse_where(where)
    return set() if tree is None else {condition.key for condition in conditions(tree)}


def _require_keys(where: Where | None, pipeline: Pipeline, place: str) -> None:
    if parted(where).where is None:
        return
    if pipeline.index is None:
        raise SpecError(f"{place}where: this graph searches no index; leave the filter out")
    try:
        pipeline.index.rows(where)
    except SpecError as error:
        raise SpecError(*(f"{place}where: {problem}" for problem in error.problems)) from None


def require_unchanged(questions: Numbered, path: Path, folder: RunFolder) -> None:
    """Raise SpecError if a question is not the one that was answered under its id: nobody wants two answers unawares."""
    changed = [number for number, query in questions if folder.is_answered_otherwise(query)]
    if not changed:
        return
    lines = ", ".join(map(str, changed[:_SHOWN])) + (", ..." if len(changed) > _SHOWN else "")
    raise SpecError(
        f"{path}: {len(changed):,} questions are not those that '{folder.answers.path}' answers under their ids: their "
        f"words, their filter or who asks changed since (line {lines}). Put them back, give them ids of their own, or "
        "name another folder (--out)"
    )
