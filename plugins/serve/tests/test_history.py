from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Message, Prompt
from ragline_serve import ServeSettings
from ragline_serve.service.history import by_turns, fit, split
from ragline_serve.service.replies import ApiError
from ragline_serve.service.wire.chat import ChatMessage
from tests.cpu_time import least_cpu_s


def messages(*turns: tuple[str, Any]) -> list[ChatMessage]:
    return [ChatMessage.model_validate({"role": role, "content": text}) for role, text in turns]


def said(turns: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in turns]


def test_the_last_message_is_the_question_and_the_others_its_history() -> None:
    turns: tuple[tuple[str, Any], ...] = (("system", "s"), ("user", "a"), ("assistant", "b"), ("developer", "d"))
    asked = messages(*turns, ("tool", "t"), ("user", [{"type": "text", "text": "c"}]))
    made = split(asked, ServeSettings())
    assert (made.question, made.wishes) == ("c", "s\n\nd")
    assert said(made.turns) == [("user", "a"), ("assistant", "b")]
    above = split(asked, ServeSettings(allow_system=True))
    assert (above.question, above.wishes) == ("c", "")
    assert said(above.turns) == [("system", "s\n\nd"), ("user", "a"), ("assistant", "b")]


@pytest.mark.parametrize(
    ("turns", "made"),
    [
        ([("assistant", "welcome"), ("user", "a"), ("assistant", "b")], [("user", "a"), ("assistant", "b")]),
        ([("user", "a"), ("user", "b"), ("assistant", "c")], [("user", "a\n\nb"), ("assistant", "c")]),
        ([("user", "a"), ("assistant", "b"), ("assistant", "c")], [("user", "a"), ("assistant", "b\n\nc")]),
        ([("user", "a"), ("assistant", None), ("user", "b")], []),
        ([("user", "a"), ("assistant", "b"), ("user", "stopped")], [("user", "a"), ("assistant", "b")]),
        ([("user", "a"), ("system", "s"), ("tool", "t"), ("assistant", "b")], [("user", "a"), ("assistant", "b")]),
    ],
)
def test_turns_follow_each_other_as_every_chat_template_takes_them(turns: Any, made: Any) -> None:
    assert said(by_turns(messages(*turns))) == made


def test_many_messages_of_one_role_cost_what_their_characters_cost() -> None:
    """Joined one by one, a request of 4 MiB would copy 2 GiB."""
    many = messages(*[("user", "x" * 4_000)] * 1_000, ("assistant", "y"))
    assert least_cpu_s(lambda: by_turns(many), enough=0.1) <= 0.1
    asked, _ = by_turns(many)
    assert len(asked.content) == 1_000 * 4_000 + 999 * 2


HISTORY = by_turns(messages(("user", "one two"), ("assistant", "three"), ("user", "four"), ("assistant", "five six")))


@pytest.mark.parametrize(("budget", "kept"), [(100, 4), (22, 4), (21, 2), (11, 2), (10, 0), (0, 0)])
def test_the_latest_exchanges_that_fit_are_kept_whole(budget: int, kept: int) -> None:
    """A word is a token of this model and a turn four more: 6 + 5 and 5 + 6 tokens."""
    settings = ServeSettings(history_tokens=budget)
    assert fit("q", HISTORY, ScriptedLLM(), settings) == HISTORY[4 - kept :]


def test_a_small_window_keeps_a_quarter_for_them() -> None:
    assert fit("q", HISTORY, ScriptedLLM(context_window=48), ServeSettings()) == HISTORY[2:]


def test_a_system_message_stays_whatever_goes() -> None:
    history = (Message(role="system", content="plainly"), *HISTORY)
    assert said(fit("q", history, ScriptedLLM(), ServeSettings(history_tokens=10))) == [("system", "plainly")]
    with pytest.raises(ApiError, match="The system message is too long"):
        fit("q", history, ScriptedLLM(), ServeSettings(history_tokens=4))


def test_a_question_that_is_too_long_is_refused_with_numbers() -> None:
    with pytest.raises(ApiError, match=r"The question has 5 tokens; at most 4 are taken\.") as refused:
        fit("q", (), ScriptedLLM(), ServeSettings(question_tokens=4))
    assert refused.value.code == "context_length_exceeded"


class Counting(ScriptedLLM):
    """Keeps what it was asked to count."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: list[str] = []

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        self.counted += [turn.content for prompt in prompts for turn in prompt]
        return super().count_tokens(prompts)


def test_what_nobody_will_read_is_not_counted() -> None:
    long = by_turns(messages(*[("user", "q"), ("assistant", "a")] * 200, ("user", "one two"), ("assistant", "three")))
    llm = Counting()
    assert fit("why", long, llm, ServeSettings(history_tokens=15)) == long[-2:]
    assert llm.counted == ["why", "one two", "three", "q", "a"]
    llm = Counting()
    with pytest.raises(ApiError, match="The question has 5 tokens"):
        fit("why", long, llm, ServeSettings(question_tokens=4))
    assert llm.counted == ["why"]


def test_what_is_much_too_long_is_refused_uncounted() -> None:
    llm = Counting()
    with pytest.raises(ApiError, match="The question has 32,769 characters; at most 512 tokens are taken"):
        fit("x" * 32_769, HISTORY, llm, ServeSettings())
    assert llm.counted == []
    system = (Message(role="system", content="x" * 65_537), *HISTORY)
    with pytest.raises(ApiError, match="The system message is too long"):
        fit("q", system, llm, ServeSettings())
    assert llm.counted == ["q"]
    endless = (*HISTORY, Message(role="user", content="x" * 65_537), Message(role="assistant", content="y"))
    assert fit("q", endless, llm, ServeSettings()) == ()
    assert llm.counted == ["q", "q"]


def test_without_a_model_to_count_the_guess_errs_on_the_long_side() -> None:
    assert fit("q", HISTORY, None, ServeSettings(history_tokens=40)) == HISTORY[2:]
