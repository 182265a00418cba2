"""A forecast: what is shown in which order, the distribution, its date, and a model that breaks down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from rag import Answer, Context, Document, Query, ScoredDocument
from rag.types import Prompt
from ragline_recipes.forecast import ForecastGenerator


class Choosing(ScriptedLLM):
    """Gives these log-probabilities, and notes what it reads."""

    def __init__(self, row: Sequence[float], replies: tuple[str, ...] = ("",)) -> None:
        super().__init__(replies=replies)
        self._row, self.read = row, list[str]()

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        self.read += [prompt[-1].content for prompt in prompts]
        return np.array([self._row] * len(prompts), dtype=np.float32)


def asked(row: Sequence[float], dates: Sequence[str | None], **params: Any) -> tuple[Answer, str]:
    llm = Choosing(row)
    hits = tuple(
        ScoredDocument(
            document=Document(doc_id=str(n), text=f"news {n}", metadata={"date": date} if date else {}), score=-float(n)
        )
        for n, date in enumerate(dates)
    )
    generator = ForecastGenerator(llm=llm, **params)
    [answer] = generator.generate([Context(query=Query(qid="q", text="Will it\nrain?"), passages=hits)])
    return answer, llm.read[0]


def test_shares_of_all_outcomes_the_likeliest_first_and_the_latest_date() -> None:
    answer, read = asked([np.log(0.1), np.log(0.3)], ["2025-03-02", "2025-01-05", None])
    assert answer.text == "No 75.0%, Yes 25.0% (as of 2025-03-02)"
    assert answer.likelihood == pytest.approx(np.log(0.75), abs=1e-6)
    assert "undated: news 2\n2025-01-05: news 1\n2025-03-02: news 0" in read
    assert "Question: Will it rain?\nAnswer with Yes or No alone." in read


def test_without_news_it_says_so_and_has_no_date() -> None:
    answer, read = asked([-0.1, -0.1], [])
    assert answer.text == "Yes 50.0%, No 50.0%"
    assert "There is no news on it." in read


def test_a_model_that_breaks_down_is_a_failed_answer() -> None:
    answer, _ = asked([np.nan, np.nan], ["2025-01-01"])
    assert (answer.status, answer.text) == ("failed", "")


@pytest.mark.parametrize("outcomes", [(), ("Yes",), ("Yes", "Yes"), ("Yes", "")])
def test_fewer_than_two_outcomes_are_refused(outcomes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="outcomes must be two or more different ones, none empty"):
        ForecastGenerator(llm=Choosing([0.0]), outcomes=outcomes)


def test_summaries_stand_in_the_place_of_passages_and_one_that_is_empty_leaves_its_passage() -> None:
    llm = Choosing([0.0, 0.0], ("It  rained\nin May.", "  "))
    hits = tuple(
        ScoredDocument(
            document=Document(doc_id=str(n), text=f"news {n}", metadata={"date": f"2025-0{n}-01"}), score=0.0
        )
        for n in (1, 2)
    )
    contexts = [Context(query=Query(qid="q", text="Rain?"), passages=hits), Context(query=Query(qid="r", text="Snow?"))]
    answer, without = ForecastGenerator(llm=llm, summary="forecast_summary").generate(contexts)
    assert "2025-01-01: It rained in May.\n2025-02-01: news 2" in llm.read[0]
    assert answer.outcome.counts == {"passages": 2, "summaries": 1, "not_summarised": 1}
    assert answer.usage.calls == without.usage.calls + 2
    assert without.outcome.counts == {"passages": 0, "summaries": 0}
