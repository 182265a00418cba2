"""A prompt is asked once, in this run and in the next one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.remembering import Remembering
from generators.llm.scripted import ScriptedLLM
from rag.core.types import Message, Prompt, SamplingParams


def asking(text: str) -> Prompt:
    return (Message(role="user", content=text),)


def test_replies_are_those_of_the_first_time_in_order(tmp_path: Path) -> None:
    model = ScriptedLLM(replies=("one", "two", "three"))
    llm = Remembering(model, kept=tmp_path / "deep" / "replies.jsonl")
    params = SamplingParams(max_tokens=4)
    assert [c.text for c in llm.complete([asking("a"), asking("b"), asking("a")], params)] == ["one", "two", "one"]
    assert [c.text for c in llm.complete([asking("b"), asking("c")], params)] == ["two", "three"]
    assert [prompt[0].content for prompt in model.seen] == ["a", "b", "c"]
    again = ScriptedLLM(replies=("four",))
    later = Remembering(again, kept=tmp_path / "deep" / "replies.jsonl")
    assert [c.text for c in later.complete([asking("c"), asking("a"), asking("b")], params)] == ["three", "one", "two"]
    assert later.complete([asking("c")], params) == llm.complete([asking("c")], params)
    assert again.seen == []
    assert later.complete([asking("a")], SamplingParams(max_tokens=5))[0].text == "four", "other sampling is asked anew"


def test_nothing_is_kept_where_no_file_is_named(tmp_path: Path) -> None:
    Remembering(ScriptedLLM(replies=("one",))).complete([asking("a")], SamplingParams())
    assert list(tmp_path.iterdir()) == []
