"""Where the gold was lost: the way of every relevant document through a run, and what became of it.

stages.py    a graph -> its ranking nodes, who hands documents to whom, and who writes
fate.py      one document: its ranks -> a label, and the node that it lost it at
report.py    a run: every query, every relevant document, totals
reading.py   a run folder and a data set -> the report
changes.py   two reports of the same queries -> where one gained and lost
flow.py      the totals as a picture
tables.py    rows as HTML
page.py      a report as a page
diff_page.py two reports as a page
"""

from ragline_lab.lost.changes import Changes, Move, NodeChange, changes_between
from ragline_lab.lost.diff_page import diff_page
from ragline_lab.lost.fate import LABELS, Fate, Label
from ragline_lab.lost.page import lost_page
from ragline_lab.lost.reading import lost_in
from ragline_lab.lost.report import Gold, Lost, QueryLoss
from ragline_lab.lost.stages import Stage, Stages, stages_of

__all__ = [
    "LABELS",
    "Changes",
    "Fate",
    "Gold",
    "Label",
    "Lost",
    "Move",
    "NodeChange",
    "QueryLoss",
    "Stage",
    "Stages",
    "changes_between",
    "diff_page",
    "lost_in",
    "lost_page",
    "stages_of",
]
