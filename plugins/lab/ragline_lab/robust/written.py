"""The files that the report leaves in its folder: data, Markdown, and a page that needs nothing else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from rag.files import write_atomically
from ragline_lab.leaderboard.svg import Bar, bars, room_for
from ragline_lab.lost import tables
from ragline_lab.lost.tables import Words
from ragline_lab.pages.document import document, escaped, inert, markdown_table, write_page
from ragline_lab.pages.svg import legend
from ragline_lab.robust.questions import CONTEXTS, Verdict
from ragline_lab.robust.report import LEVEL, RobustReport, Row
from ragline_lab.robust.report_text import asked_told, defence_rows, rows_of, ways_told

JSON, MARKDOWN, PAGE = "robust.json", "robust.md", "robust.html"


def write_report(report: RobustReport, out: Path) -> None:
    """The report as data, as Markdown and as a page."""
    write_atomically(out / JSON, json.dumps(report.as_dict(), indent=1) + "\n")
    write_atomically(out / MARKDOWN, markdown(report))
    page = robust_page(report, title=f"Robust: {report.name}")
    write_page(out / PAGE, page, advice="name another folder with --out")


def markdown(report: RobustReport) -> str:
    """The report as Markdown: all figures, then each model's defences."""
    parts = [f"# Robust: {inert(report.name)}", "", f"- {inert(asked_told(report))}"]
    parts += [f"- {name}: {kind.words}" for name, kind in CONTEXTS.items()]
    parts += [f"- {inert(way)}" for way in ways_told(report)]
    if report.command:
        parts.append(f"- {inert(shlex.join(report.command))}")
    parts += ["", *markdown_table(rows_of(report.rows)), ""]
    for model in report.models:
        if rows := defence_rows(report, model):
            parts += [f"## {inert(model)}: each defence beside {inert(report.baseline)}", "", *markdown_table(rows), ""]
    return "\n".join(parts)


_DRAWN: tuple[tuple[Verdict, str], ...] = (("right", "Right answers"), ("misled", "Answers that were planted"))


def robust_page(report: RobustReport, *, title: str) -> str:
    """The page as text. Everything that comes from files is escaped."""
    return document(title, _body(report))


def _body(report: RobustReport) -> Iterator[str]:
    rows = report.rows
    yield f"<p>{escaped(asked_told(report))}. 95% intervals over questions.</p>"
    if told := ways_told(report):
        yield f"<p>{escaped('; '.join(told))}.</p>"
    for model in report.models:
        own = [row for row in rows if row.tried.model == model]
        colours = {way: place for place, way in enumerate(dict.fromkeys(row.tried.way for row in own))}
        yield f"<h2>{escaped(model)}</h2>"
        for verdict, heading in _DRAWN:
            yield from _pictures(own, verdict, heading, colours)
        yield legend(colours.items(), across=True)
        if defences := defence_rows(report, model):
            head, *body = defences
            yield f"<h3>Each defence beside {escaped(report.baseline)}</h3>"
            yield (
                "<p>What it costs where documents are right, and what it gains where they mislead. Fewer planted answers are a "
                f"gain. Paired randomisation; better and worse are said from p &lt; {LEVEL:g} on, corrected for all of this "
                "table (Holm).</p>"
            )
            yield tables.table(
                [Words(text=name) for name in head],
                ([way, *(Words(text=cell) for cell in cells)] for way, *cells in body),
            )
    yield "<h2>All figures</h2>"
    yield f"<p>{escaped('; '.join(f'{name}: {kind.words}' for name, kind in CONTEXTS.items()))}.</p>"
    yield (
        "<p>Skipped are questions that lack the documents. Beside zero: right answers less those without any document, on the "
        "same questions. Shown: documents that reached the writer, of those that were given. Calls and tokens are means of a "
        "question.</p>"
    )
    head, *body = rows_of(rows)
    yield tables.table(head, body)


def _pictures(rows: Sequence[Row], verdict: Verdict, heading: str, colours: dict[str, int]) -> Iterator[str]:
    room = room_for([row.tried.way for row in rows])
    yield f"<h3>{escaped(heading)}</h3>"
    yield '<div class="pictures">'
    for context in CONTEXTS:
        drawn = [_bar(row, verdict, colours) for row in rows if row.tried.context == context]
        if drawn:
            picture = bars(f"{heading}, {context}", drawn, most=1.0, room=room)
            yield f'<div class="card"><h3>{escaped(context)}</h3>{picture}</div>'
    yield "</div>"


def _bar(row: Row, verdict: Verdict, colours: dict[str, int]) -> Bar:
    interval = row.right if verdict == "right" else row.misled
    return Bar(
        name=row.tried.way,
        value=row.shares[verdict],
        low=interval.low,
        high=interval.high,
        colour=colours[row.tried.way],
    )
