"""What a ranking of ids is worth, by the measures of sets that ask for a picture by another one and a change."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ragline_media.evaluation.composed import ComposedQuestion

RECALLS = (1, 5, 10, 50)


def recall_at(ranked: Sequence[str], right: Collection[str], k: int) -> float:
    """1 where a right one is among the first k, else 0."""
    return float(any(each in right for each in ranked[:k]))


def average_precision_at(ranked: Sequence[str], right: Collection[str], k: int) -> float:
    """The sum of the precision at each right one among the first k, over the most that could be there: min(k, right ones).

    As CIRCO has it (Baldrati et al., ICCV 2023, equation 4): 0 without any right one.

    >>> average_precision_at(["a", "x", "b"], {"a", "b", "c"}, 3)
    0.5555555555555555
    """
    found = [place for place, each in enumerate(ranked[:k], start=1) if each in right]
    most = min(k, len(right))
    return sum(number / place for number, place in enumerate(found, start=1)) / most if most else 0.0


def measured(
    questions: Sequence[ComposedQuestion], ranked: Mapping[str, Sequence[str]], *, most: int = 50
) -> dict[str, float]:
    """Means over questions, by measure.

    The reference is taken out of every ranking: nobody asks for what they have. `R@k` for k up to `most`; `subset R@k` for 1 to 3
    among the few that a question names; `mAP@k` where a question has several right ones. A question that was not ranked counts as
    nothing found.

    Args:
        questions: what was asked.
        ranked: ids of the gallery, best first, by qid.
    """
    if not questions:
        raise ValueError("there is no question to be measured by")
    totals: dict[str, list[float]] = {}
    for question in questions:
        order = [each for each in ranked.get(question.qid, ()) if each != question.reference]
        values = {f"R@{k}": recall_at(order, question.right, k) for k in RECALLS if k <= most}
        if question.subset:
            among = [each for each in order if each in question.subset]
            values |= {f"subset R@{k}": recall_at(among, question.right, k) for k in (1, 2, 3)}
        if len(question.right) > 1:
            values |= {f"mAP@{k}": average_precision_at(order, question.right, k) for k in (5, 10, 25, 50) if k <= most}
        for name, value in values.items():
            totals.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in totals.items()}
