"""Test sets of one's own corpus, for people without judgements: `rag lab questions`."""

from ragline_lab.questions.elsewhere import Elsewhere, open_elsewhere
from ragline_lab.questions.from_log import RatedSet, write_rated
from ragline_lab.questions.making import make_questions
from ragline_lab.questions.report import QuestionsReport

__all__ = ["Elsewhere", "QuestionsReport", "RatedSet", "make_questions", "open_elsewhere", "write_rated"]
