"""Postings that are put aside block by block are, byte for byte, those that are turned round at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.stores.arrays import VectorFile
from retrievers.stores.column_blocks import ColumnBlocks
from retrievers.stores.postings import Columns

Rows = list[dict[int, int]]


def flat(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    terms = np.array([term for row in rows for term in row], dtype=np.int32)
    values = np.array([value for row in rows for value in row.values()], dtype=np.int32)
    return terms, values, np.cumsum([0, *map(len, rows)], dtype=np.int64)


def put_aside(rows: Rows, folder: Path, *, rows_each: int, block: int) -> None:
    with ColumnBlocks(folder, block=block) as blocks:
        for first in range(0, len(rows), rows_each):
            terms, values, starts = flat(rows[first : first + rows_each])
            blocks.add(terms, np.repeat(np.arange(len(starts) - 1) + first, np.diff(starts)), values)
        blocks.write(lambda _terms, _rows, values: values)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@given(
    st.lists(st.dictionaries(st.integers(0, 40), st.integers(1, 2**31 - 1), max_size=12), max_size=40),
    st.integers(1, 9),
    st.integers(1, 50),
)
def test_any_blocks_make_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, rows_each: int, block: int
) -> None:
    """Columns longer than a block, blocks without postings and terms without rows among them."""
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    Columns.of_rows(*flat(rows)).write(whole)
    put_aside(rows, parts, rows_each=rows_each, block=block)
    assert files(parts) == files(whole)


def test_nothing_is_seen_of_what_is_put_aside_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    with ColumnBlocks(tmp_path) as blocks:
        blocks.add(np.arange(9), np.zeros(9, dtype=np.int32), np.ones(9, dtype=np.int32))
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from retrievers.stores.column_blocks import ColumnBlocks
blocks = ColumnBlocks(Path(sys.argv[1]))
blocks.add(np.arange(10**6), np.zeros(10**6, dtype=np.int32), np.ones(10**6, dtype=np.int32))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode == -9
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from retrievers.stores.column_blocks import ColumnBlocks
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
n = 10**5
try:
    with ColumnBlocks(Path(sys.argv[1])) as blocks:
        blocks.add(np.arange(n), np.zeros(n, dtype=np.int32), np.ones(n, dtype=np.int32))
        blocks.write(lambda terms, rows, values: values)
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("room", [0, 1_000_000])
def test_a_full_disk_is_an_error(tmp_path: Path, room: int) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5)))
def test_a_file_written_in_pieces_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    with VectorFile(folder / "pieces.npy", np.int32) as file:
        for piece in pieces:
            file.append(np.array(piece, dtype=np.int64))
    np.save(folder / "whole.npy", np.array([value for piece in pieces for value in piece], dtype=np.int32))
    assert (folder / "pieces.npy").read_bytes() == (folder / "whole.npy").read_bytes()


def test_a_file_that_was_not_finished_reads_as_empty(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.npy", np.float32)
    file.append(np.ones(3))
    file.__exit__(RuntimeError)
    assert len(np.load(tmp_path / "v.npy")) == 0
