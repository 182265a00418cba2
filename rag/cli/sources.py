"""`rag sources`: where an index came from."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from rag.cli.console import plain, plain_data, say, say_json
from rag.cli.options import indexed
from rag.indexing import IndexReport, TooMuchLost, index_sources
from rag.indexing.languages import USUAL_LANGUAGE
from retrievers.analysis.settings import EACH
from retrievers.index.sources import Holding

Done = TypeVar("Done")

MOST_NAMES = 10
"""Files that are named of those that went; the rest is one number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One source. `there`: whether its root exists now. `removed`: file -> ids, none for the whole file. `given`: handed
    over in Python, from nowhere on the disk."""

    name: str
    root: str | None
    there: bool
    files: int
    documents: int
    passages: int
    removed: Mapping[str, tuple[str, ...]]
    given: bool


def _row(holding: Holding) -> Row:
    source, records = holding.source, holding.records
    return Row(
        name=source.name,
        root=source.root,
        there=source.root is not None and Path(source.root).exists(),
        files=len(records),
        documents=sum(record.n_documents for record in records),
        passages=sum(record.n_units for record in records),
        removed=source.removed,
        given=source.given,
    )


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    indexed(parser, needed=True)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """List the sources of an index."""
    rows = list(map(_row, index_sources(given.index)))
    if given.json:
        say_json({"sources": plain_data([asdict(row) for row in rows])})
        return 0
    for row in rows:
        gone = "" if row.there or row.root is None else " (not there now)"
        unknown = "handed over in Python" if row.given else "nobody has said where it lies"
        say(f"{row.name}: {row.root or unknown}{gone}")
        say(f"  {row.files:,} files, {row.documents:,} documents, {row.passages:,} passages")
        for name, ids in row.removed.items():
            say(f"  removed, stays out until it is indexed by its path: {', '.join(ids) or name}")
    return 0


def say_losses(report: IndexReport) -> None:
    """What went, with its number."""
    if not report.losses:
        return
    n = sum(loss.n_documents for loss in report.losses)
    say(f"{n:,} {'document' if n == 1 else 'documents'} gone from the index:")
    for loss in report.losses[:MOST_NAMES]:
        say(f"  {loss.name}" + (f" ({loss.n_documents:,} documents)" if loss.n_documents > 1 else ""))
    if len(report.losses) > MOST_NAMES:
        say(f"  and {len(report.losses) - MOST_NAMES:,} other files")


def say_chosen(report: IndexReport) -> None:
    """What `auto` came to, and why; also why a change wrote all of the index anew."""
    if report.anew:
        say(f"the whole index was written anew: {report.anew}")
    if report.chosen_language == EACH:
        say("words: the texts are in several languages, and each document is analysed in its own")
    elif report.chosen_language not in ("", USUAL_LANGUAGE):
        say(f"words: analysed as '{report.chosen_language}', the language of the texts")
    for leg, sentence in (*report.chosen_models.items(), *report.chosen.items()):
        say(f"{leg}: {sentence}")


def with_consent(build: Callable[[float], Done], given: Namespace) -> Done:
    """A build that may lose half of the documents; of more, `--yes` or an answer at the terminal says so."""
    if given.yes:
        return build(1.0)
    try:
        return build(0.5)
    except TooMuchLost as refusal:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        lost = sum(loss.n_documents for loss in refusal.losses)
        print(plain(f"{refusal}\n{lost:,} of {refusal.n_before:,} documents: go on? [y/N] "), end="", file=sys.stderr)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise
    return build(1.0)
