"""`rag lab diff`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from itertools import islice
from pathlib import Path

from rag.commands import names_of, require_queries, say, say_json, show_compared
from rag.errors import SpecError
from rag.evaluate import Evaluation, RunFile, compare_runs, is_measured, load_beir, measured_run
from rag.files import require_writable
from ragline_lab.commands.lab import judged
from ragline_lab.commands.lost import write_into
from ragline_lab.lost.changes import Changes, changes_between
from ragline_lab.lost.page import diff_page
from ragline_lab.lost.reading import lost_in
from ragline_lab.lost.tables import told

PAGE = "diff.html"


def options(parser: ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help="folder of `rag eval`")
    parser.add_argument("after", metavar="B", help="the same after a change")
    judged(parser)
    parser.add_argument("--common", action="store_true", help="over the queries that both have")


def run(given: Namespace) -> int:
    """Follow the relevant documents of two runs, test their measures, and say where they part."""
    require_queries(given.queries)
    if given.out:
        require_writable(Path(given.out))
    names = names_of([given.before, given.after])
    places = [Path(given.before), Path(given.after)]
    data = load_beir(given.dataset)
    before, after = (lost_in(place, data, split=given.split, k=given.k) for place in places)
    measured = [_measured(place) for place in places]
    compared = compare_runs(measured[0], {names[1]: measured[1]}, common=given.common)
    changes = changes_between(before, after, compared=compared[names[1]], common=given.common)
    page = write_into(given.out, PAGE, diff_page(changes, title=f"{names[1]} beside {names[0]}"))
    if given.json:
        say_json(changes.as_dict())
    else:
        show_compared(names[0], compared, queries=given.queries)
        show(changes, queries=given.queries)
        if page:
            say(f"\npage: {page}")
    return 0


def _measured(run: Path) -> Evaluation:
    if not is_measured(run):
        raise SpecError(f"'{run}' has no {RunFile.PER_QUERY}. `rag eval` writes it; run it again")
    return measured_run(run)


def show(changes: Changes, *, queries: int) -> None:
    """Nodes of both, where documents first differed, and the queries with most moves, as aligned text."""
    firsts = changes.firsts()
    width = max(map(len, ["node", *(node.node for node in changes.nodes), *firsts]))
    say(f"\n  {'':<{width}}  {f'first {changes.after.k:,}':>16}  {'any rank':>16}  {'at the end, first':>18}")
    say(f"  {'node':<{width}}  {'gained':>8}{'lost':>8}  {'gained':>8}{'lost':>8}  {'gained':>9}{'lost':>9}")
    for node in changes.nodes:
        won, gone = firsts.pop(node.node, (0, 0))
        at_node = f"{node.gained:>8,}{node.lost:>8,}  {node.found:>8,}{node.missed:>8,}"
        say(f"  {node.node:<{width}}  {at_node}  {won:>9,}{gone:>9,}")
    for name, (won, gone) in firsts.items():  # those that one of the runs has alone
        say(f"  {name:<{width}}  {'-':>8}{'-':>8}  {'-':>8}{'-':>8}  {won:>9,}{gone:>9,}")
    for whose, names in ((changes.before.name, changes.only_before), (changes.after.name, changes.only_after)):
        if names:
            say(f"  only in {whose}: {', '.join(names)}")
    say(f"  at the end {changes.gained:,} documents gained, {changes.lost:,} lost")
    questions = changes.questions
    for qid, moves in islice(changes.by_query().items(), queries):
        say(f"\n  {qid}: {questions[qid]}")
        for move in moves:
            what = "gained" if move.gained else "lost"
            say(f"    {move.doc_id}: {what}, first at {move.first} ({told(move.before)} -> {told(move.after)})")
