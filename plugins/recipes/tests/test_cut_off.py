"""A forecast's cut-off: whatever day is asked for, no text of a later day is read, and none without a day.

Every node keeps all that it gets, so what the forecast reads is all that any of them did."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag import Pipeline, Query, build_index, load_pipeline

FIRST = date(2024, 2, 20)  # a leap day is among those that follow
NO_DAYS = (None, "", "soon", "2024-02-30", "yesterday", [])
N = 120


def documents() -> list[dict[str, Any]]:
    """News of sixty days, days without a time and moments, some of no day that can be read."""
    draw = random.Random(7)
    made: list[dict[str, Any]] = []
    for number in range(N):
        day: Any = (FIRST + timedelta(days=draw.randrange(60))).isoformat()
        if draw.random() < 0.3:
            day = f"{day}T{draw.randrange(24):02}:00:00Z"
        if draw.random() < 0.2:
            day = draw.choice(NO_DAYS)
        made.append({"_id": f"n{number}", "text": f"Rain is likely, says report {number}.", "date": day})
    return made


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("news")
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(each) + "\n" for each in documents()), encoding="utf-8")
    build_index([corpus], folder / "idx", legs=("lexical",))
    llm = {"use": "llm.scripted", "with": {"replies": ["It may rain."], "context_window": 100_000}}
    reader = {"llm": "reader"}
    graph = {
        "version": 1,
        "models": {"reader": llm},
        "nodes": {
            "found": {"use": "retrieve.bm25", "k": N},
            "recent": {"use": "rerank.recency", "in": "found", "k": N, "with": {**reader, "depth": N}},
            "context": {"use": "assemble.token_budget", "in": "recent", "with": {**reader, "max_tokens": None}},
            "answer": {
                "use": "generate.forecast",
                "in": "context",
                "with": {**reader, "summary": "forecast_summary"},
            },
        },
        "output": "answer",
    }
    with load_pipeline(graph, index=folder / "idx") as loaded:
        yield loaded


@example(cut_off=FIRST)
@example(cut_off=date(2024, 2, 29))
@example(cut_off=date(1, 1, 1))
@example(cut_off=date(9999, 12, 31))
@given(cut_off=st.dates(FIRST - timedelta(days=2), FIRST + timedelta(days=62)))
@settings(deadline=None, max_examples=40)
def test_no_text_after_the_cut_off_is_read(pipeline: Pipeline, cut_off: date) -> None:
    [answer] = pipeline.run(
        [Query(qid="q", text="Will it rain?", where={"date": {"lte": cut_off.isoformat()}})]
    ).answers
    read = {hit.doc_id for hit in answer.context.passages}
    wanted = {each["_id"] for each in documents() if _day(each["date"]) and _day(each["date"]) <= cut_off.isoformat()}
    assert read == wanted


def _day(value: Any) -> str:
    """The day of a document as text; empty where there is none. The first ten characters, checked by the standard library."""
    try:
        return date.fromisoformat(value[:10]).isoformat()
    except (TypeError, ValueError):
        return ""
