"""Sets by systems on one page: which runs there are, what they are worth, and the page that shows it.

found.py      a folder -> the runs of each set
facts.py      what a run's folder keeps of how it was made
published.py  figures of others, from a file
board.py      values per query -> tables: means, intervals, tests against a baseline
svg.py        bars and radar as SVG text
page.py       tables and pictures -> one HTML file
"""

from ragline_lab.leaderboard.board import Board, Cell, System, Table, board_of
from ragline_lab.leaderboard.facts import RunFacts, facts_of
from ragline_lab.leaderboard.page import page
from ragline_lab.leaderboard.published import Figure, read_published
from ragline_lab.leaderboard.run_folders import Found, find_runs

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
