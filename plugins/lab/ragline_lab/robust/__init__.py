"""What writers and defences answer from right, misleading and empty documents (RAGuard, Zeng et al., arXiv 2502.16101).

questions.py  a file of questions whose documents have kinds
contexts.py   which of a question's documents are given
ways.py       ways to answer, as graphs: the built-in ones, and those of the user
verdicts.py   an answer -> right, misled, refused, something else, or failed
work.py       what was done so far
robust.py     all ways on all contexts of all questions
report.py     shares with intervals, and each defence beside the undefended writer
told.py       the same in lines and tables, page.py: as a page; written.py: the files
"""

from ragline_lab.robust.report import RobustReport
from ragline_lab.robust.robust import robust
from ragline_lab.robust.ways import Way, ways_of

__all__ = ["RobustReport", "Way", "robust", "ways_of"]
