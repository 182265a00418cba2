"""Sorting by questions: which passage of a few is best? Pure; nothing here knows a model.

Items are numbers in first-stage order, 0 first, which is where ties, unusable answers and everything below the sorted
top go back to. A `Best` is how one contest among a few items is decided; the first item wins unless another clearly does.
"""

from __future__ import annotations

from collections.abc import Callable

from rag.core.in_step import Ask, Places, Shown, together

Contest = Ask[Shown, Places, int]
Best = Callable[[Shown], Contest]
Order = Ask[Shown, Places, list[int]]


def at_a_glance(items: Shown) -> Contest:
    """The best of all items by one question."""
    [places] = yield [items]
    return items[places[0]] if places else items[0]


def in_both_orders(items: Shown) -> Contest:
    """The best by comparisons of two, each asked in both orders (PRP). Disagreement is a tie, and the earlier stays."""
    best = items[0]
    for other in items[1:]:
        one, two = yield [(best, other), (other, best)]
        if one[:1] == (1,) and two[:1] == (0,):
            best = other
    return best


def heapsort(n: int, *, top: int, children: int, best: Best) -> Order:
    """The `top` best of `n` items in order, then the rest in first-stage order.

    A heap in which a node has `children` below it; a contest is a node against them, shown in first-stage order, so that
    answers that decide nothing give first-stage order and not the heap's. Nodes of one level are settled in step:
    nothing below one of them is below another.
    """
    heap = list(range(n))

    def below(node: int) -> range:
        return range(children * node + 1, min(children * node + children + 1, len(heap)))

    def sift(node: int) -> Ask[Shown, Places, None]:
        while below(node):
            places = (node, *below(node))
            winner = yield from best(tuple(sorted(heap[place] for place in places)))
            target = next(place for place in places if heap[place] == winner)
            if target == node:
                return
            heap[node], heap[target] = heap[target], heap[node]
            node = target

    for level in reversed(_levels(n, children)):
        yield from together([sift(node) for node in level if below(node)])
    drawn: list[int] = []
    while heap and len(drawn) < top:
        drawn.append(heap[0])
        last = heap.pop()
        if heap:
            heap[0] = last
            if len(drawn) < top:
                yield from sift(0)
    return drawn + sorted(heap)


def bubblesort(n: int, *, top: int, window: int, best: Best) -> Order:
    """The `top` best of `n` items in order, then the rest in first-stage order.

    Each pass slides from the tail to the head and moves the best of `window` items to the window's front, where it is
    also the last of the next. A pass that changed nothing asks the same again, which costs nothing with a memory.
    """
    order = list(range(n))
    for done in range(min(top, n - 1)):
        end = n
        while end - done > 1:
            start = max(done, end - window)
            winner = yield from best(tuple(order[start:end]))
            order.remove(winner)
            order.insert(start, winner)
            end = start + 1
    return order[:top] + sorted(order[top:])


def insertion(n: int, *, top: int, window: int, best: Best) -> Order:
    """The `top` best of `n` items in order, then the rest in first-stage order.

    First-stage order is taken for nearly right: the first `top` items are sorted by insertion from below, and then the
    last of them stands against `window` - 1 others at a time. If it wins, all of them are out by one question.
    """
    kept: list[int] = []
    for item in range(min(top, n)):
        yield from _insert(item, kept, window=window, best=best)
    others = list(range(top, n))
    while others and kept:
        challengers = others[: window - 1]
        winner = yield from best((kept[-1], *challengers))
        if winner == kept[-1]:
            others = others[len(challengers) :]
        else:
            others.remove(winner)
            kept.pop()
            yield from _insert(winner, kept, window=window, best=best)
    return kept + sorted(set(range(n)) - set(kept))


def _insert(item: int, kept: list[int], *, window: int, best: Best) -> Ask[Shown, Places, None]:
    """Put `item` where it belongs in `kept`: past the last one, then past as many at a time as a window shows."""
    low, end, size = 0, len(kept), 1  # it belongs somewhere from `low` to `end`
    while low < end:
        start = max(low, end - size)
        if (yield from best((*kept[start:end], item))) == item:
            end, size = start, window - 1
        else:
            low, size = start + 1, window - 1  # below the best of those shown; perhaps above the others
    kept.insert(end, item)


def _levels(n: int, children: int) -> list[range]:
    """Places of a heap of `n`, level by level, the root first."""
    levels, start, width = [], 0, 1
    while start < n:
        levels.append(range(start, min(start + width, n)))
        start, width = start + width, width * children
    return levels
