"""Algorithms that ask as they go, and how many of them run in step.

An algorithm is a generator: it yields the questions that it needs answered next, all that it can name at once,
receives one answer for each, and returns its result. It knows no model and no batch, so it can be tested with any
function that answers. A question is a tuple of item numbers in the order in which they are shown; an answer is a tuple
of places in it, best first, as many as the answer names: (2, 0) says the third shown is best, then the first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from typing import TypeVar

Q = TypeVar("Q", bound=Hashable)
W = TypeVar("W", bound=Hashable)
A = TypeVar("A")
T = TypeVar("T")

Ask = Generator[list[Q], list[A], T]
Shown = tuple[int, ...]
Places = tuple[int, ...]


def answered(ask: Ask[Q, A, T], answer: Callable[[list[Q]], list[A]]) -> T:
    """The result of an algorithm, with `answer` called once per step."""
    try:
        questions = next(ask)
        while True:
            questions = ask.send(answer(questions))
    except StopIteration as done:
        result: T = done.value
        return result


def together(asks: Sequence[Ask[Q, A, T]]) -> Ask[Q, A, list[T]]:
    """Several algorithms as one: at each step it asks what all that still run want to know."""
    results: dict[int, T] = {}
    waiting: dict[int, list[Q]] = {}

    def advance(place: int, answers: list[A] | None) -> None:
        try:
            waiting[place] = next(asks[place]) if answers is None else asks[place].send(answers)
        except StopIteration as done:
            waiting.pop(place, None)
            results[place] = done.value

    for place in range(len(asks)):
        advance(place, None)
    while waiting:
        answers = iter((yield [question for questions in waiting.values() for question in questions]))
        for place, questions in list(waiting.items()):
            advance(place, [next(answers) for _ in questions])
    return [results[place] for place in range(len(asks))]


def remembered(ask: Ask[Q, A, T], memory: dict[Hashable, A], key: Callable[[Q], Hashable]) -> Ask[Q, A, T]:
    """The same algorithm, but no question is passed on whose key was answered before; the memory may be shared."""
    try:
        questions = next(ask)
        while True:
            new = list({key(question): question for question in questions if key(question) not in memory}.values())
            if new:
                memory.update(zip(map(key, new), (yield new), strict=True))
            questions = ask.send([memory[key(question)] for question in questions])
    except StopIteration as done:
        result: T = done.value
        return result


def tagged(ask: Ask[Q, A, T], tag: W) -> Ask[tuple[W, Q], A, T]:
    """The same algorithm, with `tag` beside every question: whose it is."""
    try:
        questions = next(ask)
        while True:
            questions = ask.send((yield [(tag, question) for question in questions]))
    except StopIteration as done:
        result: T = done.value
        return result
