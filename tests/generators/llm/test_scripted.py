from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.llm_protocols import CanChoose, CanScore, CanStream
from rag.core.protocols import LLM
from rag.core.types import Message, Prompt, SamplingParams


def asked(text: str) -> Prompt:
    return (Message(role="user", content=text),)


def test_it_has_the_powers_it_claims() -> None:
    for power in (LLM, CanStream, CanScore, CanChoose):
        assert isinstance(ScriptedLLM(), power)


def test_replies_come_in_order_and_the_last_one_stays() -> None:
    llm = ScriptedLLM(replies=("one", "two"))
    texts = [c.text for c in llm.complete([asked("a"), asked("b"), asked("c")], SamplingParams())]
    assert texts == ["one", "two", "two"]
    assert llm.seen == [asked("a"), asked("b"), asked("c")]
    assert llm.batches == [3]


def test_tokens_are_words_and_four_a_turn() -> None:
    llm = ScriptedLLM(replies=("three more words",))
    [completion] = llm.complete([asked("two words")], SamplingParams())
    assert llm.count_tokens([asked("two words")]) == [6]
    assert (completion.prompt_tokens, completion.completion_tokens) == (6, 3)


def test_the_limit_and_stop_strings_cut_a_reply() -> None:
    llm = ScriptedLLM(replies=("a b c d",))
    [short] = llm.complete([asked("x")], SamplingParams(max_tokens=2))
    assert (short.text, short.finish_reason, short.completion_tokens) == ("a b", "length", 2)
    [stopped] = llm.complete([asked("x")], SamplingParams(stop=("d", " c")))
    assert (stopped.text, stopped.finish_reason) == ("a b", "stop")


def test_streamed_words_join_to_the_reply() -> None:
    llm = ScriptedLLM(replies=(" a b\n\nc ",))
    pieces, stream = [], llm.stream(asked("x"), SamplingParams())
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            whole = end.value
            break
    assert whole.text == "".join(pieces) == " a b\n\nc "
    assert len(pieces) == 4


def test_scores_depend_on_prompt_and_words_alone() -> None:
    llm = ScriptedLLM()
    [first] = llm.score([asked("q")], ["a b"])
    assert len(first) == 2
    assert all(-6 <= score <= 0 for score in first)
    assert llm.score([asked("q"), asked("r")], ["a b", "a b"])[0] == first
    assert llm.score([asked("r")], ["a b"]) != [first]
    table = llm.choose([asked("q")], ["a b", "a"])
    np.testing.assert_allclose(table, [[sum(first), first[0]]], rtol=1e-6)


def test_a_prompt_over_the_window_is_refused_and_uses_up_no_reply() -> None:
    llm = ScriptedLLM(replies=("one", "two"), context_window=10)
    with pytest.raises(ValueError, match="prompt 2 of 2 is 8 tokens and 5 more"):
        llm.complete([asked("a"), asked("a b c d")], SamplingParams(max_tokens=5))
    assert llm.complete([asked("a")], SamplingParams(max_tokens=5))[0].text == "one"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replies": ()}, "at least one text"),
        ({"replies": "yes"}, "a tuple of"),
        ({"context_window": 0}, "context_window must be"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScriptedLLM(**arguments)


def test_senseless_calls_are_refused() -> None:
    llm = ScriptedLLM()
    with pytest.raises(ValueError, match="max_tokens"):
        llm.complete([asked("a")], SamplingParams(max_tokens=0))
    with pytest.raises(ValueError, match="1 prompts, but 0"):
        llm.score([asked("a")], [])
    with pytest.raises(ValueError, match="at least one choice"):
        llm.choose([asked("a")], [])
