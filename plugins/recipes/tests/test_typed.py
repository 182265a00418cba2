"""Answers of four types: their form, what is shown, what is dropped, and how often a model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.powers import LacksPower
from rag.errors import SpecError
from rag.types import Answer, Completion, Context, Document, Prompt, Query, SamplingParams, ScoredDocument
from rag.writing import with_picked
from ragline_recipes.typed import KINDS, TypedGenerator, entries_of
from tests.generators.asking import Noting

LACTOSE = Document(doc_id="a", text="Lactase splits lactose into glucose and galactose. Milk is a food.")


def context(text: str = "Which sugars are they?", *documents: Document, qid: str = "q") -> Context:
    hits = tuple(ScoredDocument(document=each, score=1.0) for each in documents or [LACTOSE])
    return Context(query=Query(qid=qid, text=text), passages=hits)


class Weighing(Noting):
    """Weighs what it may choose from by these numbers, and notes what it reads."""

    def __init__(self, replies: Sequence[str] = ("",), **weights: float) -> None:
        super().__init__(replies)
        self._weights, self.asked = weights, list[tuple[str, tuple[str, ...]]]()

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        self.asked += [(prompt[-1].content, tuple(choices)) for prompt in prompts]
        row = [np.log(self._weights.get(choice, 0.01)) for choice in choices]
        return np.array([row] * len(prompts), dtype=np.float32)


class Writes:
    """A model that writes, and can do nothing else."""

    context_window = 4096

    def __init__(self, text: str) -> None:
        self._text = text

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [1 for _ in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        return [Completion(text=self._text) for _ in prompts]


def answered(llm: Any, kind: str, *contexts: Context, **params: Any) -> list[Answer]:
    return TypedGenerator(llm=llm, kind=kind, **params).generate(contexts or [context()])  # type: ignore[arg-type]


def test_yes_or_no_is_weighed_and_not_written() -> None:
    llm = Weighing(yes=0.6, no=0.2)
    [answer] = answered(llm, "yes_no")
    assert (answer.text, answer.status) == ("yes", "answered")
    assert answer.likelihood == pytest.approx(np.log(0.75), abs=1e-6)
    assert llm.read == []
    [(read, choices)] = llm.asked
    assert choices == ("yes", "no")
    assert "Answer with yes or no alone." in read
    assert answer.usage.calls == 1
    [answer] = answered(Weighing(maybe=0.9), "yes_no", choices=("yes", "no", "maybe"))
    assert answer.text == "maybe"


@pytest.mark.parametrize(
    ("reply", "text", "counts"),
    [
        ("Yes, it does.", "yes", {"yes_no": 1}),
        ("<think>no?</think> yes", "yes", {"yes_no": 1}),
        ("NO", "no", {"yes_no": 1}),
        ("Nothing is said of it.", "no", {"yes_no": 1, "unread": 1}),
        ("It depends.", "no", {"yes_no": 1, "unread": 1}),
        ("", "no", {"yes_no": 1, "unread": 1}),
    ],
)
def test_where_a_model_cannot_choose_its_reply_is_read_and_no_stands_for_what_cannot(
    reply: str, text: str, counts: dict[str, int]
) -> None:
    [answer] = answered(Writes(reply), "yes_no")
    assert answer.text == text
    assert answer.outcome.counts == counts
    assert answer.outcome.kind == ("fallback" if "unread" in counts else "ok")


def test_facts_and_lists_one_a_line_with_the_passage_that_has_their_words() -> None:
    [answer] = answered(Noting(['{"answers": [["glucose"], ["galactose"]]}']), "list")
    assert answer.text == "- glucose\n- galactose"
    assert entries_of(answer) == ["glucose", "galactose"]
    assert [(c.marker, c.by, answer.text[c.start : c.end]) for c in answer.citations] == [
        (1, "attribution", "- glucose"),
        (1, "attribution", "- galactose"),
    ]
    [answer] = answered(Noting(["1. glucose"]), "factoid")
    assert entries_of(answer) == ["glucose"]
    assert answer.outcome.counts == {"factoid": 1}


def test_entries_that_repeat_or_are_too_long_or_too_many_are_dropped_and_counted() -> None:
    reply = str(["a1", "A1.", "b" * 101, "c3", "d4", "e5", "f6", "g7"]).replace("'", '"')
    [answer] = answered(Noting([reply]), "factoid")
    assert entries_of(answer) == ["a1", "c3", "d4", "e5", "f6"]
    assert answer.outcome.kind == "repaired"
    assert answer.outcome.counts == {"factoid": 1, "repeated": 1, "too_long": 1, "too_many": 1}
    many = str([f"e{n}" for n in range(103)]).replace("'", '"')
    [answer] = answered(Noting([many]), "list", max_tokens=400)
    assert len(entries_of(answer)) == 100
    assert answer.outcome.counts["too_many"] == 3


def test_an_empty_list_declines_and_a_reply_without_one_fails() -> None:
    [answer] = answered(Noting(["[]"]), "list")
    assert (answer.status, entries_of(answer)) == ("no_answer", [])
    [answer] = answered(Noting(["I think it is sugar"]), "factoid")
    assert (answer.status, answer.text, answer.outcome.kind) == ("failed", "", "failed")
    assert answer.outcome.counts["unread"] == 1


def test_a_summary_ends_with_the_last_sentence_within_two_hundred_words() -> None:
    long = " ".join(f"Sentence {n} has six words here." for n in range(40))
    [answer] = answered(Noting([long]), "summary", max_tokens=400)
    assert len(answer.text.split()) == 198
    assert answer.text.endswith("Sentence 32 has six words here.")
    assert answer.outcome.counts == {"summary": 1, "over_length": 7}
    assert answer.outcome.kind == "repaired"
    endless = " ".join(f"w{n}" for n in range(300))
    [answer] = answered(Noting([endless]), "summary", max_tokens=400)
    assert len(answer.text.split()) == 200
    [answer] = answered(Noting([""]), "summary")
    assert answer.status == "failed"


def test_the_kind_is_weighed_where_none_is_named_and_each_question_then_costs_two_calls() -> None:
    llm = Weighing(['["glucose"]'], list=0.9)
    first, second = answered(llm, "auto", context(qid="1"), context(qid="2"))
    assert [choices for _, choices in llm.asked] == [KINDS, KINDS]
    assert len(llm.read) == 2
    assert first.usage.calls == second.usage.calls == 2
    assert entries_of(first) == ["glucose"]
    assert first.outcome.counts == {"list": 1}


def test_rules_name_the_kind_and_each_question_then_costs_one_call() -> None:
    llm = Noting(["It makes hormones."])
    [answer] = answered(llm, "rules", context("What is the role of the pancreas?"))
    assert answer.outcome.counts == {"summary": 1}
    assert answer.usage.calls == 1


def test_a_model_that_breaks_down_at_the_kind_is_asked_for_a_summary() -> None:
    class Breaks(Noting):
        def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
            return np.full((len(prompts), len(choices)), np.nan, dtype=np.float32)

    [answer] = answered(Breaks(["It is sugar."]), "auto")
    assert (answer.text, answer.outcome.counts) == ("It is sugar.", {"summary": 1})


def test_without_passages_it_declines_without_a_call() -> None:
    llm = Weighing(yes=1.0)
    empty = Context(query=Query(qid="e", text="?"))
    first, second = answered(llm, "yes_no", empty, context())
    assert (first.qid, first.status, first.usage.calls) == ("e", "no_answer", 0)
    assert (second.text, len(llm.asked)) == ("yes", 1)


def test_snippets_are_shown_in_the_place_of_their_passage_in_the_order_of_its_text() -> None:
    text = LACTOSE.text
    places = [(text.index("Milk"), len(text)), (0, len("Lactase splits lactose"))]
    llm = Noting(["[]"])
    answered(llm, "list", context("?", with_picked(LACTOSE, places)), shots=None)
    assert llm.read[0].startswith("[1] Lactase splits lactose … Milk is a food.\n")


def test_shots_that_there_are_not_are_named() -> None:
    with pytest.raises(SpecError, match=r"no shots named 'tped'. Did you mean 'typed'"):
        answered(Noting(["x"]), "list", shots="tped")


def test_shots_of_the_kind_come_as_turns_but_not_the_question_itself() -> None:
    llm = Noting(["[]"])
    answered(llm, "list", context("Which sugars does lactose consist of?"))
    roles = [turn.role for turn in llm.seen[0]]
    assert roles == ["system", "user", "assistant", "user"], "one of the two is the question"
    assert "insulin" in llm.seen[0][2].content
    llm = Noting(["[]"])
    answered(llm, "list", n_shots=1)
    assert [turn.role for turn in llm.seen[0]] == ["system", "user", "assistant", "user"]
    answered(llm, "list", shots=None)
    assert [turn.role for turn in llm.seen[-1]] == ["system", "user"]


def test_the_form_of_a_list_is_asked_of_a_model_that_keeps_forms() -> None:
    class Keeps(ScriptedLLM):
        keeps_forms = frozenset({"regex", "choices"})

        def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
            self.params = params
            return [Completion(text="[]") for _ in prompts]

    llm = Keeps()
    answered(llm, "factoid")
    assert llm.params.regex.endswith("{0,4})?\\]")
    answered(llm, "summary")
    assert llm.params.regex == ""


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(LacksPower, match="kind: rules asks no model"):
        answered(Writes(""), "auto")
    with pytest.raises(
        ValueError, match="kind must be one of rules, auto, yes_no, factoid, list, summary, got 'essay'"
    ):
        answered(Noting([""]), "essay")
    with pytest.raises(ValueError, match="choices must be two or more"):
        answered(Noting([""]), "yes_no", choices=("yes",))
    with pytest.raises(ValueError, match="n_shots must be 0 or more"):
        answered(Noting([""]), "yes_no", n_shots=-1)
