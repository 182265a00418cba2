"""The calls for programs with an event loop: they give the same, and do not hold the loop up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import StageError
from rag.core.types import AnswerDelta, Document, Query
from rag.pipeline import Pipeline, load_pipeline
from tests.rag.test_pipeline import cited
from tests.small_index import small_index


@pytest.fixture
def pipeline(tmp_path: Path, documents: tuple[Document, ...]) -> Iterator[Pipeline]:
    with load_pipeline(cited("Steel [1]."), index=small_index(tmp_path, documents)) as pipeline:
        yield pipeline


def test_twins_give_what_the_blocking_calls_give(pipeline: Pipeline) -> None:
    async def all_of_them() -> tuple[Any, ...]:
        deltas = [delta async for delta in pipeline.astream("frames")]
        return (
            await pipeline.asearch("frames", k=2),
            await pipeline.aask("frames"),
            await pipeline.abatch(["frames", Query(qid="x", text="leave")]),
            deltas,
        )

    ranking, answer, batch, deltas = asyncio.run(all_of_them())
    assert ranking == pipeline.search("frames", k=2)
    assert (answer.text, answer.citations) == (pipeline.ask("frames").text, pipeline.ask("frames").citations)
    assert [a.qid for a in batch.answers] == ["1", "x"]
    assert "".join(delta.text for delta in deltas) == answer.text == deltas[-1].answer.text


def test_the_loop_goes_on_while_a_twin_waits(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends only once another task of the same loop has run."""
    ran = threading.Event()
    search = Pipeline.search

    def patient(self: Pipeline, *given: Any, **more: Any) -> Any:
        assert ran.wait(60)
        return search(self, *given, **more)

    monkeypatch.setattr(Pipeline, "search", patient)

    async def both() -> None:
        searching = asyncio.create_task(pipeline.asearch("frames"))
        await asyncio.sleep(0)
        ran.set()
        assert (await searching).hits

    asyncio.run(both())


def test_a_stream_that_is_left_stops_the_model(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def endless(self: Pipeline, *given: Any, **more: Any) -> Iterator[AnswerDelta]:
        try:
            while True:
                yield AnswerDelta(text="and so on ")
        finally:
            closed.set()

    monkeypatch.setattr(Pipeline, "stream", endless)

    async def first() -> str:
        async with aclosing(pipeline.astream("frames")) as stream:
            return (await anext(stream)).text

    assert asyncio.run(first()) == "and so on "
    assert closed.wait(60)


def test_an_error_comes_out_of_a_twin(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **more: Any) -> Iterator[str]:
        raise RuntimeError("out of ink")
        yield ""

    monkeypatch.setattr(pipeline.graph.parts["answer"], "stream", broken)

    async def all_of_it() -> None:
        async for _ in pipeline.astream("frames"):
            pass

    with pytest.raises(StageError, match="out of ink"):
        asyncio.run(all_of_it())


def test_a_ranking_is_read_like_a_list_of_its_hits(pipeline: Pipeline) -> None:
    ranking = pipeline.search("frames", k=3)
    assert list(ranking) == list(ranking.hits)
    assert (len(ranking), ranking[0], ranking[-1], ranking[:2]) == (
        len(ranking.hits),
        ranking.hits[0],
        ranking.hits[-1],
        ranking.hits[:2],
    )
