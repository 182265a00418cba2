"""What one run gained and lost beside another, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragline_lab.lost.changes import Changes, Move
from ragline_lab.lost.page import summary
from ragline_lab.lost.tables import Cell, Words, table
from ragline_lab.pages.document import document, escaped


def diff_page(changes: Changes, *, title: str) -> str:
    """The page as text. Everything that comes from files is escaped."""
    return document(title, _body(changes))


def _body(changes: Changes) -> Iterator[str]:
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
        yield from _query(qid, questions[qid], moves)
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


def _query(qid: str, question: str, moves: Sequence[Move]) -> Iterator[str]:
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
