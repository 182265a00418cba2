"""Code Style Similarity between the programs written for a query and the functions that it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from benchmarks.code_style import code_style_similarity
from rag.core.types import Query


def style(query: Query, functions: Sequence[str], *, idf: Mapping[str, float]) -> float | None:
    """Mean over the pairs of a written program and a wanted function that Python can parse; None where there is none.

    `idf`: name -> its weight, from all functions of the set, so that names which most of them have say little.
    """
    programs = [part.text for part in query.parts if part.role == "document"]
    found = [code_style_similarity(program, function, idf=idf) for program in programs for function in functions]
    parsed = [value for value in found if value is not None]
    return fmean(parsed) if parsed else None
