from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.killed_builds import Block, read_again, same_bytes
from benchmarks.many_files import write
from rag.indexing import build_index


@pytest.mark.parametrize(
    ("runs", "again"),
    [
        ([], (0, 0)),
        ([[["a", "b"], ["c"]]], (0, 0)),
        ([[["a", "b"], ["c"]], [["c"]]], (1, 0)),  # c was in work
        ([[["a", "b"], ["c"]], []], (0, 0)),  # it was in work, and had been kept
        ([[["a", "b"]], [], [["a", "b"]], [["a", "b"]]], (4, 0)),  # in work at two kills
        ([[["a", "b"], ["c"]], [["b"], ["c"]]], (1, 1)),  # b was kept
        ([[["a"], ["a"]]], (0, 1)),  # twice in one run
    ],
)
def test_what_was_in_work_may_be_read_again_and_nothing_else(
    runs: Sequence[Sequence[Block]], again: tuple[int, int]
) -> None:
    assert read_again(runs) == again


def test_indexes_differ_by_one_byte_of_one_file(tmp_path: Path) -> None:
    texts = ("wheels are trued", "frames are brazed")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))
    for name in ("one", "other"):
        build_index(corpus, tmp_path / name, legs=("lexical",))
    assert same_bytes(tmp_path / "one", tmp_path / "other")
    corpus.write_text(corpus.read_text().replace("brazed", "glazed"))
    build_index(corpus, tmp_path / "other", legs=("lexical",))
    assert not same_bytes(tmp_path / "one", tmp_path / "other")


def test_the_files_of_a_smaller_number_are_the_first_of_a_larger_one(tmp_path: Path) -> None:
    write(tmp_path / "few", 3)
    write(tmp_path / "many", 1_003)
    few = {file.relative_to(tmp_path / "few"): file.read_text() for file in (tmp_path / "few").rglob("*.txt")}
    many = {file.relative_to(tmp_path / "many"): file.read_text() for file in (tmp_path / "many").rglob("*.txt")}
    assert len(few) == 3
    assert few.items() <= many.items()
    assert len(set(many.values())) == 1_003
    assert sorted(folder.name for folder in (tmp_path / "many").iterdir()) == ["0000", "0001"]
