"""What a search that was ended may have missed, worked by hand."""

from __future__ import annotations

from retrievers.rounds import Missed


def test_what_may_be_missed_by_hand() -> None:
    """0 of 2: the share is at most 1 - sqrt(.05) = .776. 1 of 1 says nothing. Nothing read: all may count."""
    assert Missed(unread=100, tail=2, finds=0).at_most() == 77
    assert Missed(unread=100, tail=2, finds=0).expected == 0
    assert Missed(unread=100, tail=4, finds=1).expected == 25
    assert Missed(unread=100, tail=1, finds=1).at_most() == 100
    assert Missed(unread=100, tail=0, finds=0).at_most() == 100
    assert Missed(unread=100, tail=0, finds=0).expected == 100
