from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from prompts import available, load
from prompts.template import MAX_BYTES
from rag.core.errors import SpecError
from rag.core.types import Message

GOOD = """\
description: A test.
variables: [name, thing]
system: You know {{braces}}.
user: |
  {name} asks for {thing}.
assistant: '['
refusal: braces
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def written(text: str | bytes) -> str:
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return written


def test_a_prompt_renders_its_turns(write) -> None:  # type: ignore[no-untyped-def]
    assert load(write(GOOD)).render(name="Ada", thing="tea") == (
        Message(role="system", content="You know {braces}."),
        Message(role="user", content="Ada asks for tea."),
        Message(role="assistant", content="["),
    )


def test_braces_in_a_value_are_never_looked_at(write) -> None:  # type: ignore[no-untyped-def]
    hostile = "{name} {thing} {{x}} {0} {__class__} {"
    assert load(write(GOOD)).render(name=hostile, thing="{name}")[1].content == f"{hostile} asks for {{name}}."


def test_the_hash_is_that_of_the_file(write) -> None:  # type: ignore[no-untyped-def]
    assert load(write(GOOD)).sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


def test_missing_and_unknown_values_are_named_together(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError) as caught:
        load(write(GOOD)).render(name="Ada", think="x")
    assert len(caught.value.problems) == 2
    assert "needs a value for 'thing'" in caught.value.problems[0]
    assert "Did you mean 'thing'?" in caught.value.problems[1]


def test_a_component_says_what_it_gives(write) -> None:  # type: ignore[no-untyped-def]
    template = load(write(GOOD))
    template.require("name", "thing", by="x")
    with pytest.raises(SpecError) as caught:
        template.require("name", "things", by="rerank.x")
    assert caught.value.problems == (
        f"rerank.x: prompt '{template.source}' never uses {{things}}",
        f"rerank.x: prompt '{template.source}' uses {{thing}}, which is not given. "
        "Did you mean 'things'? Known: name, things.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user: '{a}'", "{a} is not declared"),
        ("variables: [a]\nuser: 'b'", "variable 'a' is declared and never used"),
        ("variables: [a]\nuser: '{a} {'", "a single '{' at character 4; write {{"),
        ("variables: [a]\nuser: '{a} {0}'", "a single '{' at character 4"),
        ("variables: a\nuser: b", "'variables' must be a list of names"),
        ("variables: []", "'user' is missing"),
        ("user: [a]", "'user' must be text, not list"),
        ("user: b\nsytem: c", "unknown field 'sytem'. Did you mean 'system'?"),
        ("user: b\nrefusal: no idea", "refusal 'no idea' stands in neither"),
        ("user: b\nuser: c", ":2: 'user' is written twice"),
        ("system: &x b\nuser: *x", ":1: anchors (&) and aliases (*) are not allowed"),
        ("user: !!python/object/apply:os.getcwd []", ":1: tags (!) are not allowed"),
        ("user: 'b", ":1: this is not YAML"),
        ("- user", "must hold a mapping"),
        ("", "must hold a mapping"),
        (b"user: \xff\xfe", "is not UTF-8"),
    ],
)
def test_a_wrong_file_is_refused_by_name(write, text: str | bytes, message: str) -> None:  # type: ignore[no-untyped-def]
    path = write(text)
    with pytest.raises(SpecError) as caught:
        load(path)
    assert message in str(caught.value)
    assert path in str(caught.value)


def test_all_problems_of_a_file_come_at_once(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError) as caught:
        load(write("variables: [a]\nsystem: '{b}'\nmore: 1"))
    assert len(caught.value.problems) == 4


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(SpecError, match="Did you mean 'answer_cited'"):
        load("answer_sited")
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        load("../answer_cited")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nothing\.yaml' cannot be read: No such file"):
        load(str(tmp_path / "nothing.yaml"))


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    """A device, a pipe, a folder; and a file is read as far as it may be long."""
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", f"{tmp_path}/pipe", f"{tmp_path}/"):
        with pytest.raises(SpecError, match="is not a regular file"):
            load(path)
    (tmp_path / "long.yaml").write_text(GOOD + "#" * (MAX_BYTES - len(GOOD)))
    assert load(f"{tmp_path}/long.yaml").variables == ("name", "thing")
    (tmp_path / "long.yaml").write_text(GOOD + "#" * (MAX_BYTES - len(GOOD) + 1))
    with pytest.raises(SpecError, match=r"has more than 262,144 bytes\. Give a shorter one\."):
        load(f"{tmp_path}/long.yaml")


@pytest.mark.parametrize("name", available())
def test_every_prompt_of_the_library_renders(name: str) -> None:
    template = load(name)
    turns = template.render(**{variable: f"<{variable}>" for variable in template.variables})
    text = "\n".join(turn.content for turn in turns)
    assert template.description
    assert all(f"<{variable}>" in text for variable in template.variables)


def test_the_library_holds_what_the_components_ask_for() -> None:
    assert set(available()) >= {"answer_cited", "answer_closed_book", "multi_query", "rank_listwise"}
