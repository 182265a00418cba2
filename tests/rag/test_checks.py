"""Checks behind a generator: whole answers, batches, streams, reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rag.core.errors import StageError
from rag.core.types import Answer, AnswerDelta, Outcome, Usage
from rag.pipeline import load_pipeline
from rag.stages import CHECKERS

MODEL = {"use": "llm.scripted", "with": {"replies": ["Frames are made of steel. Wheels are round."]}}


class Capitals:
    """Changes the text and costs a call, as checks that ask a model do."""

    def check(self, answers: Sequence[Answer]) -> list[Answer]:
        return [
            replace(
                answer,
                text=answer.text.upper(),
                usage=answer.usage + Usage(calls=1, prompt_tokens=7),
                outcome=Outcome(kind="repaired", counts={**answer.outcome.counts, "raised": 1}),
            )
            for answer in answers
        ]


class Broken:
    def check(self, answers: Sequence[Answer]) -> list[Answer]:
        raise RuntimeError("no idea")


class Stopping:
    """Lets pieces pass until it is closed, and remembers that."""

    closed = False

    def check(self, answers: Sequence[Answer]) -> list[Answer]:
        return list(answers)

    def check_stream(self, pieces: Iterator[AnswerDelta]) -> Iterator[AnswerDelta]:
        try:
            yield from pieces
        finally:
            Stopping.closed = True


@pytest.fixture(autouse=True)
def more_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of these tests alone: gone with each of them."""
    more = {"test_capitals": Capitals, "test_broken": Broken, "test_stopping": Stopping}
    monkeypatch.setattr(CHECKERS, "_table", {**CHECKERS._table, **more})


def graph(*checks: str) -> dict[str, Any]:
    nodes: dict[str, Any] = {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "writer"}}}
    before = "answer"
    for name in checks:
        nodes[name] = {"use": f"check.{name}", "in": before}
        before = name
    return {"version": 1, "models": {"writer": MODEL}, "nodes": nodes, "output": before}


class TestChecks:
    def test_the_answer_is_the_last_checks(self) -> None:
        with load_pipeline(graph("words", "test_capitals")) as pipeline:
            assert pipeline.answers
            answer = pipeline.ask("What are frames made of?")
        assert answer.text == "FRAMES ARE MADE OF STEEL. WHEELS ARE ROUND."
        assert [v.kind for v in answer.verdicts] == ["unsupported", "unsupported"]

    def test_a_stream_says_the_same(self) -> None:
        with load_pipeline(graph("test_capitals", "words")) as pipeline:
            pieces = list(pipeline.stream("What are frames made of?"))
            whole = pipeline.ask("What are frames made of?")
        assert pieces[-1].answer is not None
        assert "".join(piece.text for piece in pieces) == whole.text == pieces[-1].answer.text
        assert pieces[-1].answer.verdicts == whole.verdicts

    @pytest.mark.parametrize("streamed", [True, False])
    def test_each_node_reports_its_own_work(self, streamed: bool) -> None:
        with load_pipeline(graph("test_capitals", "words")) as pipeline:
            if streamed:
                [prepared] = pipeline.prepare([pipeline._question("Why?", (), None)])
                stream = pipeline.begin(prepared)
                list(stream)
                result = stream.result
                assert result is not None
            else:
                result = pipeline.run(["Why?"])
        reports = {node.name: node for node in result.nodes}
        assert list(reports) == ["answer", "test_capitals", "words"]
        assert [reports[name].usage.calls for name in reports] == [1, 1, 0]
        assert reports["test_capitals"].usage.prompt_tokens == 7
        assert reports["answer"].outcomes == {"ok": 1}
        assert reports["test_capitals"].outcomes == {"repaired": 1}
        assert reports["words"].outcomes == {"ok": 1}
        assert reports["words"].counts == {"unsupported": 2}
        assert result.answers[0].usage.calls == 2

    def test_a_check_that_fails_is_named(self) -> None:
        with load_pipeline(graph("test_broken")) as pipeline:
            with pytest.raises(StageError, match=r"node 'test_broken' \(check\.test_broken\)"):
                pipeline.ask("Why?")
            with pytest.raises(StageError, match=r"node 'test_broken' \(check\.test_broken\).*no idea"):
                list(pipeline.stream("Why?"))
            assert pipeline.ask_batch(["Why?"])[0].status == "failed"

    def test_closing_a_stream_closes_every_step(self) -> None:
        Stopping.closed = False
        with load_pipeline(graph("test_stopping")) as pipeline:
            [prepared] = pipeline.prepare([pipeline._question("Why?", (), None)])
            stream = pipeline.begin(prepared)
            next(stream)
            stream.close()
        assert Stopping.closed

    def test_a_batch_and_a_server_sample_through_the_generator(self) -> None:
        with load_pipeline(graph("words")) as pipeline:
            prepared = pipeline.prepare([pipeline._question("Why?", (), None)])
            [result] = pipeline.finish(prepared, sampling={"max_tokens": 3})
        assert result.answers[0].verdicts
        assert [node.name for node in result.nodes] == ["answer", "words"]

    def test_a_check_reads_answers_alone(self) -> None:
        wrong = graph("words")
        wrong["nodes"]["words"]["in"] = "query"
        with pytest.raises(Exception, match=r"check\.words"):
            load_pipeline(wrong)
