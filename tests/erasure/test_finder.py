"""Stretches are found as `in` finds them, wherever they begin, in bytes and across the blocks of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rag.erasure.finder as finder_module
from rag.erasure.finder import Finder

LETTERS = st.sampled_from(b"ab").map(lambda byte: bytes([byte]))
STRETCHES = st.lists(st.lists(LETTERS, min_size=8, max_size=24).map(b"".join), max_size=6)


@given(data=st.lists(LETTERS, max_size=200).map(b"".join), stretches=STRETCHES)
def test_as_in_finds_them(data: bytes, stretches: list[bytes]) -> None:
    assert Finder(stretches).present(data) == {stretch for stretch in stretches if stretch in data}


def test_across_blocks_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder_module, "_BLOCK", 10)
    file = tmp_path / "file.bin"
    file.write_bytes(b"." * 17 + b"between two blocks" + b"." * 30)
    assert Finder([b"between two blocks", b"never there"]).in_file(file) == ({b"between two blocks"}, 65)


def test_too_short_a_stretch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 bytes"):
        Finder([b"short"])
