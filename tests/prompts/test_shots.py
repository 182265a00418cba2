"""Shots: what a file may hold, which of them are shown, and how many fit."""

from __future__ import annotations

from pathlib import Path

import pytest

import prompts
from generators.llm.scripted import ScriptedLLM
from prompts.shots import load_shots, with_shots
from rag.core.errors import SpecError
from rag.core.types import Message

PROMPT = """
variables: [question, choices]
system: You answer.
user: "{question} Say {choices}."
"""
SHOTS = """
shots:
  - {kind: a, question: "Is it one?", reply: "yes"}
  - {kind: b, question: "Is it two?", reply: "no"}
  - {kind: a, question: "Is it three?", reply: "no"}
"""


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_shots_of_a_kind_as_turns_but_not_the_question_itself(tmp_path: Path) -> None:
    shots = load_shots(written(tmp_path, "shots.yaml", SHOTS))
    prompt = prompts.load(written(tmp_path, "prompt.yaml", PROMPT))
    shots.require(prompt, by="test", kind="a", given=["choices"])
    turns = shots.turns(prompt, 9, but_not="is it ONE", kind="a", choices="so")
    assert turns == [
        (Message(role="user", content="Is it three? Say so."), Message(role="assistant", content="no")),
    ]
    assert len(shots.turns(prompt, 1, but_not="other", kind="a", choices="so")) == 1
    assert shots.turns(prompt, 0, but_not="other", kind="a", choices="so") == []


def test_a_reply_stands_behind_what_the_prompt_writes_of_it(tmp_path: Path) -> None:
    shots = load_shots(written(tmp_path, "shots.yaml", 'shots: [{question: "Is it?", reply: "yes"}]'))
    prompt = prompts.load(written(tmp_path, "p.yaml", "variables: [question]\nuser: '{question}'\nassistant: 'So:'"))
    [(_, replied)] = shots.turns(prompt, 1, but_not="")
    assert replied == Message(role="assistant", content="So: yes")


def test_they_come_behind_the_system_and_the_last_ones_stay_where_not_all_fit() -> None:
    def turn(words: int, name: str) -> Message:
        return Message(role="user", content=" ".join([name] * words))

    system = Message(role="system", content="s s")
    case, shots = [system, turn(4, "case")], [[turn(10, "first")], [turn(10, "second")]]
    # a turn is its words and four: 6 + 8 for the case, 14 for each shot
    [both] = with_shots(ScriptedLLM(context_window=42), [case], [shots], room=0)
    assert both == (system, *shots[0], *shots[1], case[1])
    [one] = with_shots(ScriptedLLM(context_window=42), [case], [shots], room=1)
    assert one == (system, *shots[1], case[1])
    [none] = with_shots(ScriptedLLM(context_window=20), [case], [shots], room=0)
    assert none == (system, case[1])
    assert with_shots(ScriptedLLM(), [], [], room=0) == []


def test_what_a_shot_lacks_or_has_too_much_is_named(tmp_path: Path) -> None:
    prompt = prompts.load(written(tmp_path, "prompt.yaml", PROMPT))
    shots = load_shots(written(tmp_path, "shots.yaml", 'shots: [{question: "Is it?", answer: so, reply: "yes"}]'))
    with pytest.raises(SpecError, match=r"shot 1 of '.*' must have choices, question and reply.*has answer, question"):
        shots.require(prompt, by="test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shots: []", "must hold 'shots', a list of examples"),
        ("- a", "must hold 'shots'"),
        ("shots: [{question: a}]", "shot 1 must be texts by name, 'reply' among them"),
        ("shots: [{question: 1, reply: a}]", "shot 1 must be texts"),
        ("shots: [a]", "shot 1 must be texts"),
    ],
)
def test_a_file_that_holds_no_shots_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_shots(written(tmp_path, "shots.yaml", text))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no shots named 'tped'\."):
        load_shots("tped")
    with pytest.raises(SpecError, match="cannot be read"):
        load_shots(str(tmp_path / "none.yaml"))
    with pytest.raises(SpecError, match=r"^shots '.*' is not a regular file"):
        load_shots(f"{tmp_path}/")
    (tmp_path / "latin.yaml").write_bytes("shots: [é]".encode("latin-1"))
    with pytest.raises(SpecError, match="is not UTF-8"):
        load_shots(str(tmp_path / "latin.yaml"))
