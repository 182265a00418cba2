"""A board -> one HTML file that needs nothing else: no script, no font, no address but links to the runs beside it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from ragline_lab.leaderboard.board import LEVEL, Board, Cell, System, Table
from ragline_lab.leaderboard.svg import MARKS, Bar, Outline, bars, radar, room_for, scale
from ragline_lab.pages.document import document, escaped, link
from ragline_lab.pages.svg import legend

IN_RADAR = 6
"""Systems that a radar shows; more outlines cannot be told apart."""
_LEAST_AXES = 3


def page(board: Board, *, title: str, at: Path) -> str:
    """The page as text. Everything that comes from files is escaped.

    Args:
        at: where it will lie; runs are linked relative to that.
    """
    shown = [system.name for system in _in_radar(board, board.tables[0])]
    # Those that share a radar have different ones; each is the same on the whole page.
    colours = {name: place for place, name in enumerate(dict.fromkeys([*shown, *board.runs]))}
    body = [f"<p>{_summary(board)}</p>"]
    for place, table in enumerate(board.tables):
        body.append(f"<h2>{escaped(table.measure)}</h2>")
        body += [*_table(board, table)]
        if not place:
            body += [*_pictures(board, table, colours)]
    body += [*_runs(board, at)]
    return document(title, body)


def _summary(board: Board) -> str:
    n_systems, n_sets = len(board.runs), len(board.sets)
    said = f"{_counted(n_systems, 'system')} on {_counted(n_sets, 'set')}. The highest value of each set is bold."
    if not board.baseline:
        return f"{said} Nothing is tested: no baseline was chosen."
    return (
        f"{said} {MARKS['higher']} and {MARKS['lower']}: higher or lower than {escaped(board.baseline)} by more than luck "
        f"(paired randomisation, p &lt; {LEVEL:g}, corrected for all comparisons of the table by Holm). "
        "Below a value: its difference."
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _table(board: Board, table: Table) -> Iterator[str]:
    best = {name: max(s.cells[name].value for s in table.systems if name in s.cells) for name in _sets_of(board, table)}
    queries = {name: {s.cells[name].interval.n for s in table.systems if name in s.cells} for name in best}
    yield '<div class="wide"><table>'
    below = {name: f"<small>{_queries(counts)}</small>" for name, counts in queries.items()}
    heads = "".join(f'<th scope="col"><span>{escaped(name)}</span>{below.get(name, "")}</th>' for name in board.sets)
    yield f'<thead><tr><th scope="col">system</th><th scope="col">mean</th>{heads}</tr></thead><tbody>'
    for system in table.systems:
        name = escaped(system.name)
        own = "<small>the baseline</small>" if system.name == board.baseline else ""
        cells = "".join(_cell(system.cells.get(each), best.get(each)) for each in board.sets)
        yield f'<tr><th scope="row"><span>{name}</span>{own}</th>{_mean(board, system)}{cells}</tr>'
    for who in dict.fromkeys(figure.system for figure in table.published):
        figures = {figure.set: figure for figure in table.published if figure.system == who}
        sources = ", ".join(dict.fromkeys(figure.source for figure in figures.values() if figure.source))
        cells = "".join(
            f"<td>{figures[each].value:.3f}</td>" if each in figures else "<td></td>" for each in board.sets
        )
        said = f"published{': ' if sources else ''}{escaped(sources)}"
        yield f'<tr class="published"><th scope="row"><span>{escaped(who)}</span><small>{said}</small></th><td></td>{cells}</tr>'
    yield "</tbody></table></div>"


def _sets_of(board: Board, table: Table) -> list[str]:
    return [name for name in board.sets if any(name in system.cells for system in table.systems)]


def _queries(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,} queries" if low == high else f"{low:,} to {high:,} queries"


def _mean(board: Board, system: System) -> str:
    below = []
    if not system.whole:
        below.append(f"{len(system.cells)} of {len(board.sets)} sets")
    if system.name != board.baseline and (marked := [(v, n) for v in ("higher", "lower") if (n := system.count(v))]):
        below.append(" ".join(f'<span class="{verdict}">{n} {MARKS[verdict]}</span>' for verdict, n in marked))
    small = f"<small>{' · '.join(below)}</small>" if below else ""
    return f"<td>{system.mean:.3f}{small}</td>"


def _cell(cell: Cell | None, best: float | None) -> str:
    if cell is None:
        return "<td>–</td>"
    look = ' class="best"' if cell.value == best else ""
    said = f"95% [{cell.interval.low:.4f}, {cell.interval.high:.4f}] of {cell.interval.n:,} queries"
    small = ""
    if cell.difference is not None and cell.p is not None:
        said += f"; {cell.difference:+.4f} to the baseline, p = {cell.p:.4f}"
        mark = f' <span class="{cell.verdict}">{MARKS[cell.verdict]}</span>' if cell.verdict else ""
        small = f"<small>{cell.difference:+.3f}{mark}</small>"
    return f'<td{look} title="{escaped(said)}">{cell.value:.3f}{small}</td>'


def _pictures(board: Board, table: Table, colours: dict[str, int]) -> Iterator[str]:
    values = [cell.interval.high for system in table.systems for cell in system.cells.values()]
    most = scale([*values, *(figure.value for figure in table.published)])
    yield f"<h2>{escaped(table.measure)}, set by set</h2>"
    dashed = " Dashed: published by others." if table.published else ""
    yield f"<p>With 95% intervals over queries.{dashed}</p>"
    room = room_for([one.name for one in table.systems] + [figure.system for figure in table.published])
    yield '<div class="pictures">'
    for name in _sets_of(board, table):
        rows = [_bar(system, name, colours) for system in table.systems if name in system.cells]
        rows += [Bar(name=figure.system, value=figure.value) for figure in table.published if figure.set == name]
        picture = bars(f"{table.measure} on {name}", rows, most=most, room=room)
        yield f'<div class="card"><h3>{escaped(name)}</h3>{picture}</div>'
    yield "</div>"
    yield from _radar(board, table, colours)


def _bar(system: System, name: str, colours: dict[str, int]) -> Bar:
    cell = system.cells[name]
    return Bar(
        name=system.name,
        value=cell.value,
        low=cell.interval.low,
        high=cell.interval.high,
        verdict=cell.verdict,
        colour=colours[system.name],
    )


def _radar(board: Board, table: Table, colours: dict[str, int]) -> Iterator[str]:
    """The best systems of those that were run on every set; none where two sets would make a line."""
    shown = _in_radar(board, table)
    if len(board.sets) < _LEAST_AXES or not shown:
        return
    most = scale([cell.value for system in shown for cell in system.cells.values()])
    outlines = [
        Outline(
            name=system.name,
            values=tuple(system.cells[name].value for name in board.sets),
            colour=colours[system.name],
        )
        for system in shown
    ]
    yield f"<h2>{escaped(table.measure)} over all sets</h2>"
    fewer = f"{len(shown)} of {len(table.systems)} systems: the highest means of those that were run on every set"
    and_that = ", and the baseline" if board.baseline else ""
    whose = "All systems." if len(shown) == len(table.systems) else f"{fewer}{and_that}."
    yield f"<p>{whose}</p>"
    yield '<div class="card round">'
    yield radar(f"{table.measure} over all sets", board.sets, outlines, most=most)
    yield f"{legend((outline.name, outline.colour) for outline in outlines)}</div>"


def _in_radar(board: Board, table: Table) -> list[System]:
    whole = [system for system in table.systems if system.whole]
    shown = whole[:IN_RADAR]
    if (base := next((system for system in whole if system.name == board.baseline), None)) and base not in shown:
        shown[-1] = base
    return shown


def _runs(board: Board, at: Path) -> Iterator[str]:
    yield "<h2>Runs</h2>"
    yield "<p>Each system's runs, and the command that remakes them where the run says it.</p>"
    yield '<div class="card">'
    for system, of_system in board.runs.items():
        yield f"<details><summary>{escaped(system)}</summary>"
        for name, facts in of_system.items():
            more = [facts.kind, *([f"graph {facts.graph}"] if facts.graph else [])]
            if facts.seconds is not None:
                more.append(f"{facts.seconds:.3g} s a query")
            address = escaped(link(facts.path, at))
            yield f'<p class="run"><a href="{address}">{escaped(name)}</a>: {escaped(", ".join(more))}</p>'
            if facts.command:
                yield f"<pre>{escaped(shlex.join(facts.command))}</pre>"
        yield "</details>"
    yield "</div>"
