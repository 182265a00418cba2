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
from rag.stages.passages import numbered
from rag.stages.ruler import Ruler
from rag.stages.stretch import stretches

LONG = " ".join(f"Sentence number {n} is about topic{n} here." for n in range(40))


def document(text: str, doc_id: str = "d", **metadata: Any) -> Document:
    return Document(doc_id=doc_id, text=text, metadata=metadata)


def stretched(texts: Sequence[str], question: str, room: int, **metadata: Any) -> dict[int, Document]:
    documents = [document(text, str(n), **metadata) for n, text in enumerate(texts)]
    ruler = Ruler(ScriptedLLM())
    found = stretches(documents, question, room=room, ruler=ruler)
    for place, part, tokens in found:
        assert ruler.count([numbered(part, place + 1)]) == [tokens]
    assert sum(tokens for *_, tokens in found) <= room
    assert [place for place, *_ in found] == sorted(place for place, *_ in found)
    return {place: part for place, part, _ in found}


def test_the_stretch_is_around_the_sentence_that_matches_and_says_where_it_stands() -> None:
    found = stretched([LONG], "What is topic20?", 22, start=1_000, end=1_000 + len(LONG))[0]
    assert found.text == " ".join(f"Sentence number {n} is about topic{n} here." for n in (19, 20, 21))
    begin = LONG.index(found.text)
    assert (found.metadata["start"], found.metadata["end"]) == (1_000 + begin, 1_000 + begin + len(found.text))


@pytest.mark.parametrize(("question", "first"), [("topic0", 0), ("topic39", 37), ("xylophone", 0), ("", 0)])
def test_at_an_end_it_goes_on_at_the_other_side(question: str, first: int) -> None:
    found = stretched([LONG], question, 22)[0]
    assert found.text.startswith(f"Sentence number {first} ")
    assert found.text.count("Sentence") == 3


def test_the_passage_with_most_of_the_question_gets_the_room_and_the_better_one_where_they_have_the_same() -> None:
    filler = "Nothing of it is in here at all. " * 3
    found = stretched(
        [filler, f"{filler}The bridge was opened. It is of red steel."], "When was the bridge opened?", 14
    )
    assert {place: part.text for place, part in found.items()} == {1: "The bridge was opened. It is of red steel."}
    assert list(stretched([filler, filler], "What else?", 10)) == [0]


def test_a_word_with_another_ending_is_the_same_word() -> None:
    found = stretched(["Wir gehen nach Hause. Gestern wurde die Vereinbarungen bekannt."], "Welche Vereinbarung?", 6)
    assert "Vereinbarungen" in found[0].text


def test_what_a_better_passage_says_too_takes_no_room_from_what_is_new() -> None:
    asked = "The bridge was opened in the rain."
    reply = f"> {asked} Thank you for telling us. Nobody came at all. Since when has the bridge been open?"
    found = stretched([asked, reply], "When was the bridge opened in the rain?", 16)
    assert {place: part.text for place, part in found.items()} == {
        0: asked,
        1: "Since when has the bridge been open?",
    }


def test_what_fits_is_the_passage_itself() -> None:
    whole = document("A sentence. Another one.")
    [(_, part, _)] = stretches([whole], "Another?", room=100, ruler=Ruler(ScriptedLLM()))
    assert part is whole


def test_where_no_sentence_fits_there_is_none() -> None:
    assert stretched([LONG], "topic3", 4) == {}
    assert stretched(["", " \n"], "topic3", 400) == {}


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5), room=st.integers(0, 200))
def test_nothing_that_fits_is_left_out(sizes: list[int], room: int) -> None:
    passages = [" ".join(f"Word{n} word{m} ends." for m in range(size)) for n, size in enumerate(sizes)]
    found = stretched(passages, "Where does word3 end?", room)
    ruler = Ruler(ScriptedLLM())
    shown = [numbered(part, place + 1) for place, part in found.items()]
    cut_short = [place for place, text in enumerate(passages) if place not in found or found[place].text != text]
    assert not cut_short or room - sum(ruler.count(shown)) < ruler.count(["[1] Word0 word0 ends."])[0]


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
    context = assembled([longer, "Short one.", other, "Last one."], "topic60", patience=51)
    first, short, *_ = [hit.document.text for hit in context.passages]
    assert first.count("Sentence") > 30
    assert "topic60" in first
    assert short == "Short one."
    assert 200 < context.n_tokens <= 250
    assert context.outcome.counts == {"over_time": 3}
    assert context == assembled([longer, "Short one.", other, "Last one."], "topic60", patience=51)


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
