from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.pipeline.questions import read_questions


def write(folder: Path, *lines: str) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_forms_of_data_sets_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"id": "test_0", "question": "who?", "golden_answers": ["x"], "metadata": {}}',
        '{"question": "when?", "answers": ["1999"]}',
        "",
        '{"_id": 7, "text": "where?"}',
    )
    assert [(q.qid, q.text) for q in read_questions(path)] == [("test_0", "who?"), ("2", "when?"), ("7", "where?")]
    assert [q.qid for q in read_questions(path, limit=2)] == ["test_0", "2"]


@pytest.mark.parametrize("packed", [False, True])
def test_plain_lines_are_questions(tmp_path: Path, packed: bool) -> None:
    raw = b"\xef\xbb\xbfwho?\n\n  when, [1] {}?  \r\n"
    path = tmp_path / ("q.txt.gz" if packed else "q.TXT")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert [(q.qid, q.text) for q in read_questions(path)] == [("1", "who?"), ("3", "when, [1] {}?")]


def test_packed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "a", "question": "who?"}\n'))
    assert [q.text for q in read_questions(path)] == ["who?"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"questions.jsonl:2: not JSON"),
        ("[1]", r"questions.jsonl:2: a JSON object"),
        ('{"id": "b"}', r"questions.jsonl:2: no question"),
        ('{"id": "b", "question": " "}', r"questions.jsonl:2: no question"),
        ('{"id": "a", "question": "x"}', r"questions.jsonl:2: the id 'a' is that of line 1 too"),
        ('{"id": [1], "question": "x"}', r"questions.jsonl:2: an id is a text"),
        ('{"id": ' + "[" * 400 + "]" * 400 + ', "question": "x"}', r"questions.jsonl:2: an id is a text"),
        ('{"id": "b", "question": ' + "[" * 100_000 + "}", r"questions.jsonl:2: nested too deeply"),
        ('{"id": true, "question": "x"}', r"questions.jsonl:2: an id is a text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path, '{"id": "a", "question": "who?"}', line)
    with pytest.raises(SpecError, match=said):
        list(read_questions(path))
