"""Rows by the text that they were computed of."""

from __future__ import annotations

from retrievers.stores.computed import digest_of
from retrievers.stores.reuse import RowsByText


def test_each_text_has_its_first_row() -> None:
    rows = RowsByText(["a", "b", "a"])
    assert [rows.row(digest_of(text)) for text in ("a", "b", "c")] == [0, 1, None]
    assert digest_of("b") in rows
    assert digest_of("c") not in rows
    assert RowsByText([]).row(digest_of("a")) is None


def test_a_digest_that_ends_or_begins_in_zeros_is_found() -> None:
    """One text in 256 has such a one."""
    texts = [str(number) for number in range(2000)]
    zeros = [text for text in texts if 0 in (digest_of(text)[0], digest_of(text)[-1])]
    assert len(zeros) > 8
    rows = RowsByText(texts)
    assert [rows.row(digest_of(text)) for text in texts] == list(range(2000))
