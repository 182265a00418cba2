"""Questions whose answers are known to be here or not to be here, without anybody's labels.

A corpus is asked its own salient words: the unit that they come from holds the answer. Another corpus is asked for the
questions that have none here. What such questions measure is whether a graph tells the two apart and finds the unit; they
say nothing of what a model makes of it, so whatever is learnt from them is an estimate.
"""

from __future__ import annotations

from rag.errors import SpecError
from rag.evaluate import Item
from rag.indexes import Index
from ragline_train.pseudo import Case, pseudo_cases

_DEPTH = 10


def own_items(index: Index, other: Index, *, n: int, seed: int = 0) -> list[Item]:
    """At most `n` questions, every second one of the other corpus, which has no answer here.

    Raises:
        SpecError: one of the corpora is too small to ask anything.
    """
    here = [
        Item(qid=f"here-{place}", question=case.query, supporting=(_source(case),))
        for place, case in enumerate(pseudo_cases(index, n=n - n // 2, depth=_DEPTH, seed=seed))
    ]
    there = [
        Item(qid=f"there-{place}", question=case.query, answerable=False)
        for place, case in enumerate(pseudo_cases(other, n=n // 2, depth=_DEPTH, seed=seed))
    ]
    for items, asked in ((here, index), (there, other)):
        if not items:
            raise SpecError(f"index '{asked.name}' gives no questions: its documents are too few, or too short")
    return [item for pair in zip(here, there, strict=False) for item in pair]


def _source(case: Case) -> str:
    """The doc_id of the unit that a case's words come from."""
    return max(zip(case.grades, case.candidates, strict=True), key=lambda pair: pair[0])[1].doc_id
