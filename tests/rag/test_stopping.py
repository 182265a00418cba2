from __future__ import annotations

import threading

from rag.core.stopping import Stop, stopping, unwanted, when_unwanted


def test_a_call_is_made_by_who_says_the_word_and_not_after_its_block() -> None:
    stop, made = Stop(), list[str]()
    with stopping(stop):
        assert not unwanted()
        with when_unwanted(lambda: made.append("left before")):
            pass
        with when_unwanted(lambda: made.append(threading.current_thread().name)):
            saying = threading.Thread(target=stop.say, name="sayer")
            saying.start()
            saying.join()
        assert unwanted()
        stop.say()
        with when_unwanted(lambda: made.append("too late to begin")):
            pass
    assert made == ["sayer", "too late to begin"]
    assert not unwanted()


def test_without_anybody_to_say_it_nothing_is_unwanted() -> None:
    made = list[str]()
    with when_unwanted(lambda: made.append("called")):
        assert not unwanted()
    assert made == []


def test_the_word_is_for_one_thread() -> None:
    stop, elsewhere = Stop(), list[bool]()
    with stopping(stop):
        stop.say()
        other = threading.Thread(target=lambda: elsewhere.append(unwanted()))
        other.start()
        other.join()
    assert elsewhere == [False]
