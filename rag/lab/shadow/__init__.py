"""Whether an encoder that was built beside the one that serves is better, by judgements or by a teacher."""

from rag.lab.shadow.judging import Judged, judge_shadow
from rag.lab.shadow.teacher import teacher_grades

__all__ = ["Judged", "judge_shadow", "teacher_grades"]
