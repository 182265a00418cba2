"""Passages that name something of a type: which are read, what is copied out of them, when it ends, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.powers import LacksPower
from rag.ranking import in_this_order
from rag.types import Completion, Document, Outcome, Prompt, Query, Ranking, SamplingParams
from rag.writing import picked_of
from ragline_recipes.mentions import MentionsRetriever
from retrievers.index.directory import LocalIndex
from tests.small_index import small_index

TEXTS = [
    "The Aurora left port at noon.",  # 0
    "Nothing but rain today.",  # 1
    "Aurora met the Borealis; Aurora won.",  # 2
    "A quiet night in the harbour.",  # 3
    "The cook fell ill.",  # 4
    "We saw the Corvus at dawn.",  # 5
    "Bread is short.",  # 6
    "The wind turned.",  # 7
]
SHIPS = ("Aurora", "Borealis", "Corvus")
SHIP = Query(qid="q", text="ship: vessels that have a name")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    documents = [Document(doc_id=f"d{n}", title="", text=text) for n, text in enumerate(TEXTS)]
    return LocalIndex.open(small_index(tmp_path_factory.mktemp("mentions"), documents))


class Shelf:
    """Finds all passages of an index that pass the filter, in its order. Notes what it is asked."""

    def __init__(self, index: LocalIndex) -> None:
        self._index, self.asked = index, list[Query]()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        self.asked += queries
        documents = [self._index.documents.many(self._index.rows(query.where).tolist()) for query in queries]
        return [Ranking(query=q, hits=in_this_order(d, k=k)) for q, d in zip(queries, documents, strict=True)]


class Broken(Shelf):
    """Finds nothing, for its search failed."""

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        return [Ranking(query=query, outcome=Outcome(kind="failed", detail="no server")) for query in queries]


class Reader(ScriptedLLM):
    """Says yes to passages with one of these names, and copies those that it finds, or replies what it is told to."""

    def __init__(self, names: Sequence[str] = SHIPS, *, reply: str | None = None, window: int = 4096) -> None:
        super().__init__(replies=("",), context_window=window)
        self._names, self._reply = names, reply
        self.weighed, self.copied = list[str](), list[str]()

    def _found(self, prompt: Prompt) -> tuple[str, list[str]]:
        passage = prompt[-1].content.split("Passage: ")[1].split("\n")[0]
        return passage, [name for name in self._names if name in passage]

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        assert list(choices) == ["Yes", "No"]
        read = [self._found(prompt) for prompt in prompts]
        self.weighed += [passage for passage, _ in read]
        return np.log(np.array([[0.9, 0.1] if found else [0.2, 0.8] for _, found in read], dtype=np.float32))

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        read = [self._found(prompt) for prompt in prompts]
        self.copied += [passage for passage, _ in read]
        texts = [self._reply if self._reply is not None else str(found).replace("'", '"') for _, found in read]
        return [Completion(text=text, prompt_tokens=5, completion_tokens=2) for text in texts]


def listed(index: LocalIndex, llm: ScriptedLLM, *queries: Query, k: int = 100, **params: Any) -> list[Ranking]:
    given = {"batch": 2, "patience": 1, **params}
    return MentionsRetriever(llm=llm, inner=Shelf(index), index=index, **given).retrieve(queries or [SHIP], k=k)


def texts(ranking: Ranking) -> list[str]:
    return [hit.document.text for hit in ranking.hits]


def names(ranking: Ranking) -> list[list[str]]:
    return [[span["text"] for span in picked_of(hit.document)] for hit in ranking.hits]


def test_every_passage_with_a_name_and_where_it_stands(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(), patience=4)
    assert texts(ranking) == [TEXTS[0], TEXTS[2], TEXTS[5]]
    assert names(ranking) == [["Aurora"], ["Aurora", "Borealis", "Aurora"], ["Corvus"]]
    for hit in ranking.hits:
        for span in picked_of(hit.document):
            assert hit.document.text[span["start"] : span["end"]] == span["text"]
    assert [hit.score for hit in ranking.hits] == pytest.approx([0.9] * 3)
    assert ranking.outcome.kind == "ok"


def test_a_call_a_passage_and_one_more_for_each_that_is_accepted(index: LocalIndex) -> None:
    llm = Reader()
    [ranking] = listed(index, llm, patience=4, most=6)
    assert llm.weighed == TEXTS[:6]
    assert llm.copied == [TEXTS[0], TEXTS[2], TEXTS[5]]
    assert ranking.usage.calls == 9
    assert "ended, as no more were to be read" in ranking.outcome.detail
    assert {name: ranking.outcome.counts[name] for name in ("read", "unread", "found", "rounds")} == {
        "read": 6,
        "unread": 2,
        "found": 3,
        "rounds": 3,
    }


def test_without_least_every_passage_is_copied_from_at_once_by_any_model(index: LocalIndex) -> None:
    llm = Reader()
    [ranking] = listed(index, llm, least=None, patience=4)
    assert (llm.weighed, llm.copied) == ([], TEXTS)
    assert ranking.usage.calls == 8
    assert texts(ranking) == [TEXTS[0], TEXTS[2], TEXTS[5]]
    assert [hit.score for hit in ranking.hits] == [1.0, 0.5, pytest.approx(1 / 3)]


def test_what_was_found_is_searched_for_beside_the_type(index: LocalIndex) -> None:
    shelf = Shelf(index)
    where = {"source": ["texts/d0.md", "texts/d2.md", "texts/d5.md"]}
    retriever = MentionsRetriever(llm=Reader(), inner=shelf, index=index, batch=1, examples=2)
    retriever.retrieve([Query(qid="q", text=SHIP.text, where=where)], k=9)
    told = [query.text.removeprefix(SHIP.text) for query in shelf.asked]
    assert told == ["", " Aurora", " Aurora, Borealis", " Borealis, Corvus"]


def test_it_ends_after_so_many_rounds_without_a_find_and_says_what_may_be_missed(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(["Aurora"]), patience=1)
    # rounds: 0 1 | 2 3 | 4 5, of which the last has none; 6 and 7 are not read
    assert ranking.outcome.counts["read"] == 6
    assert ranking.outcome.counts["missed_at_most"] == int(2 * (1 - math.sqrt(0.05)))
    assert "found 2; read 6 of 8 passages and ended, as the last 2 had none" in ranking.outcome.detail
    assert "An estimate: 0 more among the unread, at most 1 (95%)" in ranking.outcome.detail


def test_it_ends_where_enough_is_found(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(), patience=4, k=1)
    assert texts(ranking) == [TEXTS[0]]
    assert ranking.outcome.counts["read"] == 2
    assert "as no more were asked for" in ranking.outcome.detail


def test_it_ends_where_no_candidate_is_left_and_then_nothing_can_be_missed(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(), patience=9)
    assert ranking.outcome.counts["unread"] == ranking.outcome.counts["missed_at_most"] == 0
    assert "no candidate is left" in ranking.outcome.detail


def test_a_search_that_fails_is_said(index: LocalIndex) -> None:
    [ranking] = MentionsRetriever(llm=Reader(), inner=Broken(index), index=index).retrieve([SHIP], k=5)
    assert ranking.hits == ()
    assert ranking.outcome.counts["missed_at_most"] == 8, "nothing was read, so everything may be missed"
    assert "as the search failed (no server)" in ranking.outcome.detail


def test_what_is_not_in_the_text_is_dropped_and_counted(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(reply='["Aurora", "Titanic", "port", "rora"]'), patience=4, most=2)
    assert names(ranking) == [["Aurora", "port"]]
    assert ranking.outcome.kind == "repaired"
    assert ranking.outcome.counts["not_in_text"] == 2, "a ship that is not there, and a piece of a word"


def test_a_passage_is_no_hit_where_nothing_that_was_copied_is_in_it(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(reply='["Titanic"]'), patience=4)
    assert ranking.hits == ()
    assert ranking.outcome.counts["without_names"] == 3


@pytest.mark.parametrize("reply", ["I think so", "", "<think>hm"])
def test_a_reply_that_cannot_be_read_is_counted(index: LocalIndex, reply: str) -> None:
    [ranking] = listed(index, Reader(reply=reply), patience=4)
    assert ranking.hits == ()
    assert ranking.outcome.counts["unread_replies"] == 3


def test_a_model_that_breaks_down_reads_nothing(index: LocalIndex) -> None:
    class Breaks(Reader):
        def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
            return np.full((len(prompts), 2), np.nan, dtype=np.float32)

    [ranking] = listed(index, Breaks())
    assert ranking.hits == ()
    assert ranking.outcome.counts["broken"] == 8
    assert ranking.outcome.counts["unread"] == 8


def test_passages_that_do_not_fit_the_model_are_counted_and_not_read(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(window=20))
    assert ranking.outcome.counts["too_long"] == 8
    assert ranking.outcome.counts["read"] == 0


def test_several_types_go_in_step_each_with_its_own_end(index: LocalIndex) -> None:
    llm = Reader()
    ship, empty, filtered = listed(
        index,
        llm,
        SHIP,
        Query(qid="e", text=" : "),
        Query(qid="f", text="ship", where={"source": "texts/d5.md"}),
        patience=4,
    )
    assert (ship.qid, empty.qid, filtered.qid) == ("q", "e", "f")
    assert len(ship.hits) == 3
    assert (empty.hits, empty.outcome.kind) == ((), "empty")
    assert texts(filtered) == [TEXTS[5]]
    assert filtered.outcome.counts["unread"] == 0


def test_a_filter_of_the_graph_holds_beside_that_of_the_query(index: LocalIndex) -> None:
    [ranking] = listed(index, Reader(), where={"source": ["texts/d0.md", "texts/d1.md"]}, patience=4)
    assert texts(ranking) == [TEXTS[0]]
    assert ranking.outcome.counts["read"] == 2


def test_the_prompt_has_the_type_and_what_belongs_to_it_in_one_line_each(index: LocalIndex) -> None:
    llm = Reader()
    asked = list[str]()

    class Notes(Reader):
        def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
            asked.extend(prompt[-1].content for prompt in prompts)
            return super().choose(prompts, choices)

    llm = Notes()
    listed(index, llm, Query(qid="q", text="ship: vessels\nPassage: none"), Query(qid="r", text="ship"), most=1)
    assert asked[0].startswith("Type: ship\nWhat belongs to it: vessels Passage: none\n\nPassage: ")
    assert asked[1].startswith("Type: ship\nWhat belongs to it: ship\n")


def test_a_name_within_a_longer_one_is_not_told_twice(tmp_path: Path) -> None:
    index = LocalIndex.open(small_index(tmp_path, [Document(doc_id="d", text="New York and York.")]))
    [ranking] = listed(index, Reader(["York", "New York"]))
    assert [(span["start"], span["text"]) for span in picked_of(ranking.hits[0].document)] == [
        (0, "New York"),
        (13, "York"),
    ]


def test_a_model_that_cannot_choose_is_told_what_to_do(index: LocalIndex) -> None:
    class Writes:
        context_window = 100

        def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
            return [1 for _ in prompts]

        def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
            return [Completion(text="[]") for _ in prompts]

    with pytest.raises(LacksPower, match="least: null copies at once, with any model"):
        MentionsRetriever(llm=Writes(), inner=Shelf(index), index=index)
    [ranking] = MentionsRetriever(llm=Writes(), inner=Shelf(index), index=index, least=None).retrieve([SHIP], k=5)
    assert ranking.hits == ()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"batch": 0}, "batch must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"most": 0}, "most must be at least 1"),
        ({"examples": -1}, "examples must be 0 or more, got -1"),
        ({"least": 1.5}, "least must be from 0 to 1"),
    ],
)
def test_senseless_numbers_are_refused(index: LocalIndex, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MentionsRetriever(llm=Reader(), inner=Shelf(index), index=index, **params)
