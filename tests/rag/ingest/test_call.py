"""Functions of others over bytes of strangers, in the process that parses."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from rag.core.errors import IngestError
from rag.ingest import Limits, Reader, SourceFile
from rag.ingest.sandbox import Worker
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


def test_a_stream_that_the_collector_ends_holds_nobody_up(
    tmp_path: Path, at: Callable[..., SourceFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come wherever memory is asked for, so also where a process is started for another stream."""

    def started(limits: Limits) -> Worker:
        gc.collect(0)
        return Worker(limits)

    monkeypatch.setattr("rag.ingest.read.Worker", started)
    (tmp_path / "a.xlsx").write_text("no workbook")
    file = at(tmp_path / "a.xlsx")

    def refused() -> IngestError | None:
        try:
            reader.read(file)
        except IngestError as error:
            return error
        return None

    reader = Reader()
    error = refused()  # its traceback has the stream
    gc.collect()  # the stream is old now, and what has it is new
    left: list[object] = [error]
    left.append(left)
    del left, error
    reading = Thread(target=refused, daemon=True)
    reading.start()
    reading.join(60)
    assert not reading.is_alive()
    reader.close()
