"""Answers judged by a model, beside how often that model is right: `rag lab judge`."""

from ragline_lab.judge.agreement import Agreement, read_agreement, write_agreement
from ragline_lab.judge.asking import Judge
from ragline_lab.judge.judging import Task, judge_answers
from ragline_lab.judge.measuring import measure
from ragline_lab.judge.report import JudgeReport

__all__ = ["Agreement", "Judge", "JudgeReport", "Task", "judge_answers", "measure", "read_agreement", "write_agreement"]
