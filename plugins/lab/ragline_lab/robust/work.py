"""What was answered so far: a line for each question, way and context, so that work that was stopped goes on.

A line's key is made of the graph, its weights, the index, the context and all that the question's line says. So a changed
graph or question is asked anew, and lines that nobody asks for stay where they are and count nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.files import CommitLog, data_sha256, held
from ragline_lab.resumed import open_lines
from ragline_lab.robust.questions import Question
from ragline_lab.robust.verdicts import VERDICTS, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One answer. `given`: documents of the context, `shown`: those of them that the writer was shown.

    `read` and `written` are tokens.
    """

    verdict: Verdict
    given: int
    shown: int
    calls: int
    read: int
    written: int


_NAMES = [each.name for each in fields(Line)]


class Work:
    """The lines of a folder, by key. The answers are in the file and not in memory."""

    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self._lines = {record["key"]: _line(record, log.path) for record in log.records()}

    def get(self, key: str) -> Line | None:
        """The line of a key; None where it is still to be done."""
        return self._lines.get(key)

    def add(self, lines: Mapping[str, tuple[Line, Mapping[str, Any]]]) -> None:
        """Commit a line for each key, with what else a reader of the file wants to know; then it is on the disk.

        What failed is kept for this report alone, so it is asked again when the work goes on.
        """
        self._log.commit(
            [{"key": key, **more, **asdict(line)} for key, (line, more) in lines.items() if line.verdict != "failed"]
        )
        self._lines |= {key: line for key, (line, _) in lines.items()}


def key_of(question: Question, context: str, *, graph: str, index: str, language: str) -> str:
    """The key of a line: all that its answer and verdict depend on."""
    return data_sha256([graph, index, context, question.qid, question.digest, language])


@contextmanager
def open_work(path: Path) -> Iterator[Work]:
    """Hold the folder for this process and read what is there.

    Raises:
        SpecError: nothing can be written there, another process writes there, or a line is damaged.
    """
    with held(path), open_lines(path) as log:
        yield Work(log)


def _line(record: Mapping[str, Any], path: Path) -> Line:
    try:
        line = Line(**{name: record[name] for name in _NAMES})
        if line.verdict not in VERDICTS:
            raise ValueError(f"no verdict {line.verdict!r:.40}")
    except (KeyError, TypeError, ValueError) as cause:
        raise SpecError(f"{path}: a line is none of rag lab robust: {cause!r}. Name another folder") from None
    return line
