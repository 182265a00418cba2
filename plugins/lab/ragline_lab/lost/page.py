"""What a run lost, and what one gained and lost beside another, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ragline_lab.lost.changes import Changes, Move
from ragline_lab.lost.fate import LABELS, Fate
from ragline_lab.lost.flow import COLOUR, columns, flow
from ragline_lab.lost.report import Gold, Lost, QueryLoss
from ragline_lab.lost.tables import Cell, Words, table
from ragline_lab.pages.document import document, escaped
from ragline_lab.pages.svg import legend

_NOT_THERE = "–"


def lost_page(lost: Lost, *, title: str) -> str:
    """The page as text. Everything that comes from files is escaped."""
    return document(title, _body(lost))


def summary(lost: Lost) -> str:
    """What was followed, in a sentence or two."""
    said = (
        f"{lost.dataset} ({lost.split}), graph {lost.graph or 'without a name'}: {lost.n_gold:,} relevant documents of "
        f"{len(lost.queries):,} queries, k = {lost.k:,}."
    )
    if lost.unjudged:
        said += f" {lost.unjudged:,} queries have no relevant document and are left out."
    if lost.unasked:
        said += f" {lost.unasked:,} judged queries were not asked and are left out."
    return said


def sources_told(legs: tuple[str, ...], n_legs: int) -> str:
    """Which legs found documents, in words."""
    if not legs:
        return "no leg"
    if len(legs) == 1:
        return legs[0] if n_legs == 1 else f"{legs[0]} alone"
    return " + ".join(legs)


def nodes_told(nodes: Counter[str]) -> str:
    """At which nodes documents have a label, and how many at each; those without a node are not told."""
    return ", ".join(f"{name} {n:,}" for name, n in nodes.most_common() if name)


def _body(lost: Lost) -> Iterator[str]:
    totals = lost.totals()
    kept = totals["kept"].total()
    yield f"<p>{escaped(summary(lost))}</p>"
    yield f"<p>Kept: {kept:,}. Lost: {lost.n_gold - kept:,}.</p>"
    yield '<div class="card"><div class="flow">'
    yield flow("Where relevant documents leave", columns(lost), begin="relevant", end="kept")
    yield f"</div>{legend(((label, COLOUR[label]) for label, nodes in totals.items() if nodes), across=True)}</div>"
    yield "<h2>What became of them</h2>"
    yield table(["", "documents", "share", Words(text="at"), Words(text="which means")], _labels(lost))
    yield "<h2>Nodes</h2>"
    yield table(
        ["node", Words(text="component"), Words(text="reads"), f"among the first {lost.k:,}", "at any rank"],
        _nodes(lost),
    )
    yield "<h2>Legs</h2>"
    found: Iterator[list[Cell]] = (
        [sources_told(legs, len(lost.stages.legs)), n] for legs, n in lost.sources().most_common()
    )
    yield table(["found by", "documents"], found)
    yield "<h2>Queries</h2>"
    worst = lost.worst
    whole = len(lost.queries) - len(worst)
    yield f"<p>Those that lost most first. {whole:,} that lost nothing are left out. Numbers are ranks of documents.</p>"
    yield '<div class="card">'
    for query in worst:
        yield from _query(lost, query)
    yield "</div>"


def _labels(lost: Lost) -> Iterator[list[Cell]]:
    for label, nodes in lost.totals().items():
        share = f"{nodes.total() / lost.n_gold:.1%}"
        yield [Fate(label=label), nodes.total(), share, Words(text=nodes_told(nodes)), Words(text=LABELS[label])]


def _nodes(lost: Lost) -> Iterator[list[Cell]]:
    for stage in lost.stages.ranking:
        reads = ", ".join(stage.inputs) or "queries"
        beside = "" if stage in lost.stages.way else " (its hits go no further)"
        yield [stage.name, Words(text=stage.use + beside), Words(text=reads), lost.here(stage), lost.found(stage)]
    for name, what, n in lost.behind():
        yield [name, Words(text=what), Words(text=""), "", n]


def _query(lost: Lost, query: QueryLoss) -> Iterator[str]:
    names = [stage.name for stage in lost.stages.ranking]
    behind = ["shown", "cited"] if lost.answers else []
    said = f"{query.qid}: {query.question}" if query.question else query.qid
    yield f"<details><summary>{escaped(said)} <small>{query.lost:,} of {len(query.gold):,} lost</small></summary>"
    yield table(
        ["document", *names, *behind, Words(text="")], [_gold(each, names, answers=lost.answers) for each in query.gold]
    )
    yield "</details>"


def _gold(gold: Gold, names: list[str], *, answers: bool) -> list[Cell]:
    ranks: list[Cell] = [gold.ranks.get(name, _NOT_THERE) for name in names]
    behind: list[Cell] = [gold.shown or _NOT_THERE, "yes" if gold.cited else _NOT_THERE] if answers else []
    return [gold.doc_id, *ranks, *behind, gold.fate]


def diff_page(changes: Changes, *, title: str) -> str:
    """The page as text. Everything that comes from files is escaped."""
    return document(title, _diff_body(changes))


def _diff_body(changes: Changes) -> Iterator[str]:
    before, after, k = changes.before, changes.after, changes.after.k
    yield f"<p>{escaped(after.name)} beside {escaped(before.name)}. {escaped(summary(after))}</p>"
    yield f"<p>At the end {changes.gained:,} documents were gained and {changes.lost:,} lost.</p>"
    if changes.compared:
        yield "<h2>Measures</h2>"
        yield table(
            ["measure", "before", "after", "difference", "95%", "p", "queries gained", "lost"], _measures(changes)
        )
    yield "<h2>Nodes of both</h2>"
    yield f"<p>Relevant documents that one of the two has there alone: among the first {k:,}, and at any rank.</p>"
    heads = ["node", f"first {k}: gained", "lost", "any rank: gained", "lost"]
    yield table(heads, ([n.node, n.gained, n.lost, n.found, n.missed] for n in changes.nodes))
    for whose, names in ((before.name, changes.only_before), (after.name, changes.only_after)):
        if names:
            yield f"<p>Only in {escaped(whose)}: {escaped(', '.join(names))}.</p>"
    yield "<h2>Where what was gained or lost at the end first differed</h2>"
    yield table(["node", "gained", "lost"], ([node, won, gone] for node, (won, gone) in changes.firsts().items()))
    yield "<h2>Queries</h2>"
    yield '<div class="card">'
    questions = changes.questions
    for qid, moves in changes.by_query().items():
        yield from _moved_query(qid, questions[qid], moves)
    yield "</div>"


def _measures(changes: Changes) -> Iterator[list[Cell]]:
    for one in changes.compared:
        yield [
            one.measure,
            f"{one.baseline:.4f}",
            f"{one.run:.4f}",
            f"{one.test.difference:+.4f}",
            f"[{one.test.low:+.4f}, {one.test.high:+.4f}]",
            f"{one.p:.4f}",
            len(one.gained),
            len(one.lost),
        ]


def _moved_query(qid: str, question: str, moves: Sequence[Move]) -> Iterator[str]:
    gained = sum(move.gained for move in moves)
    said = f"{qid}: {question}" if question else qid
    yield f"<details><summary>{escaped(said)} <small>{gained:,} gained, {len(moves) - gained:,} lost</small></summary>"
    yield table(
        ["document", Words(text="at the end"), Words(text="first at"), Words(text="before"), Words(text="after")],
        map(_move, moves),
    )
    yield "</details>"


def _move(move: Move) -> list[Cell]:
    return [
        move.doc_id,
        Words(text="gained" if move.gained else "lost"),
        Words(text=move.first),
        move.before,
        move.after,
    ]
