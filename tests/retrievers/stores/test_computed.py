from __future__ import annotations

import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from retrievers.stores.computed import Columns, Computed, Ragged, digest_of
from retrievers.stores.reuse import RowsByText

TEXTS = ["one", "two words", "three words here", "two words", "", "\ud800 half"]
MADE_BY = {"model": "m", "version": 1}


def compute(texts: list[str]) -> Columns:
    """Lengths as a fixed column, code points as a ragged one, and nothing of an empty text."""
    codes = [[ord(c) for c in text] for text in texts]
    starts = np.cumsum([0, *map(len, codes)], dtype=np.int64)
    values = np.array([code for row in codes for code in row], dtype=np.int32)
    fixed = np.array([[len(text), len(text) / 2] for text in texts], dtype=np.float32).reshape(-1, 2)
    return {"fixed": fixed, "codes": Ragged(values, starts)}


def completed(folder: Path, texts: list[str], block: int = 2) -> tuple[Computed, list[bytes], int]:
    store = Computed(folder, made_by=MADE_BY)
    digests, n_computed = store.complete(texts, compute, block=block, step="toy")
    return store, digests, n_computed


def check(store: Computed, digests: list[bytes], texts: list[str]) -> None:
    for digest, text in zip(digests, texts, strict=True):
        row = store[digest]
        assert row["fixed"].tolist() == [len(text), len(text) / 2]
        assert row["codes"].tolist() == [ord(c) for c in text]
        assert (row["fixed"].dtype, row["codes"].dtype) == (np.float32, np.int32)


def test_fixed_and_ragged_columns_come_back_by_text(tmp_path: Path) -> None:
    store, digests, n_computed = completed(tmp_path, TEXTS)
    assert n_computed == 5  # a repeated text is computed once
    check(store, digests, TEXTS)


def test_a_later_store_has_them_in_any_order_and_computes_what_is_new(tmp_path: Path) -> None:
    completed(tmp_path, TEXTS)
    texts = ["new", *TEXTS[::-1]]
    store, digests, n_computed = completed(tmp_path, texts)
    assert n_computed == 1
    check(store, digests, texts)


def test_blocks_of_another_maker_are_not_looked_at(tmp_path: Path) -> None:
    completed(tmp_path, TEXTS)
    other = Computed(tmp_path, made_by=MADE_BY | {"version": 2})
    assert digest_of("one") not in other
    assert digest_of("one") in Computed(tmp_path, made_by=MADE_BY)


@pytest.mark.parametrize("damage", ["flip the head", "flip the body", "cut", "empty"])
def test_a_damaged_block_is_removed_and_computed_again(tmp_path: Path, damage: str) -> None:
    completed(tmp_path, TEXTS)
    block = sorted(tmp_path.glob("*.block"))[0]
    content = bytearray(block.read_bytes())
    content[40 if damage == "flip the head" else -3] ^= 1
    block.write_bytes({"cut": bytes(content[:-7]), "empty": b""}.get(damage, bytes(content)))
    store, digests, n_computed = completed(tmp_path, TEXTS)
    assert 0 < n_computed < 5
    check(store, digests, TEXTS)


def test_what_a_kill_left_unfinished_is_removed(tmp_path: Path) -> None:
    (tmp_path / "half.unfinished").write_bytes(b"x")
    completed(tmp_path, TEXTS)
    assert not list(tmp_path.glob("*.unfinished"))


def test_what_is_known_elsewhere_is_not_computed(tmp_path: Path) -> None:
    before = RowsByText(TEXTS[:2])
    store = Computed(tmp_path, made_by=MADE_BY)
    _, n_computed = store.complete(TEXTS, compute, block=8, known=before.__contains__, step="toy")
    assert n_computed == 3
    assert (before.row(digest_of("two words")), before.row(digest_of("other"))) == (1, None)


def test_progress_counts_what_was_there_first(tmp_path: Path) -> None:
    completed(tmp_path, TEXTS[:2])
    steps: list[tuple[str, int, int]] = []
    store = Computed(tmp_path, made_by=MADE_BY)
    store.complete(TEXTS, compute, block=2, step="toy", progress=lambda *step: steps.append(step))
    assert steps == [("toy", 3, 6), ("toy", 5, 6), ("toy", 6, 6)]


def test_a_full_disk_is_an_error_and_leaves_no_half_of_a_block(tmp_path: Path) -> None:
    store = Computed(tmp_path, made_by=MADE_BY)
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, room[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.complete(TEXTS, compute, block=2, step="toy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
        signal.signal(signal.SIGXFSZ, handled)
    assert not list(tmp_path.iterdir())


def test_a_block_holds_a_text_at_least(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="toy: a block holds at least 1 text, got 0"):
        Computed(tmp_path, made_by=MADE_BY).complete(TEXTS, compute, block=0, step="toy")
