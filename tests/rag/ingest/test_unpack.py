"""Small files that unpack to large ones end, and say why."""

from __future__ import annotations

import gzip
import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.core.errors import IngestError
from rag.ingest import Limits, Problem, Reader, SourceFile, discover
from rag.ingest.types import ReadError
from rag.ingest.unpack import gunzipped, opened_zip
from tests.rag.ingest.alone import read

At = Callable[..., SourceFile]
LIMITS = Limits(seconds=60, unpacked_ratio=200)


def packed(path: Path, piece: bytes, times: int, *, end: bytes = b"") -> Path:
    with gzip.open(path, "wb") as file:
        for _ in range(times):
            file.write(piece)
        file.write(end)
    return path


@pytest.mark.parametrize("name", ["corpus.jsonl.gz", "rows.jsonl.gz"])
def test_300_million_empty_lines_in_300_kb_end_by_their_ratio(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / name, b"\n" * 1_000_000, 300)
    assert path.stat().st_size < 320_000
    (file,) = discover(path).files
    with pytest.raises(IngestError, match=rf"{name}: unpacks to more than 200 times its 29\d,\d+ bytes; a bomb"):
        read(file, limits=Limits(seconds=600))


def test_lines_that_give_nothing_end_by_time(tmp_path: Path, at: At) -> None:
    path = packed(tmp_path / "corpus.jsonl.gz", b"{}\n" * 100_000, 100)
    with pytest.raises(IngestError, match=r"corpus.jsonl.gz: not one document within 0.5 s"):
        read(at(path, layout="corpus"), limits=Limits(seconds=0.5, unpacked_ratio=10_000))


def test_time_between_two_documents_counts_and_not_what_the_reader_does_with_them(tmp_path: Path, at: At) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(f'{{"_id": "{i}", "text": "x"}}\n' for i in range(20)))
    with Reader(limits=Limits(seconds=1.0)) as reader:
        documents = reader.stream(at(path, layout="corpus"))
        next(documents)
        time.sleep(1.2)
        assert len(list(documents)) == 19


def test_the_processors_time_is_not_asked_for_at_every_record(
    tmp_path: Path, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call into the kernel takes as long as the record itself."""
    path, asked, thread_time = tmp_path / "corpus.jsonl", list[float](), time.thread_time
    path.write_text("".join(f'{{"_id": "{i}", "text": "x"}}\n' for i in range(5_000)))

    def counted() -> float:
        asked.append(thread_time())
        return asked[-1]

    monkeypatch.setattr(time, "thread_time", counted)
    assert len(read(at(path, layout="corpus"))) == 5_000
    assert len(asked) < 2_500


def test_empty_lines_between_records_keep_the_numbers_of_lines(tmp_path: Path, at: At) -> None:
    told: list[Problem] = []
    path = packed(tmp_path / "corpus.jsonl.gz", b"\n" * 1_000_000, 2, end=b'not json\n{"_id": "a", "text": "x"}\n')
    (document,) = read(at(path, layout="corpus"), report=told.append)
    assert document.text == "x"
    assert told[0].reason == "lines that are not a JSON object left out: 1, first in line 2000001"


def test_a_packed_file_is_bounded_by_ratio_and_size(tmp_path: Path) -> None:
    bomb = packed(tmp_path / "a.gz", b"a" * 1_000_000, 40)
    with pytest.raises(ReadError, match="unpacks to more than 200 times"):
        gunzipped(bomb, LIMITS)
    with pytest.raises(ReadError, match="more than 30,000,000 bytes unpacked"):
        gunzipped(bomb, Limits(file_bytes=30_000_000, unpacked_ratio=2_000))
    assert gunzipped(packed(tmp_path / "b.gz", b"a" * 1_000_000, 10), LIMITS) == b"a" * 10_000_000
    (tmp_path / "c.gz").write_bytes(bomb.read_bytes()[:100])
    with pytest.raises(ReadError, match="its compression is damaged"):
        gunzipped(tmp_path / "c.gz", LIMITS)


@pytest.mark.parametrize(("size", "n"), [(40_000_000, 1), (310_000_000, 1), (1, 20_001)])
def test_an_archive_is_bounded_by_ratio_size_and_members(size: int, n: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(n):
            archive.writestr(str(i), b"0" * size)
    with pytest.raises(ReadError, match="bomb"):
        opened_zip(stream.getvalue(), LIMITS)
