"""A folder of work that goes on where it was stopped: what its lines depend on, and the lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from rag.errors import SpecError
from rag.files import CommitLog, held, unwritable, write_atomically

RUN, LINES = "run.json", "lines.jsonl"

T = TypeVar("T")


class Lines(Generic[T]):
    """The lines of a folder by their keys; what is there is not made again.

    Args:
        read: a record of the file -> a line. It may raise KeyError, TypeError or ValueError.
        of: what messages call the work, such as "a sweep".
    Raises:
        SpecError: a line is damaged, or is one of something else.
    """

    def __init__(self, log: CommitLog, read: Callable[[Mapping[str, Any]], T], *, of: str) -> None:
        self._log = log
        try:
            self._lines = {record["key"]: read(record) for record in log.records()}
        except (KeyError, TypeError, ValueError) as cause:
            raise SpecError(f"{log.path}: a line is none of {of}: {cause!r}. Name another folder") from None

    def __getitem__(self, key: str) -> T:
        return self._lines[key]

    def get(self, key: str) -> T | None:
        """The line of a key; None where it is still to be done."""
        return self._lines.get(key)

    def add(self, lines: Mapping[str, T], records: Sequence[Mapping[str, Any]]) -> None:
        """Commit `records`, with what else a reader of the file wants to know; when this returns they are on the disk.

        A line without a record is known to this process alone, and asked for again when the work goes on.
        """
        self._log.commit(records)
        self._lines |= lines


@contextmanager
def resumed(path: Path, facts: Mapping[str, Any], *, what: str, why: str) -> Iterator[CommitLog]:
    """Hold the folder for this process, and open the lines that are kept in it.

    Args:
        facts: what all lines depend on, by what messages call it; kept in the folder.
        what: what messages call the work, such as sweep. `why`: a sentence on what is wrong with lines made otherwise.
    Raises:
        SpecError: nothing can be written there, another process writes there, its lines were made with other facts, or one
            of them is damaged.
    """
    with held(path):
        _require_same(path, facts, what, why)
        try:
            write_atomically(path / RUN, json.dumps({what: dict(facts)}, indent=1) + "\n")
        except OSError as error:
            raise unwritable(path, error) from None
        with open_lines(path) as log:
            yield log


def open_lines(path: Path) -> CommitLog:
    """The lines of a folder that this process holds.

    Raises:
        SpecError: they cannot be written, or one of them is damaged.
    """
    try:
        return CommitLog(path / LINES, again="run the same command again")
    except OSError as error:
        raise unwritable(path, error) from None


def _require_same(path: Path, facts: Mapping[str, Any], what: str, why: str) -> None:
    run = path / RUN
    if not run.exists():
        if (path / LINES).exists():
            raise SpecError(f"'{path}' holds {LINES} but no {RUN}: nobody knows what made them. Name another folder")
        return
    try:
        before = json.loads(run.read_bytes())[what]
        changed = [name for name, fact in facts.items() if before.get(name) != json.loads(json.dumps(fact))]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise SpecError(f"{run} is no file of a {what}, or it is damaged; name another folder") from None
    if changed:
        raise SpecError(
            f"the {what} in '{path}' was made with another {', another '.join(changed)}. {why} Put that back as it was, or "
            "name another folder"
        )
