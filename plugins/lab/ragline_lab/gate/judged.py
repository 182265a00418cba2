"""Measures of a gate that a model judges: only by one of which it is known that it is right often enough."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rag.errors import SpecError
from rag.evaluate import Dataset
from rag.files import Progress
from ragline_lab.gate.suite import JudgedMeasures, Suite
from ragline_lab.gate.verdicts import Requirement, Verdict, judge
from ragline_lab.judge.agreement import Agreement, read_agreement
from ragline_lab.judge.answers import by_references, read_answers
from ragline_lab.judge.asking import Judge
from ragline_lab.judge.judging import Task, judge_answers
from ragline_lab.judge.report import JudgeReport
from ragline_lab.llms import named_llm

NEEDS = "F1"
"""A measure of answers against references: what is judged needs both, so whoever lacks one is told before anything runs."""
_RUN = "answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedJudge:
    """A judge, what is known of it, and what is asked of its verdicts."""

    judge: Judge
    agreement: Agreement
    nuggets: int
    requirements: tuple[Requirement, ...]

    def verdicts(self, run: Path, dataset: Dataset, *, progress: Progress) -> list[Verdict]:
        """Judge the answers of a run folder by the references of its data set. What an earlier gate left there goes.

        Raises:
            SpecError: no question has a value for a measure.
        """
        answers = read_answers(run)
        shutil.rmtree(run / "judged", ignore_errors=True)
        known = by_references(dataset, answers)
        report = judge_answers(
            self.judge,
            Task.of(answers, None, names=(_RUN,)).knowing(known, "the reference answers"),
            n=self.nuggets,
            out=run / "judged",
            agreement=self.agreement,
            progress=progress,
        )
        return [self._verdict(each, report) for each in self.requirements]

    def _verdict(self, requirement: Requirement, report: JudgeReport) -> Verdict:
        interval = report.intervals[_RUN].get(requirement.measure)
        if interval is None:
            raise SpecError(f"the judge gave no question a value of {requirement.measure}: it wrote no nuggets for it")
        value = report.evaluations[_RUN].measures[requirement.measure]
        verdict = judge(requirement, value=value, low=interval.low, high=interval.high, n=interval.n)
        return replace(verdict, note=self.agreement.told("nuggets"))


def trusted(suite: Suite, wanted: JudgedMeasures) -> TrustedJudge:
    """The judge of a check.

    Raises:
        SpecError: nobody measured it, the file is of another judge, or it is right less often than is asked.
    """
    agreement = read_agreement(suite.place(wanted.agreement))
    graph, mark, name = wanted.judge.partition("#")
    is_file = graph.endswith((".yaml", ".yml", ".gguf"))
    asked = Judge(named_llm(f"{suite.place(graph)}{mark}{name}" if is_file else wanted.judge))
    agreement.require(asked)
    figures = agreement.kinds.get("nuggets")
    if figures is None:
        raise SpecError(
            f"'{wanted.agreement}' says nothing of how often the judge is right on nuggets; measure it on a data set with "
            "references of whole sentences"
        )
    if figures.low < wanted.least:
        raise SpecError(
            f"the judge '{asked.name}' cannot gate: {figures.told()}, and the whole interval has to be {wanted.least:g} or more. "
            "Take a better judge, measure it on more questions, or lower `least` knowingly"
        )
    requirements = tuple(each for measure, asks in wanted.measures.items() for each in asks.requirements(measure))
    return TrustedJudge(judge=asked, agreement=agreement, nuggets=wanted.nuggets, requirements=requirements)
