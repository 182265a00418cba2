"""`rag lab lost`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import require_queries, say, say_json
from rag.evaluate import load_beir
from rag.files import require_writable
from ragline_lab.commands.lab import judged
from ragline_lab.lost.page import lost_page, nodes_told, sources_told, summary
from ragline_lab.lost.reading import lost_in
from ragline_lab.lost.report import Lost
from ragline_lab.lost.tables import told
from ragline_lab.pages.document import write_page

PAGE = "lost.html"


def options(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of `rag eval`")
    judged(parser)


def run(given: Namespace) -> int:
    """Follow the relevant documents of a run, and say where they were lost."""
    require_queries(given.queries)
    if given.out:
        require_writable(Path(given.out))
    lost = lost_in(Path(given.run), load_beir(given.dataset), split=given.split, k=given.k)
    page = write_into(given.out, PAGE, lost_page(lost, title=f"Lost: {Path(given.run).resolve().name}"))
    if given.json:
        say_json(lost.as_dict())
    else:
        show(lost, queries=given.queries)
        if page:
            say(f"\npage: {page}")
    return 0


def write_into(out: str | None, name: str, page: str) -> Path | None:
    """Write a page into the folder of --out, where one is asked for; where it lies."""
    if out is None:
        return None
    target = Path(out) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    write_page(target, page, advice="name another folder with --out")
    return target


def show(lost: Lost, *, queries: int) -> None:
    """Nodes, labels, and the queries that lost most, as aligned text."""
    say(summary(lost))
    names = [*(stage.name for stage in lost.stages.ranking), *(name for name, *_ in lost.behind())]
    width = max(len("node"), *map(len, names))
    uses = max(len("component"), *(len(stage.use) for stage in lost.stages.ranking))
    first = f"first {lost.k:,}"
    say(f"\n  {'node':<{width}}  {'component':<{uses}}  {first:>10}  any rank")
    for stage in lost.stages.ranking:
        beside = "" if stage in lost.stages.way else "  its hits go no further"
        counts = f"{lost.here(stage):>10,}  {lost.found(stage):>8,}"
        say(f"  {stage.name:<{width}}  {stage.use:<{uses}}  {counts}{beside}")
    for name, what, n in lost.behind():
        say(f"  {name:<{width}}  {what:<{uses}}  {'':>10}  {n:>8,}")
    found = [f"{sources_told(legs, len(lost.stages.legs))} {n:,}" for legs, n in lost.sources().most_common()]
    say(f"  found by {', '.join(found)}\n")
    for label, nodes in lost.totals().items():
        at = nodes_told(nodes)
        say(f"  {label:<12}{nodes.total():>7,}  {nodes.total() / lost.n_gold:>6.1%}{f'  at {at}' if at else ''}")
    for query in lost.worst[:queries]:
        say(f"\n  {query.qid}: {query.question}")
        for each in query.gold:
            ranks = ", ".join(f"{name} {rank:,}" for name, rank in each.ranks.items())
            say(f"    {each.doc_id}: {told(each.fate)}{f' ({ranks})' if ranks else ''}")
