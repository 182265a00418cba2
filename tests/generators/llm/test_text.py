from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from generators.llm.text import TextTail


def decode(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", "replace")


def pieces(text: str, *stop: str) -> tuple[list[str], bool]:
    tail = TextTail(decode, stop)
    shown = []
    for byte in text.encode():
        shown.append(tail.add(byte))
        if tail.stopped:
            return shown, True
    return [*shown, tail.finish()], tail.stopped


def test_half_a_character_is_held_back() -> None:
    assert pieces("aé€")[0] == ["a", "", "é", "", "", "€", ""]


def test_text_is_cut_before_the_stop_string() -> None:
    assert pieces("one\n\ntwo", "\n\n") == (["o", "n", "e", "", ""], True)


def test_what_only_began_like_a_stop_string_is_shown() -> None:
    shown, stopped = pieces("a END? EN", "END.")
    assert "".join(shown) == "a END? EN"
    assert not stopped


def test_an_unfinished_character_at_the_end_is_shown_as_such() -> None:
    tail = TextTail(decode)
    assert [tail.add(0x61), tail.add(0xC3), tail.finish()] == ["a", "", "\ufffd"]


@given(st.text(alphabet="ab\né", max_size=30), st.lists(st.text(alphabet="ab\n", min_size=1, max_size=3), max_size=3))
def test_pieces_join_to_the_text_before_the_first_stop_string(text: str, stop: list[str]) -> None:
    shown, stopped = pieces(text, *stop)
    # What is settled first wins: the stop string that is complete first, not the one that begins first.
    ends = [(text.find(s) + len(s), text.find(s)) for s in stop if s in text]
    expected = text[: min(start for end, start in ends if end == min(ends)[0])] if ends else text
    assert "".join(shown) == expected
    assert stopped == bool(ends)
