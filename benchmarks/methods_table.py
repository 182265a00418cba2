"""The page of the table of methods, written from the lines of `benchmarks.methods` alone, however many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, variance
from textwrap import fill

from benchmarks.methods_list import TOP, Cell, cells, plain
from benchmarks.methods_plot import Point, plot
from benchmarks.methods_sets import SETS, Declared
from benchmarks.methods_study import SMALL, STUDIES, Study
from benchmarks.work_lines import Line, Work, timed
from rag.evaluate.significance import Significance, holm, paired_randomisation

DOCS = Path(__file__).resolve().parents[1] / "docs" / "reference"
FEWEST = 5  # queries, below which nothing is said about a difference
SIGNIFICANT = 0.05

_HEAD = Path(__file__).with_name("methods_head.md")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method over one first stage of a set.

    `against` is None for the first stage itself, or without its lines. `differences`: to it, by qid.
    """

    cell: Cell
    first: str
    lines: Sequence[Line]
    differences: Mapping[str, float] = field(default_factory=dict)
    against: Significance | None = None
    p: float = 1.0

    @property
    def label(self) -> str:
        method = self.cell.method
        return method.name + " (wiring only)" * method.wiring + " (shown the judgements)" * method.oracle

    def mean(self, name: str) -> float:
        return fmean(float(line[name]) for line in self.lines)

    @property
    def seconds(self) -> float | None:
        """The mean, of the lines that had the machine to themselves where there are any; none where all are of another."""
        some = timed(self.lines) or [line["seconds"] for line in self.lines if not line.get("elsewhere")]
        return fmean(some) if some else None

    @property
    def verdict(self) -> str:
        if self.against is None:
            return ""
        if len(self.lines) < FEWEST:
            return "too few queries"
        if self.against.low <= 0 <= self.against.high:
            return "inside"
        told = "gains" if self.against.difference > 0 else "loses"
        return told if self.p < SIGNIFICANT else f"{told}, not after correction"


def rows_of(declared: Declared, work: Work, study: Study = SMALL) -> list[Row]:
    """The rows of a set that have lines, p corrected over all of them."""
    rows = [row for cell in cells(study) if cell.declared == declared for row in _rows(cell, work, study)]
    tested = [row for row in rows if row.against is not None]
    corrected = iter(holm([row.against.p for row in tested if row.against is not None]))
    return [row if row.against is None else replace(row, p=next(corrected)) for row in rows]


def _rows(cell: Cell, work: Work, study: Study) -> Iterator[Row]:
    name, measure = cell.declared.name, cell.declared.measures[0]
    for first in cell.firsts:
        lines = work.latest(cell.method.name, name, cell.method.settings(name, first, study))
        if not lines:
            continue
        baseline = cell.declared.baseline(first)
        base = {line["qid"]: line for line in work.latest("plain", name, plain().settings(name, baseline, study))}
        shared = [line for line in lines if line["qid"] in base]
        against = None
        if shared and (cell.method.name != "plain" or baseline != first):
            against = paired_randomisation(
                [line[measure] for line in shared], [base[line["qid"]][measure] for line in shared]
            )
        differences = {line["qid"]: line[measure] - base[line["qid"]][measure] for line in shared}
        yield Row(cell=cell, first=first, lines=lines, differences=differences, against=against)


def page(work: Work, study: Study = SMALL) -> str:
    """The whole page."""
    rows = {name: rows_of(declared, work, study) for name, declared in SETS.items() if study.has("plain", name)}
    parts = [_head(rows, study)]
    parts += [_overview(rows, "rerank", "Rerankers, nDCG@10 against the first stage", study)]
    parts += [_overview(rows, "reformulate", "Reformulators, nDCG@10 against the first stage", study)]
    parts += [_set(SETS[name], found, study) for name, found in rows.items()]
    return "\n".join(parts)


def points(
    work: Work,
    study: Study = SMALL,
    *,
    over: str | None = None,
    sets: Collection[str] = tuple(SETS),
    model: str = "",
) -> list[Point]:
    """What each method gains and costs over the sets where it has something to be compared by.

    What ran for its wiring alone, or with the judgements before it, is no method to choose. `over`: only over this first
    stage; else a query's difference is its mean over those that the method was run over. `model`: name of the points' model.
    """
    by_method: dict[str, list[Row]] = {}
    for declared in (SETS[name] for name in sets):
        for row in rows_of(declared, work, study):
            method = row.cell.method
            usable = row.against is not None and len(row.lines) >= FEWEST and not method.wiring and not method.oracle
            usable = (
                usable and over in (None, row.first) and declared.measures[0] == "nDCG@10" and row.seconds is not None
            )
            if usable and method.stage in ("rerank", "reformulate"):
                by_method.setdefault(method.name, []).append(row)
    return [_point(name, rows, model) for name, rows in by_method.items()]


def _point(name: str, rows: Sequence[Row], model: str) -> Point:
    """Means over sets of means over queries. The interval is 1.96 standard errors, sets taken as they are."""
    by_set: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for qid, difference in row.differences.items():
            by_set.setdefault(row.cell.declared.name, {}).setdefault(qid, []).append(difference)
    sets = [[fmean(over_firsts) for over_firsts in queries.values()] for queries in by_set.values()]
    gain = fmean(fmean(values) for values in sets)
    error = sqrt(sum(variance(values) / len(values) for values in sets)) / len(sets)
    return Point(
        name=name,
        kind=rows[0].cell.method.stage,
        seconds=fmean(row.seconds or 0.0 for row in rows),
        gain=gain,
        low=gain - 1.96 * error,
        high=gain + 1.96 * error,
        model=model,
    )


def compare_studies() -> str:
    """One picture of the methods and sets that all studies have, over the built-in hybrid: gains and costs by size.

    Where they ran on several processors it says which: their seconds are not to be compared.
    """
    works = {name: Work(study.lines) for name, study in STUDIES.items()}
    cpus = {name: work.timed_on["cpu"] for name, work in works.items() if work.timed_on}
    several = len({*cpus.values()}) > 1
    sizes = {name: study.size + f", {cpus.get(name)}" * several for name, study in STUDIES.items()}
    sets = [name for name in SETS if all(study.has("plain", name) for study in STUDIES.values())]
    drawn = [
        point
        for name, study in STUDIES.items()
        for point in points(works[name], study, over="hybrid", sets=sets, model=sizes[name])
        if all(other.has_method(point.name) for other in STUDIES.values())
    ]
    return plot(drawn, list(sizes.values()))


def write_pages(work: Work, folder: Path = DOCS, study: Study = SMALL) -> None:
    """The page and the plot of a study; they stay as they are where no line says what made it."""
    if not work.methods:
        return
    lines = [line if line.startswith(("|", "!", "#")) else fill(line, 116) for line in page(work, study).splitlines()]
    (folder / f"{study.page}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / f"{study.page}.svg").write_text(plot(points(work, study)), encoding="utf-8")
    (folder / "methods_sizes.svg").write_text(compare_studies(), encoding="utf-8")


def _head(rows: dict[str, list[Row]], study: Study) -> str:
    done = sum(min(len(row.lines), study.queries) for found in rows.values() for row in found)
    wanted = sum(len(cell.firsts) for cell in cells(study)) * study.queries
    lines = [line for found in rows.values() for row in found for line in row.lines]
    commits = ", ".join(sorted({str(line["commit"]) for line in lines})) or "none"
    machines = ", ".join(sorted({str(line["machine"]["cpu"]) for line in lines})) or "none"
    state = "All results are there." if done >= wanted else f"**Unfinished**: {done:,} of {wanted:,} results are there."
    return _HEAD.read_text(encoding="utf-8").format(
        model=study.model,
        says=study.says,
        lines=study.lines.name,
        name=study.name,
        page=study.page,
        progress=f"{state} Commits: {commits}. Processors: {machines}.",
        queries=study.queries,
        depth=study.depth,
        words=study.words,
        top=TOP,
        fewest=FEWEST,
        significant=SIGNIFICANT,
    )


def _overview(rows: dict[str, list[Row]], stage: str, title: str, study: Study) -> str:
    """One line per method and first stage, one column per set: the difference, bold where it is outside its interval."""
    names = [name for name in rows if any(row.cell.method.stage == stage for row in rows[name])]
    table = [f"## {title}", ""]
    if not names:
        return "\n".join([*table, "Nothing is measured yet.", ""])
    table += ["| method | over | " + " | ".join(names) + " |", "| --- | --- |" + " ---: |" * len(names)]
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for name in names:
        for row in rows[name]:
            if row.cell.method.stage == stage:
                over = "bm25" if row.first == "shipped" else row.first  # the shipped run is one of BM25
                found.setdefault((row.label, over), {})[name] = row
    for (label, first), by_set in found.items():
        table.append(f"| {label} | {first} | " + " | ".join(_short(by_set.get(name), study) for name in names) + " |")
    return "\n".join(
        [*table, "", "Bold: outside the 95% interval, before correction. In brackets: queries, where unfinished.", ""]
    )


def _short(row: Row | None, study: Study) -> str:
    if row is None or row.against is None:
        return ""
    text = f"{row.against.difference:+.3f}"
    if row.verdict.startswith(("gains", "loses")):
        text = f"**{text}**"
    return text if len(row.lines) >= study.queries else f"{text} ({len(row.lines)})"


def _set(declared: Declared, rows: Sequence[Row], study: Study) -> str:
    """The full table of one set."""
    measure, *others = declared.measures
    columns = [
        "method",
        "over",
        "n",
        measure,
        *others,
        "difference",
        "95% interval",
        "p (Holm)",
        "",
        "outcomes",
        "bad calls",
    ]
    columns += ["calls", "prompt", "cached", "written", "s/query"]
    table = [f"## {declared.name}", ""]
    if not rows:
        return "\n".join([*table, "Nothing is measured yet.", ""])
    table += ["| " + " | ".join(columns) + " |", "| --- | --- |" + " ---: |" * (len(columns) - 2)]
    table += ["| " + " | ".join(_cells(row, study)) + " |" for row in rows]
    missing = [
        str(cell) for cell in cells(study) if cell.declared == declared and not any(r.cell == cell for r in rows)
    ]
    if missing:
        table += ["", f"Not run yet: {'; '.join(name.partition(': ')[2] for name in missing)}."]
    return "\n".join([*table, *_styles(rows), ""])


def _cells(row: Row, study: Study) -> list[str]:
    n = len(row.lines)
    differing = ["", "", ""]
    if row.against is not None:
        interval = f"[{row.against.low:+.3f}, {row.against.high:+.3f}]"
        differing = [f"{row.against.difference:+.3f}", interval, f"{row.p:.3f}"]
    outcomes = Counter(str(line["outcome"]) for line in row.lines)
    return [
        row.label,
        row.first,
        str(n) if n >= study.queries else f"{n}, unfinished",
        *(f"{row.mean(name):.3f}" for name in row.cell.declared.measures),
        *differing,
        row.verdict,
        ", ".join(f"{kind} {count}" for kind, count in outcomes.most_common()),
        bad_calls(row.lines),
        *(f"{row.mean(name):.0f}" for name in ("calls", "prompt", "cached", "new")),
        "-" if row.seconds is None else f"{row.seconds:.2f}",
    ]


def bad_calls(lines: Sequence[Line]) -> str:
    """Share of calls that were mended or unusable, prompts that were too long to be sent among them.

    The calls are those of every line, whatever it counts: a reply that needed no mending may leave no count. Empty
    where nothing was asked.

    >>> bad_calls([{"calls": 4, "counts": {"calls": 4, "ok": 3, "repaired": 1}}, {"calls": 4, "counts": {}}])
    '12.5%'
    """
    counts = Counter[str]()
    for line in lines:
        counts.update(line["counts"])
    asked = sum(line["calls"] for line in lines) + counts["too_long"]
    bad = sum(counts[kind] for kind in ("repaired", "fallback", "too_long"))
    return f"{bad / asked:.1%}" if asked else ""


def _styles(rows: Sequence[Row]) -> list[str]:
    """Code Style Similarity, where programs were written."""
    told = []
    for row in rows:
        alike = [float(line["style"]) for line in row.lines if "style" in line]
        if row.cell.method.use == "reformulate.code":
            value = f"{fmean(alike):.3f}" if alike else "unknown"
            told.append(
                f"{row.first}: {value} ({len(alike)} of {len(row.lines)} queries have a pair that Python can parse)"
            )
    return (
        ["", "Code Style Similarity of written programs and wanted functions, " + "; ".join(told) + "."] if told else []
    )
