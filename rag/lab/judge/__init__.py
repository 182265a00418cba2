"""Answers judged by a model, beside how often that model is right: `rag lab judge`."""

from rag.lab.judge.agreement import Agreement, read_agreement, write_agreement
from rag.lab.judge.asking import Judge
from rag.lab.judge.judging import Task, judge_answers
from rag.lab.judge.measuring import measure
from rag.lab.judge.report import JudgeReport

__all__ = ["Agreement", "Judge", "JudgeReport", "Task", "judge_answers", "measure", "read_agreement", "write_agreement"]
