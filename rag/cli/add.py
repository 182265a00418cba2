"""`rag add`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.cli.console import plain_data, say, say_json
from rag.cli.options import indexed
from rag.cli.progress import progress_bar
from rag.cli.sources import say_chosen
from rag.core.lines import records, records_of
from rag.indexing import add_documents, update_documents

STDIN = "-"


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="an object a line: id, text, title; all else is metadata; -: stdin"
    )
    indexed(parser, needed=True)
    parser.add_argument("--update", action="store_true", help="in the place of those that have the same ids")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Put documents of JSON lines into an index, without reading what it has."""
    change = update_documents if given.update else add_documents
    with progress_bar() as progress:
        report = change(_documents(given.files), given.index, progress=progress)
    if given.json:
        say_json(plain_data(asdict(report)))
        return 0
    say(
        f"{report.n_units:,} passages of {report.n_documents:,} documents in {given.index}, in {report.n_parts:,} "
        f"{'part' if report.n_parts == 1 else 'parts'}; {report.n_encoded:,} passages encoded"
    )
    say_chosen(report)
    return 0


def _documents(files: list[str]) -> Iterator[dict[str, Any]]:
    for file in files:
        lines = records_of(sys.stdin.buffer, name="standard input") if file == STDIN else records(Path(file))
        yield from (record for _, record in lines)
