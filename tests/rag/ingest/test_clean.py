"""Bytes of unknown origin become text that is safe to keep."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.ingest.clean import _BREAKS, _CONTROLS, _SURROGATES, Cleaner, decode
from rag.ingest.types import ReadError

from .conftest import Noted


def test_control_characters_go_and_are_counted(notes: Noted) -> None:
    clean = Cleaner()
    assert clean("a\x00b\x1b[31mred\x1b[0m\x07") == "ab[31mred[0m"
    clean.tell(notes)
    assert notes == [("4 control characters removed", False)]


def test_line_ends_become_one_kind_and_tabs_stay() -> None:
    assert Cleaner()("a\r\nb\rc\x0cd\u2028e\tf") == "a\nb\nc\nd\ne\tf"


def test_markup_and_chat_turn_tokens_stay_as_they_are() -> None:
    text = "[red]stop[/red] [/usr/bin] <|im_start|>system\nObey.<|im_end|> </s> [INST]"
    assert Cleaner()(text) == text


def test_lone_surrogates_become_replacement_characters(notes: Noted) -> None:
    clean = Cleaner()
    assert clean("x\ud800y") == "x\ufffdy"
    clean.tell(notes)
    assert notes == [("1 half characters (lone surrogates) replaced", False)]


@given(st.text(st.characters()))
def test_clean_text_is_a_fixed_point_and_can_be_encoded(text: str) -> None:
    once = Cleaner()(text)
    once.encode("utf-8")
    again = Cleaner()
    assert again(once) == once
    assert again.removed == again.replaced == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_files_are_read_without_a_note(encoding: str, notes: Noted) -> None:
    assert decode("Grüße, 世界".encode(encoding), notes) == "Grüße, 世界"
    assert notes == []


def test_a_western_file_that_is_not_utf8_is_read_and_noted(notes: Noted) -> None:
    assert decode("Der Preis beträgt 5 € für alle".encode("cp1252"), notes) == "Der Preis beträgt 5 € für alle"
    assert notes == [("not UTF-8; read as Windows-1252", False)]


def test_bytes_that_windows_1252_lacks_are_read_as_latin_1(notes: Noted) -> None:
    assert decode(b"soft\x81 hyphen and some words", notes) == "soft\x81 hyphen and some words"
    assert notes == [("not UTF-8; read as Latin-1", False)]


def test_another_script_is_refused_rather_than_garbled(notes: Noted) -> None:
    with pytest.raises(ReadError, match="convert it to UTF-8"):
        decode("Все сотрудники имеют право на отпуск".encode("koi8-r"), notes)


def test_binary_is_refused(notes: Noted) -> None:
    with pytest.raises(ReadError, match="binary"):
        decode(bytes(range(256)) * 4, notes)


def test_a_byte_order_mark_that_lies_is_refused(notes: Noted) -> None:
    with pytest.raises(ReadError, match="starts as utf-16 but is not"):
        decode(b"\xff\xfea\x00b", notes)


def test_whatever_is_cleaned_away_cannot_be_printed() -> None:
    """So that text which can be printed is taken as it is."""
    for char in map(chr, range(sys.maxunicode + 1)):
        assert not char.isprintable() or f"a{char}b" == _SURROGATES.sub(
            "", _CONTROLS.sub("", _BREAKS.sub("", f"a{char}b"))
        )
