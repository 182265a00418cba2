"""`rag add`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.cli.console import plain_data, say, say_json
from rag.cli.progress import progress_bar
from rag.core.errors import SpecError
from rag.core.lines import records
from rag.indexing import add_documents, update_documents

STDIN = "-"


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
    return 0


def _documents(files: list[str]) -> Iterator[dict[str, Any]]:
    for file in files:
        if file == STDIN:
            yield from _of_stdin()
        else:
            yield from (record for _, record in records(Path(file)))


def _of_stdin() -> Iterator[dict[str, Any]]:
    for number, line in enumerate(sys.stdin, start=1):
        if line.strip():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as cause:
                raise SpecError(f"standard input, line {number}: not JSON: {cause}") from None
            if not isinstance(record, dict):
                raise SpecError(f"standard input, line {number}: a JSON object is wanted, not {type(record).__name__}")
            yield record
