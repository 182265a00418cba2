from __future__ import annotations

from pathlib import Path

import pytest

from prompts import load_instructions
from prompts.instructions import read_instructions
from rag.core.errors import SpecError


def test_the_ten_of_genqr_are_read_with_the_hash_of_their_file() -> None:
    read = load_instructions("genqr")
    assert len(read.texts) == 10
    assert read.texts[0] == "Improve the search results for this query by adding useful terms that expand it."
    assert len(read.sha256) == 64


def test_an_unknown_list_is_named_with_those_there_are() -> None:
    with pytest.raises(SpecError, match=r"no list of instructions named 'genrq'\. Did you mean 'genqr'"):
        load_instructions("genrq")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instructions: []", "must hold 'instructions'"),
        ("- a", "must hold 'instructions'"),
        ("instructions: [a, 1]", "must hold 'instructions'"),
        ("instructions: [a, b, a]", "there twice"),
        ("instructions: !x [a]", "tags"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=message):
        read_instructions(file, source="mine")
