from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.pipeline.commit_log import DIGEST, CommitLog, whole_length

LINES = [{"key": f"k{number}", "text": "ключ \n [red] \u2028" * number} for number in range(4)]


def said(log: CommitLog) -> list[dict[str, object]]:
    """The records of a log without the digests that it adds."""
    return [{key: value for key, value in record.items() if key != DIGEST} for record in log.records()]


def test_what_is_committed_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with CommitLog(path) as log:
        log.commit(LINES[:2])
        log.commit([])
        log.commit(LINES[2:])
    with CommitLog(path) as log:
        assert said(log) == LINES
        assert [key in log.keys for key in ("k0", "k3", "k4", "k")] == [True, True, False, False]
        assert len(log.keys) == 4


def test_a_tail_torn_at_any_byte_is_cut_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with CommitLog(path) as log:
        log.commit(LINES)
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 0x0A]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with CommitLog(path) as log:
            kept = sum(end - 1 <= size for end in ends)  # a line that lacks its end alone is whole
            assert said(log) == LINES[:kept]
            log.commit(LINES[kept:])
        assert path.read_bytes() == whole


def test_a_key_is_committed_once(tmp_path: Path) -> None:
    with CommitLog(tmp_path / "log.jsonl") as log:
        log.commit(LINES[:1])
        for again in ([LINES[0]], [LINES[1], LINES[1]]):
            with pytest.raises(ValueError, match="committed once"):
                log.commit(again)
        assert said(log) == LINES[:1]


@pytest.mark.parametrize(
    "damaged", [b"\xff\xfe\n", b"not json\n", b"[]\n", b'{"key": 7}\n', b"\n", b"[" * 10**5 + b"\n"]
)
def test_damage_before_the_tail_is_refused(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"key": "a"}\n' + damaged + b'{"key": "b"}\n')
    with pytest.raises(SpecError, match=r"log\.jsonl:2 is damaged"):
        CommitLog(path)


def test_a_long_tail_is_found_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"short\n" + b"x" * 200_000)
    assert whole_length(path) == 6
    path.write_bytes(b"x" * 200_000)
    assert whole_length(path) == 0
    path.write_bytes(b"")
    assert whole_length(path) == 0


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (b'"text":""', b'"text":"better"', "it was edited after it was written"),
        (b'"key":"k0"', b'"key":"k9"', "it was edited after it was written"),
        (b'"key":"k0"', b'"Key":"k0"', "it has no key"),
        (b"}\n", b"\n", "it is not JSON"),
    ],
)
def test_a_line_that_was_edited_is_named_with_what_to_do(tmp_path: Path, before: bytes, after: bytes, why: str) -> None:
    path = tmp_path / "log.jsonl"
    with CommitLog(path) as log:
        log.commit(LINES[:2])
    edited = path.read_bytes().replace(before, after, 1)
    path.write_bytes(edited)
    with pytest.raises(
        SpecError, match=rf"log\.jsonl:1 is damaged.*: {why}\. Put the line back as it was, or delete it"
    ):
        CommitLog(path)
    assert path.read_bytes() == edited


def test_a_line_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with CommitLog(path) as log:
        log.commit(LINES[:2])
    path.write_bytes(path.read_bytes() + path.read_bytes())
    with pytest.raises(SpecError, match=r"log\.jsonl:3 is damaged.*: it is there a second time"):
        CommitLog(path)


def test_what_a_line_cost_may_be_edited_and_lines_of_older_versions_have_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with CommitLog(path) as log:
        log.commit([LINES[1] | {"cost": 1}])
    path.write_bytes(path.read_bytes().replace(b'"cost":1', b'"cost":2') + b'{"key":"old"}\n')
    with CommitLog(path) as log:
        assert [record["key"] for record in log.records()] == ["k1", "old"]


def test_a_full_disk_leaves_whole_lines_and_says_what_to_do(tmp_path: Path) -> None:
    """A real write that fails half way: the process may write files of 5,000 bytes."""
    path = tmp_path / "log.jsonl"
    script = f"""
import resource
from pathlib import Path
from rag.pipeline.commit_log import CommitLog
from rag.core.errors import SpecError

resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with CommitLog(Path({str(path)!r})) as log:
    log.commit([{{"key": "a", "text": "x" * 2000}}])
    for key in "bc":
        try:
            log.commit([{{"key": key, "text": "x" * 4000}}])
        except SpecError as error:
            print(error)
"""
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    said_twice = f"{path} cannot be written (File too large). The 1 lines that are there are whole: make room, then "
    assert printed == (said_twice + "go on with --resume\n") * 2
    with CommitLog(path) as log:
        log.commit([{"key": "b"}])
        assert [record["key"] for record in log.records()] == ["a", "b"]


def test_lines_of_one_commit_that_still_fit_a_full_disk_stay(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    script = f"""
import resource
from pathlib import Path
from rag.pipeline.commit_log import CommitLog
from rag.core.errors import SpecError

resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with CommitLog(Path({str(path)!r})) as log:
    try:
        log.commit([{{"key": key, "text": "x" * 2000}} for key in "abcd"])
    except SpecError as error:
        print(error)
    print([key in log.keys for key in "abcd"])
"""
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    said = f"{path} cannot be written (File too large). The 2 lines that are there are whole: make room, then "
    assert printed == said + "go on with --resume\n[True, True, False, False]\n"
    with CommitLog(path) as log:
        assert [record["key"] for record in log.records()] == ["a", "b"]
