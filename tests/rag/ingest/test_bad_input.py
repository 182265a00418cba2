"""Hostile and broken files, through the process that parses them: a clear error each, and the rest is still read."""

from __future__ import annotations

import io
import json
import logging
import os
import resource
import signal
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pytest

from rag.core.errors import IngestError
from rag.ingest import Limits, Problem, Reader, SourceFile, discover, worker
from rag.ingest.worker import serve
from tests.rag.ingest.alone import read

At = Callable[..., SourceFile]


def _good(folder: Path, at: At) -> SourceFile:
    path = folder / "good.html"
    path.write_text("<h1>Good</h1><p>Still read.</p>")
    return at(path)


def _word(replace: bytes, by: bytes) -> bytes:
    """A Word file of one paragraph, `X`, with its main part edited."""
    document, plain, edited = docx.Document(), io.BytesIO(), io.BytesIO()
    document.add_paragraph("X")
    document.save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(edited, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(replace, by) if name == "word/document.xml" else content)
    return edited.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "empty"),
        ("a.md", b" \n\t\n", "empty"),
        ("a.html", b"<html><script>x</script></html>", "no text in it"),
        ("a.txt", bytes(range(256)) * 8, "binary, not text"),
        ("a.md", bytes(1000), "binary, not text"),
        ("a.csv", b"a,b\n", "no row below the header line"),
        ("a.pdf", b"%PDF-1.7\n%broken", "the pdf parser gave up"),
        ("a.pdf", b"hello", "not a PDF"),
        ("a.docx", b"PK\x03\x04 broken", "not a zip archive"),
        ("a.txt", "Все сотрудники имеют право".encode("koi8-r"), "not UTF-8 (byte 0)"),
    ],
)
def test_what_cannot_be_read_says_its_name_and_why(
    tmp_path: Path, at: At, reader: Reader, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IngestError) as error:
        reader.read(at(tmp_path / name))
    assert str(error.value).startswith(f"{name}: {reason}")
    assert reader.read(_good(tmp_path, at))[0].text == "Good\n\nStill read."


def test_a_file_of_200_mb_is_refused_unread(tmp_path: Path, at: At, reader: Reader) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(IngestError, match=r"large.txt: 200,000,000 bytes, above the limit of 100,000,000"):
        reader.read(at(path))


def test_a_pipe_does_not_hang_and_a_folder_is_no_file(tmp_path: Path, at: At, reader: Reader) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.pdf").mkdir()
    for name in ("pipe.txt", "folder.pdf"):
        with pytest.raises(IngestError, match=f"{name}: not a regular file"):
            reader.read(at(tmp_path / name))


def test_a_file_that_went_away_is_told(tmp_path: Path, at: At, reader: Reader) -> None:
    with pytest.raises(IngestError, match=r"gone.md: cannot be read: No such file"):
        reader.read(at(tmp_path / "gone.md"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(tmp_path: Path, at: At, reader: Reader) -> None:
    path = tmp_path / "locked.md"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(IngestError, match=r"locked.md: cannot be read: Permission denied"):
        reader.read(at(path))


def test_a_symlink_loop_is_told(tmp_path: Path, at: At, reader: Reader) -> None:
    (tmp_path / "loop.md").symlink_to(tmp_path / "loop.md")
    with pytest.raises(IngestError, match=r"loop.md: cannot be read: Too many levels"):
        reader.read(at(tmp_path / "loop.md"))
    assert [p.name for p in discover(tmp_path).problems] == ["loop.md"]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, at: At, reader: Reader) -> None:
    path = tmp_path / "bomb.docx"
    path.write_bytes(_word(b"X", b"0" * 310_000_000))
    assert path.stat().st_size < 5_000_000
    with pytest.raises(IngestError, match="a zip bomb"):
        reader.read(at(path))


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
def test_external_entities_of_a_word_file_are_refused(tmp_path: Path, at: At, reader: Reader, encoding: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    path = tmp_path / "xxe.docx"
    path.write_bytes(
        _word(b"<w:document", f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]><w:document'.encode())
    )
    if encoding == "UTF-16":
        path.write_bytes(_recoded(path.read_bytes()))
    with pytest.raises(IngestError, match="document type declaration"):
        reader.read(at(path))


def _recoded(word: bytes) -> bytes:
    """The same with its main part in UTF-16, where no search for bytes finds a declaration."""
    edited = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word)) as old, zipfile.ZipFile(edited, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "word/document.xml":
                content = content.decode().replace("UTF-8", "UTF-16").encode("utf-16")
            new.writestr(name, content)
    return edited.getvalue()


def ended_children_s() -> float:
    """CPU seconds of all processes that this one has started and waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def test_a_parser_that_hangs_is_stopped_and_replaced(tmp_path: Path, at: At, pdf: Callable[..., bytes]) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(pdf([b"BT /F1 1 Tf (a) Tj ET " * 400_000]))
    with Reader(limits=Limits(seconds=1.0)) as reader:
        assert reader.read(_good(tmp_path, at))
        before = ended_children_s()
        with pytest.raises(IngestError, match=r"slow.pdf: not parsed within 1 s of the processor's time; split it"):
            reader.read(at(path))
        assert ended_children_s() - before < 20, "the one that was stopped has worked no longer"
        assert reader.read(_good(tmp_path, at))


def test_a_busy_machine_takes_none_of_a_files_time(tmp_path: Path, at: At) -> None:
    with Reader(limits=Limits(seconds=0.5)) as reader:
        reader.read(_good(tmp_path, at))
        (worker,) = reader._idle
        os.kill(worker._process.pid, signal.SIGSTOP)  # what a process sees of a machine that has no time for it
        goes_on = threading.Timer(1.5, os.kill, (worker._process.pid, signal.SIGCONT))
        goes_on.start()
        assert reader.read(_good(tmp_path, at))
        goes_on.join()


def test_a_parser_that_waits_and_does_not_work_is_stopped(tmp_path: Path, at: At) -> None:
    path = tmp_path / "a.txt"
    path.write_text("One line.")
    with Reader(limits=Limits(seconds=0.1)) as reader:
        reader.read(at(path))
        (worker,) = reader._idle
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(IngestError, match=r"a.txt: no answer from its parser within 2 s"):
            reader.read(at(path))
        assert not worker.alive
        assert reader.read(at(path))


def test_a_parser_that_needs_too_much_memory_is_stopped_and_replaced(tmp_path: Path, at: At) -> None:
    path = tmp_path / "fat.html"
    path.write_text("<i>x</i>" * 100_000)
    with Reader(limits=Limits(memory_bytes=120_000_000)) as reader:
        with pytest.raises(IngestError, match=r"fat.html: needs more than 120,000,000 bytes of memory"):
            reader.read(at(path))
        assert reader.read(_good(tmp_path, at))


def test_a_limit_below_what_any_parser_needs_says_so(tmp_path: Path, at: At) -> None:
    with pytest.raises(IngestError, match="needs more than 1,000,000 bytes of memory"):
        read(_good(tmp_path, at), limits=Limits(memory_bytes=1_000_000))


def test_a_parsing_process_that_was_killed_between_files_is_replaced(tmp_path: Path, at: At) -> None:
    with Reader() as reader:
        reader.read(_good(tmp_path, at))
        (worker,) = reader._idle
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
        assert reader.read(_good(tmp_path, at))


def test_a_parsing_process_that_dies_at_work_is_told(tmp_path: Path, at: At, pdf: Callable[..., bytes]) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(pdf([b"BT /F1 1 Tf (a) Tj ET " * 400_000]))
    with Reader() as reader:
        reader.read(_good(tmp_path, at))
        (worker,) = reader._idle
        killer = threading.Timer(0.5, os.kill, (worker._process.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(IngestError, match=r"slow.pdf: the parser died on it \(SIGKILL\)"):
            reader.read(at(path))
        killer.join()


def test_parsing_processes_are_kept_between_files_and_ended_with_the_reader(tmp_path: Path, at: At) -> None:
    with Reader() as reader:
        reader.read(_good(tmp_path, at))
        (first,) = reader._idle
        reader.read(_good(tmp_path, at))
        assert reader._idle == [first]
    assert not first.alive


def test_ctrl_c_in_a_terminal_does_not_reach_the_parsing_process(tmp_path: Path, at: At) -> None:
    with Reader() as reader:
        reader.read(_good(tmp_path, at))
        (worker,) = reader._idle
        assert os.getsid(worker._process.pid) != os.getsid(0)


def test_threads_may_share_a_reader(tmp_path: Path, at: At, reader: Reader) -> None:
    file, texts = _good(tmp_path, at), list[str]()

    def work() -> None:
        for _ in range(5):
            texts.append(reader.read(file)[0].text)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["Good\n\nStill read."] * 15


def test_hostile_text_stays_text_and_mending_is_told(tmp_path: Path, at: At) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"a\x00b \x1b[2J [red]x[/red] <|im_start|>system [/usr/bin]\n" * 3)
    told: list[Problem] = []
    (document,) = read(at(path), report=told.append)
    assert document.text.startswith("ab [2J [red]x[/red] <|im_start|>system [/usr/bin]")
    assert told == [Problem(name="a.md", reason="6 control characters removed", lost=False)]


def test_problems_nobody_takes_are_logged(tmp_path: Path, at: At, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("naïve".encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert read(at(path))[0].text == "naïve"
    assert caplog.messages == ["a.txt: not UTF-8; read as Windows-1252"]


def test_a_suffix_that_nothing_knows_is_read_as_plain_text(tmp_path: Path, at: At, reader: Reader) -> None:
    path = tmp_path / "LICENSE"
    path.write_text("Permission is granted.")
    assert reader.read(at(path))[0].text == "Permission is granted."


def test_the_worker_answers_every_request_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\x07")
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    files = [("plain", "a.txt"), ("plain", "none.txt"), ("pdf", "b.pdf")]
    same = {"layout": "file", "limits": {}, "seconds": 5}
    requests = [{"parser": parser, "path": str(tmp_path / name), "name": name, **same} for parser, name in files]
    answers = io.StringIO()
    serve(io.StringIO("".join(json.dumps(request) + "\n" for request in requests)), answers)
    good, missing, broken = map(json.loads, answers.getvalue().splitlines())
    assert good["documents"][0]["text"] == "one"
    assert good["notes"] == [["1 control characters removed", False]]
    assert "FileNotFoundError" in missing["error"]
    assert broken["error"].startswith("the pdf parser gave up")


def test_an_error_of_a_parser_that_starves_is_told_as_one_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    request = {"parser": "pdf", "path": str(tmp_path / "b.pdf"), "name": "b.pdf", "layout": "file"}
    answers = io.StringIO()
    monkeypatch.setattr(worker, "_LITTLE", sys.maxsize)
    serve(io.StringIO(json.dumps({**request, "limits": {}, "seconds": 5}) + "\n"), answers)
    assert json.loads(answers.getvalue()) == {"memory": True}


@pytest.mark.parametrize(
    "field", ["file_bytes", "corpus_bytes", "record_bytes", "seconds", "memory_bytes", "unpacked_ratio"]
)
def test_limits_must_be_above_zero(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be above 0"):
        Limits(**{field: 0})
