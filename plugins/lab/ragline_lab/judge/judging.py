"""Answers of a run, judged question by question; what is judged is kept, and the same call goes on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rag.errors import SpecError
from rag.files import Progress, data_sha256, silent
from ragline_lab.judge.agreement import Agreement
from ragline_lab.judge.answers import Answers, asked_alike
from ragline_lab.judge.asking import Judge, Known, Nuggets
from ragline_lab.judge.report import JudgeReport
from ragline_lab.judge.verdicts import Judged, Nugget, Preference, Support, key_of, nugget_scores
from ragline_lab.resumed import Lines, resumed

BATCH = 16
"""Questions that are judged together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is judged. `known`: qid -> what is taken as true; questions that are not in it get no nuggets.

    `source` says in words where that comes from. `other`: answers that those of `run` are held against.
    """

    names: tuple[str, ...]
    run: Answers
    other: Answers | None
    known: Mapping[str, Known]
    source: str
    qids: tuple[str, ...]

    @classmethod
    def of(
        cls,
        run: Answers,
        other: Answers | None,
        *,
        names: tuple[str, ...],
        common: bool = False,
        limit: int | None = None,
    ) -> Task:
        """A task of which nothing is taken as true yet.

        Raises:
            SpecError: the two are of other questions.
        """
        qids = list(run) if other is None else asked_alike(run, other, names=(names[0], names[1]), common=common)
        return cls(names=names, run=run, other=other, known={}, source="", qids=tuple(qids[:limit]))

    @property
    def sides(self) -> tuple[Answers, ...]:
        """The answers to judge, the run's first."""
        return (self.run,) if self.other is None else (self.run, self.other)

    def knowing(self, known: Mapping[str, Known], source: str) -> Task:
        """The same with what is taken as true."""
        return replace(self, known=known, source=source)


def judge_answers(
    judge: Judge,
    task: Task,
    *,
    n: int,
    out: Path,
    agreement: Agreement | None = None,
    progress: Progress = silent,
) -> JudgeReport:
    """Judge every question of a task: nuggets where something is taken as true, preference where there are two answers.

    Calls of a question: one for its list of nuggets, one for each nugget's importance, one for each nugget and answer,
    and two for a preference. An answer that was not given holds no nugget, and is not asked about.

    Args:
        n: most nuggets of a question.
        out: folder to write, and to go on in.
        agreement: what is known of the judge; it is told beside every figure.
    Raises:
        SpecError: there is nothing to judge by, the agreement is of another judge, or the folder of another task.
    """
    if not task.known and task.other is None:
        raise SpecError(
            "nuggets come from what is taken as true: reference answers (--dataset) or the passages that were read (--index). "
            "Without either, a judge can only prefer one of two answers (--against)"
        )
    if agreement is not None:
        agreement.require(judge)
    facts = {
        "judge": judge.identity,
        "answers": data_sha256([[asdict(side[qid]) for qid in task.qids] for side in task.sides]),
        "truth": data_sha256([[qid, *task.known[qid].texts] for qid in task.qids if qid in task.known]),
        "number of nuggets": n,
    }
    why = "Verdicts of two judges, or on two things, would stand side by side."
    with resumed(out, facts, what="judgement", why=why) as log:
        lines = Lines(log, Judged.of, of="a judgement")
        for start in range(0, len(task.qids), BATCH):
            batch = [qid for qid in task.qids[start : start + BATCH] if lines.get(key_of(qid)) is None]
            if batch:
                made = _judged(judge, task, batch, n)
                lines.add({key_of(each.qid): each for each in made}, [each.as_record() for each in made])
            progress("judging", min(start + BATCH, len(task.qids)), len(task.qids))
    return JudgeReport(
        judge=judge.name,
        identity=judge.identity,
        names=task.names,
        source=task.source,
        agreement=agreement,
        judged=tuple(lines[key_of(qid)] for qid in task.qids),
        known=frozenset(task.known),
    )


def _judged(judge: Judge, task: Task, qids: Sequence[str], n: int) -> list[Judged]:
    asked = [qid for qid in qids if qid in task.known]
    lists = dict(zip(asked, judge.nuggets([task.known[qid] for qid in asked], n=n), strict=True))
    lists |= {qid: Nuggets() for qid in qids if qid not in lists}
    supports = [_supports(judge, side, {qid: lists[qid].nuggets for qid in qids}) for side in task.sides]
    preferred = _preferences(judge, task, qids)
    return [
        Judged(
            qid=qid,
            question=task.run[qid].question,
            readable=lists[qid].readable,
            unread=lists[qid].unread,
            nuggets=lists[qid].nuggets,
            supports=tuple(side[qid] for side in supports),
            scores=tuple(nugget_scores(lists[qid].nuggets, side[qid]) for side in supports),
            preferred=preferred.get(qid),
        )
        for qid in qids
    ]


def _supports(
    judge: Judge, side: Answers, nuggets: Mapping[str, tuple[Nugget, ...]]
) -> dict[str, tuple[Support | None, ...]]:
    """qid -> what an answer gets for each nugget of its question."""
    cases = [
        (side[qid].question, side[qid].text, nugget)
        for qid, some in nuggets.items()
        if side[qid].given
        for nugget in some
    ]
    said = iter(judge.supports(cases))
    return {qid: tuple(next(said) if side[qid].given else "no" for _ in some) for qid, some in nuggets.items()}


def _preferences(judge: Judge, task: Task, qids: Sequence[str]) -> dict[str, Preference]:
    if task.other is None:
        return {}
    cases = []
    for qid in qids:
        known = task.known.get(qid, Known(question=task.run[qid].question))
        cases.append((known, task.run[qid].text, task.other[qid].text))
    return dict(zip(qids, judge.prefers(cases), strict=True))
