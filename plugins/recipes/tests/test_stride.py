"""Retrieval while the answer is written: what is searched for, what is read, and what is continued."""

from __future__ import annotations

from collections.abc import Sequence

from generators.llm.scripted import ScriptedLLM
from rag import Completion, Document, Query, Ranking, SamplingParams, ScoredDocument
from rag.types import Prompt
from ragline_recipes.stride import StrideGenerator

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
