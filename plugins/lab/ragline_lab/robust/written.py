"""The files that the report leaves in its folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from rag.files import write_atomically
from ragline_lab.markdown import inert, table
from ragline_lab.pages.document import write_page
from ragline_lab.robust.contexts import CONTEXTS
from ragline_lab.robust.page import robust_page
from ragline_lab.robust.report import RobustReport
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
    parts += ["", *table(rows_of(report.rows)), ""]
    for model in report.models:
        if rows := defence_rows(report, model):
            parts += [f"## {inert(model)}: each defence beside {inert(report.baseline)}", "", *table(rows), ""]
    return "\n".join(parts)
