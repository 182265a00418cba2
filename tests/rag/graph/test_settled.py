"""Contexts that have their answer: no generator is asked for them, in batches and in streams."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.types import Answer, Citation, Context, Outcome, Query, Settled
from rag.graph.settled import answered, streamed

SETTLED = Settled(
    text="2 rows. [1]",
    citations=(Citation(marker=1, doc_id="a", start=8, end=11),),
    outcome=Outcome(counts={"counted": 2}),
)


def context(qid: str, settled: Settled | None = None) -> Context:
    return Context(query=Query(qid=qid, text=qid), settled=settled)


class Writer:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked = list[list[str]]()

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        self.asked.append([each.qid for each in contexts])
        return [Answer(query=each.query, text="written", context=each) for each in contexts]

    def stream(self, given: Context) -> object:
        self.asked.append([given.qid])
        return iter(())


def test_only_what_is_not_settled_is_written_and_the_order_stays() -> None:
    writer = Writer()
    given = [context("a"), context("b", SETTLED), context("c"), context("d", SETTLED)]
    answers = answered(writer.generate, given)
    assert [(each.qid, each.text) for each in answers] == [
        ("a", "written"),
        ("b", "2 rows. [1]"),
        ("c", "written"),
        ("d", "2 rows. [1]"),
    ]
    assert writer.asked == [["a", "c"]]
    assert answers[1].citations == SETTLED.citations
    assert answers[1].outcome == SETTLED.outcome
    assert answers[1].context is given[1]


def test_where_all_is_settled_nothing_is_asked() -> None:
    writer = Writer()
    assert [each.text for each in answered(writer.generate, [context("b", SETTLED)])] == ["2 rows. [1]"]
    assert writer.asked == []


def test_a_generator_that_returns_too_few_is_found_out() -> None:
    given = [context("a"), context("b", SETTLED), context("c")]
    assert len(answered(lambda contexts: [], given)) != len(given)
    assert len(answered(lambda contexts: [], [context("a")])) == 0


def test_a_settled_answer_is_one_piece_of_a_stream() -> None:
    writer = Writer()
    pieces = list(streamed(writer, context("b", SETTLED)))  # type: ignore[arg-type]
    assert [piece.text for piece in pieces] == ["2 rows. [1]", ""]
    assert pieces[-1].answer is not None
    assert pieces[-1].answer.status == "answered"
    assert writer.asked == []
    list(streamed(writer, context("a")))  # type: ignore[arg-type]
    assert writer.asked == [["a"]]
