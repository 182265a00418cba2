"""A question on its way into a set: who wrote it about what, and why it was dropped, if it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from rag.files import data_sha256

Side = Literal["own", "other"]
"""Asked about the own corpus, which answers it, or about another one, and so perhaps of nobody here."""

REASONS: Mapping[str, str] = {
    "unreadable": "the model wrote no question and answer",
    "names the passage": "the question speaks of the passage, the text or the document",
    "copied": "the question copies a long stretch of the passage",
    "no such answer": "the answer is not in the passage",
    "long answer": "the answer is longer than a few words",
    "not found": "no leg finds the passage: whoever finds it cannot show it here",
    "answered otherwise": "from the passage, the model answers something else",
    "answered here": "a passage of the own corpus holds the answer, or the model says that some do",
    "same words": "it was asked before in the same words",
    "same meaning": "it was asked before in words of the same meaning",
}
"""Why questions are dropped, in the order in which it is looked at; a question counts under the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`source`: doc_id of the passage that it was asked about, or id of a question of others; `document`: its document.

    `dropped`: one of REASONS; empty for a question that is kept. `ranks`: leg -> where it found the passage, from 1.
    `reply`: what the model wrote, where that could not be read.
    """

    side: Side
    source: str
    document: str
    question: str = ""
    answer: str = ""
    dropped: str = ""
    ranks: Mapping[str, int] = field(default_factory=dict, hash=False)
    reply: str = ""

    @property
    def key(self) -> str:
        return line_key(self.side, self.source)

    def as_record(self) -> dict[str, Any]:
        """The same as plain data, for a log of lines."""
        return {"key": self.key, **asdict(self)}


def line_key(side: Side, source: str) -> str:
    """What a line is found by."""
    return data_sha256([side, source])


def read_line(record: Mapping[str, Any]) -> Line:
    """What `as_record` gave.

    Raises:
        KeyError, TypeError: it is something else.
    """
    names = ("side", "source", "document", "question", "answer", "dropped", "reply")
    return Line(**{name: record[name] for name in names}, ranks=dict(record["ranks"]))


Sieve = Callable[[Sequence[Line]], Sequence[str]]
"""Lines -> for each a reason to drop it, or an empty text."""


def sieved(lines: Sequence[Line], sieve: Sieve) -> list[Line]:
    """The same lines, those that are not dropped yet looked at by one sieve more."""
    going = [line for line in lines if not line.dropped]
    reasons = iter(sieve(going) if going else ())
    return [line if line.dropped else replace(line, dropped=next(reasons)) for line in lines]
