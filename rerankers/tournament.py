"""Tournament prompt reranking: groups of passages, and the best of each go on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import prompts
from rag.core.arguments import require_positive
from rag.core.in_step import Ask, Places, Shown, answered, tagged, together
from rag.core.protocols import LLM
from rag.core.ranking import require_k
from rag.core.types import Ranking
from rerankers.labels import LABELS
from rerankers.letters import LetterJudge, Scoring, choosing
from rerankers.work import Work, warn

STAGES = ((20, 10), (10, 4), (20, 10), (10, 5), (5, 2))
"""The paper's: 100 -> 50 -> 20 -> 10 -> 5 -> 2 in 13 calls."""


class Selection(NamedTuple):
    """Which `keep` of these go on?"""

    keep: int
    items: Shown


class TournamentReranker:
    """TourRank (Chen et al., WWW 2025, arXiv 2406.11678): points won in several tournaments.

    In every stage the passages left are dealt out into groups by skipping through the ranking, so that strong ones are
    spread, and shuffled inside; the model names those that go on, and each of them earns a point. Points of all
    tournaments are summed; ties go by first-stage order. A stage of all tournaments and queries is one batch. Groups
    that would lose nobody are not asked about. Where a reply names too few, the group's first of the first stage go on.

    Args:
        llm: the model that selects.
        tournaments: how many are held, side by side.
        stages: for each stage, passages per group, 26 at most, and how many of them go on.
        scoring: generation writes the letters, likelihood weighs them at the place of the answer and writes nothing,
            which needs a model that can choose.
        seed: of the shuffles.
        max_words: words of a passage, title included, that are shown; fewer where a prompt would not fit.
        prompt: name or path of a prompt with the variables passages, query and m.
        depth: how many of a ranking's first hits are reranked; the others follow in their order. None: all.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        tournaments: int = 2,
        stages: tuple[tuple[int, int], ...] = STAGES,
        scoring: Scoring = "generation",
        seed: int = 0,
        max_words: int = 300,
        prompt: str = "rank_tournament",
        depth: int | None = None,
    ) -> None:
        require_positive("rerank.tournament", tournaments=tournaments, depth=depth)
        for size, keep in stages:
            if not 1 <= keep < size <= len(LABELS):
                raise ValueError(
                    f"rerank.tournament: a stage keeps at least 1 and fewer than its group, and a group is at most "
                    f"{len(LABELS)}; got {keep} of {size}"
                )
        self.tournaments, self.stages, self.seed, self.depth = tournaments, stages, seed, depth
        template = prompts.load(prompt)
        template.require("passages", "query", "m", by="rerank.tournament")
        self.judge = LetterJudge(llm=llm, prompt=template, scoring=scoring, max_words=max_words, by="rerank.tournament")
        self.needs = choosing(scoring)

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Each ranking's documents by points, at most `k`, with scores of 1 / rank."""
        require_k(k, by="rerank.tournament")
        works = [Work.of(ranking, self.depth) for ranking in rankings]
        points = answered(together([tagged(self._held(len(work.documents)), work) for work in works]), self._select)
        warn(works, by="rerank.tournament")
        return [work.in_order(_by_points(won), k=k) for work, won in zip(works, points, strict=True)]

    def _held(self, n: int) -> Ask[Selection, Places, list[int]]:
        """Points of `n` items over all tournaments."""
        each = yield from together(
            [tournament(n, self.stages, random.Random(f"{self.seed} {number}")) for number in range(self.tournaments)]
        )
        return [sum(won) for won in zip(*each, strict=True)]

    def _select(self, questions: list[tuple[Work, Selection]]) -> list[Places]:
        return self.judge(
            [(work, selection.items) for work, selection in questions],
            keep=[selection.keep for _, selection in questions],
            values=[{"m": str(selection.keep)} for _, selection in questions],
        )


def tournament(n: int, stages: Sequence[tuple[int, int]], rng: random.Random) -> Ask[Selection, Places, list[int]]:
    """Points of `n` items in one tournament: the stages each of them survived that somebody did not."""
    points, left = [0] * n, list(range(n))
    for size, keep in stages:
        groups = dealt(left, size)
        if all(len(group) <= keep for group in groups):
            continue
        for group in groups:
            rng.shuffle(group)
        selections = [Selection(keep, tuple(group)) for group in groups if len(group) > keep]
        answers = yield selections
        left = [item for group in groups if len(group) <= keep for item in group]
        for selection, places in zip(selections, answers, strict=True):
            left += _promoted(selection, places)
        left.sort()
        for item in left:
            points[item] += 1
    return points


def dealt(items: Sequence[int], size: int) -> list[list[int]]:
    """Items in as few groups of at most `size` as will do, dealt out in turn: the first of each group are strongest."""
    n_groups = -(-len(items) // size)
    return [list(items[start::n_groups]) for start in range(n_groups)]


def _by_points(points: Sequence[int]) -> list[int]:
    return sorted(range(len(points)), key=lambda item: -points[item])


def _promoted(selection: Selection, places: Places) -> list[int]:
    named = [selection.items[place] for place in places]
    others = sorted(set(selection.items) - set(named))
    return (named + others)[: selection.keep]
