"""a folder of runs -> a page: sets by systems, with tests and pictures"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import progress_bar, say, say_json, warn, writable
from rag.evaluate import Evaluation, answer_measure_name, is_measured, measured_run
from ragline_lab.leaderboard.board import Board, board_of
from ragline_lab.leaderboard.page import page
from ragline_lab.leaderboard.published import read_published
from ragline_lab.leaderboard.run_folders import Found, Judgements, facts_of, find_runs, qrels_by_set
from ragline_lab.pages.document import write_page


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="SET/SYSTEM, each as `rag compare` takes runs; or one set's systems"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="page to write (default: leaderboard.html in DIR)")
    parser.add_argument("--title", help="of the page (default: the folder's name)")
    parser.add_argument("--baseline", metavar="SYSTEM", help="test the others against it; unset tests nothing")
    measures_help = "in one string, the one that is drawn first; unset takes all that the runs have in common"
    parser.add_argument("--measures", help=measures_help)
    datasets_help = "what TREC runs and batches are measured by: a BEIR-layout folder, or a folder of one for each set"
    parser.add_argument("--dataset", metavar="DIR", help=datasets_help)
    parser.add_argument("--split", default="test")
    qrels_help = "or TREC judgements of a set, SET=FILE; may be repeated"
    parser.add_argument("--qrels", action="append", default=[], metavar="SET=FILE", help=qrels_help)
    published_help = "JSON list of figures to show beside: system, set, measure, value, source"
    parser.add_argument("--published", metavar="FILE", help=published_help)
    parser.add_argument("--common", action="store_true", help="test over the queries that both have")
    parser.add_argument("--language", default="en", metavar="CODE", help="ISO 639-1 language of answers (en)")
    parser.add_argument("--json", action="store_true", help="print the data as JSON; the page only with --output")


def run(given: Namespace) -> int:
    """Read and measure the runs of a folder, test them, and write the page."""
    folder = Path(given.folder)
    target = Path(given.output) if given.output else folder / "leaderboard.html"
    if given.output or not given.json:
        writable(str(target), option="--output")
    found = find_runs(folder)
    for place in found.left_out:
        if place.absolute() != target.absolute():
            warn(f"no run, left out: {place}")
    wanted = given.measures.split() if given.measures else None
    published = read_published(Path(given.published)) if given.published else []
    judgements = Judgements(
        dataset=Path(given.dataset) if given.dataset else None,
        split=given.split,
        qrels=qrels_by_set(given.qrels, list(found.runs)),
        measures=wanted,
    )
    systems = list(dict.fromkeys(system for of_set in found.runs.values() for system in of_set))
    board = board_of(
        _measured(found, judgements, language=given.language),
        {
            system: {name: facts_of(of_set[system]) for name, of_set in found.runs.items() if system in of_set}
            for system in systems
        },
        measures=None if wanted is None else [answer_measure_name(name) or name for name in wanted],
        baseline=given.baseline or "",
        common=given.common,
        published=published,
    )
    if given.json:
        say_json(board.as_dict())
    else:
        show(board)
    if given.output or not given.json:
        title = given.title or f"Leaderboard: {folder.resolve().name}"
        write_page(target, page(board, title=title, at=target), advice="name another file with --output")
        if not given.json:
            say(f"\npage: {target}")
    return 0


def _measured(found: Found, judgements: Judgements, *, language: str) -> dict[str, dict[str, Evaluation]]:
    measured: dict[str, dict[str, Evaluation]] = {}
    n_runs = sum(map(len, found.runs.values()))
    with progress_bar() as progress:
        for name, of_set in found.runs.items():
            plan = None if all(map(is_measured, of_set.values())) else judgements.plan(name)
            measured[name] = {}
            for system, place in of_set.items():
                measured[name][system] = measured_run(place, plan, language=language)
                progress("measuring", sum(map(len, measured.values())), n_runs)
    return measured


def show(board: Board) -> None:
    """Systems of each measure by their mean over sets."""
    for table in board.tables:
        say(f"{table.measure}, mean over {len(board.sets):,} {'set' if len(board.sets) == 1 else 'sets'}")
        width = max(len(system.name) for system in table.systems)
        for system in table.systems:
            line = f"  {system.name:<{width}} {system.mean:.4f}"
            if not system.whole:
                line += f"  over {len(system.cells):,} of {len(board.sets):,} sets"
            marked = [f"{verdict} on {n:,}" for verdict in ("higher", "lower") if (n := system.count(verdict))]
            say(line + (f"  {', '.join(marked)}" if marked else ""))
    if board.baseline:
        say(f"higher, lower: than {board.baseline}, by more than luck (p corrected over each table by Holm)")
