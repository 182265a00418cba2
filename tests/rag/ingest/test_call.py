"""Functions of others over bytes of strangers, in the process that parses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.ingest import Limits, Reader
from rag.ingest.types import ReadError


@pytest.fixture(scope="module")
def calling() -> Iterator[Reader]:
    with Reader(limits=Limits(seconds=5.0, file_bytes=1_000)) as reader:
        yield reader


def test_a_function_is_given_the_bytes_and_what_it_is_asked(calling: Reader, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1.5]}')
    assert calling.call("json:loads", tmp_path / "a.json") == {"a": [1.5]}
    assert calling.call("builtins:len", tmp_path / "a.json") == 12


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("json:nothing", "the json:nothing parser gave up: AttributeError"),
        ("hashlib:sha256", "gave up: TypeError"),
        ("builtins:int", "gave up: ValueError"),
    ],
)
def test_one_that_fails_is_told_and_the_next_is_answered(
    calling: Reader, tmp_path: Path, function: str, said: str
) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(ReadError, match=said):
        calling.call(function, tmp_path / "a")
    assert calling.call("builtins:len", tmp_path / "a") == 3


def test_what_is_no_file_is_not_opened(calling: Reader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(2_000))
    with pytest.raises(ReadError, match="not a regular file"):
        calling.call("builtins:len", tmp_path / "pipe")
    with pytest.raises(ReadError, match="above the limit"):
        calling.call("builtins:len", tmp_path / "large")
    with pytest.raises(FileNotFoundError):
        calling.call("builtins:len", tmp_path / "absent")
