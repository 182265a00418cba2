from __future__ import annotations

from pathlib import Path

import pytest

from rag.batch.log import CommitLog, whole_length
from rag.core.errors import SpecError

LINES = [{"key": f"k{number}", "text": "ключ \n [red] \u2028" * number} for number in range(4)]


def test_what_is_committed_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with CommitLog(path) as log:
        log.commit(LINES[:2])
        log.commit([])
        log.commit(LINES[2:])
    with CommitLog(path) as log:
        assert list(log.records()) == LINES
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
            kept = sum(end <= size for end in ends)
            assert list(log.records()) == LINES[:kept]
            log.commit(LINES[kept:])
        assert path.read_bytes() == whole


def test_a_key_is_committed_once(tmp_path: Path) -> None:
    with CommitLog(tmp_path / "log.jsonl") as log:
        log.commit(LINES[:1])
        for again in ([LINES[0]], [LINES[1], LINES[1]]):
            with pytest.raises(ValueError, match="committed once"):
                log.commit(again)
        assert list(log.records()) == LINES[:1]


@pytest.mark.parametrize("damaged", [b"\xff\xfe\n", b"not json\n", b"[]\n", b'{"key": 7}\n', b"\n"])
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
