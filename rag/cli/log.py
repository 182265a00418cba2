"""`rag log`: what was asked and answered, where it was kept."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from rag.asked import Entry, QuestionLog, UnknownEntry
from rag.cli.asking import asker_of
from rag.cli.console import say, write
from rag.cli.options import permitted, positive
from rag.core.errors import SpecError

_MARKS = {True: "good", False: "bad", None: ""}


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("file", metavar="FILE", help="the file that --log named")
    parser.add_argument("-n", type=positive, metavar="N", help="the last N entries (default: all)")
    parser.add_argument("--since", metavar="DATE", help="entries since then, such as 2026-11-01")
    parser.add_argument(
        "--rate", nargs=2, metavar=("ID", "VALUE"), help="say of an answer that it is good, bad or none"
    )
    parser.add_argument("--forget", nargs="+", default=[], metavar="ID", help="take entries out, for good")
    permitted(parser, "whose entries; unset: everybody's")
    parser.add_argument("--json", action="store_true", help="print one JSON document a line")


def run(given: Namespace) -> int:
    """Show entries, rate one, or take some out."""
    with closing(QuestionLog.existing(Path(given.file))) as log:
        if given.rate is not None:
            _rate(log, *given.rate)
        elif given.forget:
            ids = set(given.forget)
            say(f"{log.forget(lambda entry: entry.id in ids):,} of {len(ids):,} taken out")
        else:
            _show(log, given)
    return 0


def _rate(log: QuestionLog, id: str, value: str) -> None:
    known = {"good": True, "bad": False, "none": None}
    if value not in known:
        raise SpecError(f"rag log: --rate takes an id and good, bad or none, got '{value}'")
    try:
        log.rate(id, good=known[value])
    except UnknownEntry:
        raise SpecError(f"rag log: no entry '{id}'") from None


def _show(log: QuestionLog, given: Namespace) -> None:
    entries = log.entries(asker=asker_of(given.asker), since_s=_seconds(given.since), newest=given.n)
    if given.json:
        for entry in entries:
            write(json.dumps(entry.as_dict(), ensure_ascii=not sys.stdout.isatty()) + "\n")
        return
    for entry in entries:
        _say(entry)


def _say(entry: Entry) -> None:
    asked = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.asked_s))
    who = f" {entry.user}@{entry.tenant}" if entry.tenant else f" {entry.user}" if entry.user else ""
    marks = ", ".join(filter(None, (entry.status, _MARKS[entry.good])))
    say(f"{asked}{who}  {entry.id}  ({marks}, {entry.seconds:.1f} s)")
    say(f"  Q: {' '.join(entry.question.split())}")
    say(f"  A: {' '.join(entry.answer.split())}")
    if entry.cited:
        say(f"  cites {', '.join(entry.cited)}")
    if entry.comment:
        say(f"  says: {' '.join(entry.comment.split())}")


def _seconds(since: str | None) -> float:
    """Since the epoch; a day alone begins at midnight, UTC."""
    if since is None:
        return 0.0
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise SpecError(f"rag log: --since takes a date such as 2026-11-01, got '{since[:80]}'") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
