"""What was answered so far: a line for each question, way and context, so that work that was stopped goes on.

A line's key is made of the graph, its weights, the index, the context and all that the question's line says. So a changed
graph or question is asked anew, and lines that nobody asks for stay where they are and count nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rag.files import CommitLog, data_sha256
from ragline_lab.resumed import Lines
from ragline_lab.robust.questions import VERDICTS, Question, Verdict


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


class Work(Lines[Line]):
    """The lines of a folder, by key. The answers are in the file and not in memory."""

    def __init__(self, log: CommitLog) -> None:
        super().__init__(log, _line, of="rag lab robust")

    def keep(self, lines: Mapping[str, tuple[Line, Mapping[str, Any]]]) -> None:
        """Commit a line for each key, with what it is the line of.

        What failed is kept for this report alone, so it is asked again when the work goes on.
        """
        records = [{"key": key, **of, **asdict(line)} for key, (line, of) in lines.items() if line.verdict != "failed"]
        self.add({key: line for key, (line, _) in lines.items()}, records)


def key_of(question: Question, context: str, *, graph: str, index: str, language: str) -> str:
    """The key of a line: all that its answer and verdict depend on."""
    return data_sha256([graph, index, context, question.qid, question.digest, language])


def _line(record: Mapping[str, Any]) -> Line:
    line = Line(**{name: record[name] for name in _NAMES})
    if line.verdict not in VERDICTS:
        raise ValueError(f"no verdict {line.verdict!r:.40}")
    return line
