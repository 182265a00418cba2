"""Retrieval while the answer is written: what is searched for, what is read, and what is continued."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from generators.llm.scripted import ScriptedLLM
from rag import Completion, Document, Query, Ranking, SamplingParams, ScoredDocument
from rag.types import Prompt
from ragline_recipes.stride import StrideGenerator, strides

QUESTION = Query(qid="q", text="Who made it?", where={"lang": "en"})


class Search:
    """Finds one passage for every search, of its number; nothing after so many."""

    def __init__(self, most: int = 99) -> None:
        self.most, self.asked = most, list[Query]()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        self.asked += queries
        rankings = []
        for query in queries:
            number = sum(each.qid == query.qid for each in self.asked)
            document = Document(doc_id=f"d{number}", text=f"Passage {number} says that Anna made the wheel in Rome.")
            hits = (ScoredDocument(document=document, score=1.0),) if number <= self.most else ()
            rankings.append(Ranking(query=query, hits=hits))
        return rankings


class Pieces(ScriptedLLM):
    """Writes these pieces one after another, each but the last cut off at the limit. Notes what it reads."""

    def __init__(self, *pieces: str) -> None:
        super().__init__(replies=("",))
        self._pieces, self.read, self.limits = list(pieces), list[Prompt](), list[int]()

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self.read += prompts
        self.limits.append(params.max_tokens)
        done = []
        for _ in prompts:
            text = self._pieces.pop(0)
            reason = "length" if self._pieces else "stop"
            done.append(Completion(text=text, prompt_tokens=10, completion_tokens=4, finish_reason=reason))
        return done


def test_every_stride_searches_for_the_question_and_the_last_words_and_continues_the_text() -> None:
    llm, search = Pieces("Anna made", " the wheel", " in Rome."), Search()
    generator = StrideGenerator(llm=llm, inner=search, stride=4, words=3, passages=1, max_tokens=40)
    [answer] = generator.generate([QUESTION])
    assert [query.text for query in search.asked] == [
        "Who made it?",
        "Who made it? Anna made",
        "Who made it? made the wheel",
    ]
    assert all(query.where == QUESTION.where for query in search.asked)
    assert answer.text == "Anna made the wheel in Rome."
    assert [prompt[-1].role for prompt in llm.read] == ["user", "assistant", "assistant"]
    assert llm.read[2][-1].content == "Anna made the wheel"
    assert "Passage 3 says" in llm.read[2][-2].content
    assert "Passage 2 says" not in llm.read[2][-2].content
    assert [hit.doc_id for hit in answer.context.passages] == ["d1", "d2", "d3"]
    assert answer.usage.calls == 3
    assert answer.outcome.counts["searches"] == 3


def test_it_writes_no_more_than_allowed_the_last_stride_shorter() -> None:
    llm = Pieces("a b", " c d", " e f", " g h")
    generator = StrideGenerator(llm=llm, inner=Search(), stride=4, max_tokens=10)
    [answer] = generator.generate([QUESTION])
    assert llm.limits == [4, 4, 2]
    assert answer.finish_reason == "length"


def test_where_a_later_search_finds_nothing_the_passages_stay() -> None:
    llm, search = Pieces("Anna made", " the wheel in Rome."), Search(most=1)
    [answer] = StrideGenerator(llm=llm, inner=search, stride=4).generate([QUESTION])
    assert "Passage 1 says" in llm.read[1][-2].content
    assert [hit.doc_id for hit in answer.context.passages] == ["d1"]
    assert [citation.by for citation in answer.citations] == ["attribution"]


def test_without_any_passage_it_declines_and_asks_nobody() -> None:
    llm = Pieces("x")
    [answer] = StrideGenerator(llm=llm, inner=Search(most=0)).generate([QUESTION])
    assert (answer.status, answer.outcome.kind, llm.read) == ("no_answer", "empty", [])


def test_several_questions_go_in_step_and_one_that_is_done_asks_no_more() -> None:
    class Two(Pieces):
        def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
            self.read += prompts
            done = ["length" if "longer" in prompt[1].content and len(prompt) == 2 else "stop" for prompt in prompts]
            return [Completion(text=" so it is.", completion_tokens=4, finish_reason=reason) for reason in done]

    llm, search = Two(), Search()
    queries = [QUESTION, Query(qid="r", text="What takes longer?")]
    first, second = StrideGenerator(llm=llm, inner=search, stride=4).generate(queries)
    assert [query.qid for query in search.asked] == ["q", "r", "r"]
    assert (first.usage.calls, second.usage.calls) == (1, 2)


class Scores(ScriptedLLM):
    """Finds each piece as likely as it has words, in minus, and notes what it is shown and what it scores."""

    def __init__(self) -> None:
        super().__init__(replies=("",))
        self.seen: list[tuple[Prompt, str]] = []

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        self.seen += zip(prompts, continuations, strict=True)
        return [[-1.0] * len(each.split()) for each in continuations]


def test_a_given_text_is_scored_as_if_it_were_written() -> None:
    """Searches and prompts are those of `generate`, for a model that writes the same pieces."""
    pieces = ("Anna made", " the wheel", " in Rome.")
    wrote, searched = Pieces(*pieces), Search()
    StrideGenerator(llm=wrote, inner=searched, stride=2, words=3, passages=1, max_tokens=6).generate([QUESTION])
    scoring, search = Scores(), Search()
    scored = StrideGenerator(llm=scoring, inner=search, stride=2, words=3, passages=1)
    assert scored.likelihoods([QUESTION], ["".join(pieces)]) == [[-2.0, -2.0, -2.0]]
    assert [prompt for prompt, _ in scoring.seen] == wrote.read
    assert [piece for _, piece in scoring.seen] == list(pieces)
    assert search.asked == searched.asked


def test_what_stands_already_is_searched_for_and_continued() -> None:
    scoring, search = Scores(), Search(most=0)
    scored = StrideGenerator(llm=scoring, inner=search, stride=9, words=2)
    assert scored.likelihoods([QUESTION, QUESTION], ["in Rome.", ""], ["Anna made it ", "x"]) == [[-2.0], []]
    assert [query.text for query in search.asked] == ["Who made it? made it"]
    assert scoring.seen[0][0][-1].content == "Anna made it "


def test_a_model_that_cannot_score_is_refused() -> None:
    class Plain:
        context_window = 100

    with pytest.raises(ValueError, match="likelihoods needs a model that can score given texts"):
        StrideGenerator(llm=Plain(), inner=Search()).likelihoods([QUESTION], ["x"])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", " ", "one", "one  two\nthree four", " lead and trail "])
def test_strides_are_the_text(text: str) -> None:
    cut = strides(text, 2)
    assert "".join(cut) == text.rstrip()
    assert all(len(piece.split()) <= 2 for piece in cut)
