"""`rag lab gate`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rag.commands import add_plugins, progress_bar, say, say_json, writable
from rag.files import write_atomically
from ragline_lab.gate.gate import run_gate
from ragline_lab.gate.reports import junit, markdown, rows_of, summary
from ragline_lab.gate.suite import load_suite

NOT_PASSED = 1
"""Exit code of a gate that some check did not pass."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--suite", required=True, metavar="F.yaml", help="data sets, graphs and what they have to reach"
    )
    parser.add_argument("--junit", metavar="F.xml", help="JUnit report to write")
    parser.add_argument("--markdown", metavar="F.md", help="Markdown report to write")
    parser.add_argument("--out", metavar="DIR", help="keep the run folders of all checks there (default: none is kept)")
    accept_help = "take changed data as what is checked from now on"
    parser.add_argument("--accept", action="store_true", help=accept_help)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_plugins(parser)


def run(given: Namespace) -> int:
    """Run every check of the suite, print the verdicts, and write the reports that are asked for."""
    reports = (("--junit", given.junit, junit), ("--markdown", given.markdown, markdown))
    files = [(writable(file, option=option), written) for option, file, written in reports if file]
    with progress_bar() as progress:
        out = Path(given.out) if given.out else None
        report = run_gate(load_suite(given.suite), out=out, accept=given.accept, progress=progress)
    for file, written in files:
        write_atomically(file, written(report))
    if given.json:
        say_json(report.as_dict())
    else:
        for check, asked, figure, verdict in rows_of(report)[1:]:
            say(f"{verdict:<9}  {check}: {asked}: {figure}")
        say()
        say("\n".join(summary(report)))
    return 0 if report.passed else NOT_PASSED
