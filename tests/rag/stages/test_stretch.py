"""Passages cut to the part around what matches, by room and by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Context, Document, Query, Ranking, ScoredDocument
from rag.stages.assemble import TokenBudgetAssembler
from rag.stages.ruler import Ruler
from rag.stages.stretch import shares, stretch

LONG = " ".join(f"Sentence number {n} is about topic{n} here." for n in range(40))


def document(text: str, doc_id: str = "d", **metadata: Any) -> Document:
    return Document(doc_id=doc_id, text=text, metadata=metadata)


def stretched(text: str, question: str, room: int, **metadata: Any) -> Document | None:
    found = stretch(document(text, **metadata), question, 1, room=room, ruler=Ruler(ScriptedLLM()))
    if found is None:
        return None
    [tokens] = Ruler(ScriptedLLM()).count([f"[1] {found[0].text}"])
    assert tokens == found[1] <= room
    return found[0]


def test_the_stretch_is_around_the_sentence_that_matches_and_says_where_it_stands() -> None:
    found = stretched(LONG, "What is topic20?", 22, start=1_000, end=1_000 + len(LONG))
    assert found is not None
    assert found.text == " ".join(f"Sentence number {n} is about topic{n} here." for n in (19, 20, 21))
    begin = LONG.index(found.text)
    assert (found.metadata["start"], found.metadata["end"]) == (1_000 + begin, 1_000 + begin + len(found.text))


@pytest.mark.parametrize(("question", "first"), [("topic0", 0), ("topic39", 37), ("xylophone", 0), ("", 0)])
def test_at_an_end_it_goes_on_at_the_other_side(question: str, first: int) -> None:
    found = stretched(LONG, question, 22)
    assert found is not None
    assert found.text.startswith(f"Sentence number {first} ")
    assert found.text.count("Sentence") == 3


def test_where_no_sentence_fits_there_is_none() -> None:
    assert stretched(LONG, "topic3", 4) is None
    assert stretched("", "topic3", 400) is None


@given(sizes=st.lists(st.integers(0, 1_000), max_size=9), room=st.integers(0, 3_000))
def test_room_is_shared_so_that_nothing_is_left_over_that_somebody_wants(sizes: list[int], room: int) -> None:
    given_ = shares(sizes, room)
    assert all(0 <= mine <= size for mine, size in zip(given_, sizes, strict=True))
    assert sum(given_) <= room
    if sum(sizes) <= room:
        assert given_ == sizes
    else:
        assert room - sum(given_) < len(sizes)
        cut = [mine for mine, size in zip(given_, sizes, strict=True) if mine < size]
        assert max(cut) - min(cut) <= 1


class Reading(ScriptedLLM):
    """Reads so many tokens a second."""

    speed, asked = 10.0, 0

    def reading_speed(self) -> float:
        self.asked += 1
        return self.speed


def assembled(texts: Sequence[str], question: str = "topic20", llm: ScriptedLLM | None = None, **more: Any) -> Context:
    hits = tuple(ScoredDocument(document=document(text, str(n)), score=-n) for n, text in enumerate(texts))
    given_ = Ranking(query=Query(qid="q", text=question), hits=hits)
    [context] = TokenBudgetAssembler(llm=llm or Reading(), max_tokens=None, **more).assemble([given_])
    return context


def test_what_is_read_in_time_and_a_long_passage_gives_what_matches() -> None:
    longer = " ".join(f"Sentence number {n} is about topic{n} here." for n in range(80))
    other = longer.replace("topic", "theme")
    context = assembled([longer, "Short one.", other, "Last one."], "topic60", patience=50)
    first, short, second, last = [hit.document.text for hit in context.passages]
    assert last == "Last one."
    assert 15 < first.count("Sentence") < 30
    assert "topic60" in first
    assert short == "Short one."
    assert "theme0 " in second
    assert context.n_tokens <= 350
    assert context.outcome.counts == {"over_time": 2}
    assert context == assembled([longer, "Short one.", other, "Last one."], "topic60", patience=50)


def test_what_fits_in_time_stays_whole_and_so_does_all_where_nobody_waits_or_knows() -> None:
    for context in (
        assembled([LONG, "Short one."], patience=100),
        assembled([LONG, "Short one."]),
        assembled([LONG, "Short one."], llm=ScriptedLLM(), patience=0.1),
    ):
        assert [hit.document.text for hit in context.passages] == [LONG, "Short one."]
        assert context.outcome.counts == {}


def test_the_best_hit_is_cut_inside_a_sentence_rather_than_lost() -> None:
    endless = "word " * 900
    context = assembled([endless, LONG], patience=0.5)
    assert len(context.passages) == 1
    assert 150 < context.n_tokens <= 200
    assert context.outcome.counts == {"over_time": 2}


def test_its_speed_is_asked_for_when_it_warms_up_and_not_without_passages() -> None:
    llm = Reading()
    assembler = TokenBudgetAssembler(llm=llm, patience=5)
    assembler.assemble([Ranking(query=Query(qid="q", text="x"))])
    assert llm.asked == 0
    assembler.warm_up()
    assert llm.asked == 1
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="patience must be above 0 seconds"):
            TokenBudgetAssembler(llm=llm, patience=wrong)
