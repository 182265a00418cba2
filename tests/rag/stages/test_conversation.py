from __future__ import annotations

from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Message, Query, Ranking
from rag.stages import REFORMULATORS
from rag.stages.conversation import ConversationReformulator, self_contained
from rag.stages.fuse import RRFFuser, WeightedFuser

MultiQueryReformulator = REFORMULATORS.get("multi_query")


HISTORY = (
    Message(role="user", content="How long is the warranty of a frame?"),
    Message(role="assistant", content="Ten years. " + "more " * 200),
)
FOLLOW_UP = Query(qid="q", text="and for forks?", history=HISTORY, where={"lang": "en"})


def test_the_turn_and_its_rewrite_are_both_searched() -> None:
    llm = ScriptedLLM(replies=("Question: How long is the warranty of forks?",))
    raw, rewrite = ConversationReformulator(llm=llm).reformulate([FOLLOW_UP])
    assert (raw.text, raw.original, raw.usage.calls) == ("and for forks?", None, 1)
    assert (rewrite.text, rewrite.asked) == ("How long is the warranty of forks?", "and for forks?")
    assert (rewrite.qid, rewrite.history, rewrite.where, rewrite.usage.calls) == ("q", HISTORY, {"lang": "en"}, 0)


@pytest.mark.parametrize("fuser", [RRFFuser(), WeightedFuser()], ids=lambda f: type(f).__name__)
@pytest.mark.parametrize("keep_original", [True, False])
def test_what_reads_no_history_reads_the_rewrite_and_who_answers_reads_the_turn(
    fuser: Any, keep_original: bool
) -> None:
    """Other reformulators may come in between; a fused ranking goes to rerankers, then to a generator."""
    llm = ScriptedLLM(replies=("How long is the warranty of forks?",))
    variants = ConversationReformulator(llm=llm, keep_original=keep_original).reformulate([FOLLOW_UP])
    others = MultiQueryReformulator(llm=ScriptedLLM(replies=("fork guarantee in years",)), n=1).reformulate(variants)
    assert len(others) > len(variants)
    [fused] = fuser.fuse([Ranking(query=query) for query in others], k=3)
    assert (fused.query.text, fused.query.asked) == ("How long is the warranty of forks?", "and for forks?")
    assert (fused.query.history, fused.query.where) == (HISTORY, {"lang": "en"})
    assert fused.query.root == fused.query


def test_a_turn_that_was_not_rewritten_is_its_own_root() -> None:
    [same] = ConversationReformulator(llm=ScriptedLLM(replies=("and for forks?",))).reformulate([FOLLOW_UP])
    assert (same.root.text, same.stand_alone) == ("and for forks?", None)


def test_the_rewrite_alone_may_be_asked_for() -> None:
    llm = ScriptedLLM(replies=("How long is the warranty of forks?",))
    [rewrite] = ConversationReformulator(llm=llm, keep_original=False).reformulate([FOLLOW_UP])
    assert (rewrite.text, rewrite.usage.calls) == ("How long is the warranty of forks?", 1)


def test_the_model_reads_the_last_turns_cut_to_their_words() -> None:
    llm = ScriptedLLM(replies=("x",))
    ConversationReformulator(llm=llm, turns=1, max_words=3).reformulate([FOLLOW_UP])
    assert "Conversation:\nAssistant: Ten years. more\n\nFollow-up: and for forks?" in llm.seen[0][1].content


@pytest.mark.parametrize(
    "text", ["how long is the warranty of forks", "Who signs orders above five hundred euros in May"]
)
def test_a_question_that_stands_alone_costs_no_call(text: str) -> None:
    llm = ScriptedLLM()
    asked = Query(qid="q", text=text, history=HISTORY)
    [query] = ConversationReformulator(llm=llm).reformulate([asked])
    assert (query.text, query.outcome.kind, query.outcome.counts) == (text, "ok", {"self_contained": 1})
    assert llm.seen == []
    ConversationReformulator(llm=llm, skip_self_contained=False).reformulate([asked])
    assert len(llm.seen) == 1


@pytest.mark.parametrize(
    "text",
    [
        "and for forks?",
        "how long does it take",
        "what about the other one",
        "why",
        "warranty of forks",
        "wie lange gilt das für Gabeln",
        "那么前叉呢",
        "",
    ],
)
def test_what_refers_back_or_is_not_known_to_be_english_goes_to_the_model(text: str) -> None:
    assert not self_contained(text)


def test_a_query_without_history_is_left_alone() -> None:
    llm = ScriptedLLM()
    [query] = ConversationReformulator(llm=llm).reformulate([Query(qid="q", text="and for forks?")])
    assert (query.text, query.outcome.kind, llm.seen) == ("and for forks?", "ok", [])


def test_only_follow_ups_are_sent_and_all_in_one_call() -> None:
    llm = ScriptedLLM(replies=("one", "two"))
    batch = [FOLLOW_UP, Query(qid="n", text="no history"), Query(qid="p", text="and that?", history=HISTORY)]
    found = ConversationReformulator(llm=llm).reformulate(batch)
    assert [(q.qid, q.text) for q in found] == [
        ("q", "and for forks?"),
        ("q", "one"),
        ("n", "no history"),
        ("p", "and that?"),
        ("p", "two"),
    ]
    assert llm.batches == [2]


@pytest.mark.parametrize(
    ("reply", "kind", "counts"),
    [
        ("And for forks", "ok", {"calls": 1, "ok": 1, "repaired": 0, "fallback": 0, "unchanged": 1}),
        ("", "fallback", {"calls": 1, "ok": 0, "repaired": 0, "fallback": 1, "empty": 1}),
        ("<think>forks are", "fallback", {"calls": 1, "ok": 0, "repaired": 0, "fallback": 1, "empty": 1}),
    ],
)
def test_a_reply_that_says_nothing_new_leaves_the_turn_alone(reply: str, kind: str, counts: dict[str, int]) -> None:
    for keep in (True, False):
        llm = ScriptedLLM(replies=(reply,))
        [query] = ConversationReformulator(llm=llm, keep_original=keep).reformulate([FOLLOW_UP])
        assert (query.text, query.outcome.kind, query.outcome.counts) == ("and for forks?", kind, counts)


def test_an_empty_batch_gives_an_empty_list() -> None:
    assert ConversationReformulator(llm=ScriptedLLM()).reformulate([]) == []


@pytest.mark.parametrize("arguments", [{"turns": 0}, {"max_words": 0}, {"max_tokens": 0}])
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ConversationReformulator(llm=ScriptedLLM(), **arguments)
