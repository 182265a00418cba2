"""Sets by systems on one page: which runs there are, what they are worth, and the page that shows it.

found.py      a folder -> the runs of each set
facts.py      what a run's folder keeps of how it was made
published.py  figures of others, from a file
board.py      values per query -> tables: means, intervals, tests against a baseline
svg.py        bars and radar as SVG text
page.py       tables and pictures -> one HTML file
"""

from rag.evaluate.leaderboard.board import Board, Cell, System, Table, board_of
from rag.evaluate.leaderboard.facts import RunFacts, facts_of
from rag.evaluate.leaderboard.found import Found, find_runs
from rag.evaluate.leaderboard.page import page
from rag.evaluate.leaderboard.published import Figure, read_published

__all__ = [
    "Board",
    "Cell",
    "Figure",
    "Found",
    "RunFacts",
    "System",
    "Table",
    "board_of",
    "facts_of",
    "find_runs",
    "page",
    "read_published",
]
