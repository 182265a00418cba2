"""What a sweep has done so far: a line for each setting and batch of queries, so that one that was stopped goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from rag.evaluate import Evaluation
from rag.files import CommitLog, data_sha256
from rag.graphs import RunResult
from rag.types import Query
from ragline_lab.resumed import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One setting on one batch. `values`: measure -> qid -> value. `failed`: queries that got no record.

    `seconds`: of all nodes, added up. `tokens`: read and written.
    """

    values: Mapping[str, Mapping[str, float]]
    queries: int
    failed: int
    calls: int
    tokens: int
    seconds: float

    @classmethod
    def of(cls, result: RunResult, evaluation: Evaluation) -> Self:
        usage = [node.usage for node in result.nodes]
        return cls(
            values={name: dict(values) for name, values in evaluation.per_query.items()},
            queries=len(result.queries),
            failed=len(result.failures),
            calls=sum(each.calls for each in usage),
            tokens=sum(each.prompt_tokens + each.new_tokens for each in usage),
            seconds=result.seconds,
        )


class Work:
    """The lines of a folder, by setting and batch."""

    def __init__(self, log: CommitLog) -> None:
        self._lines = Lines(log, _line, of="a sweep")

    def get(self, setting: str, batch: Sequence[Query]) -> Line | None:
        """The line of a setting, by its identity, on a batch; None where it is still to be done."""
        return self._lines.get(_key(setting, batch))

    def add(self, batch: Sequence[Query], lines: Mapping[str, Line], labels: Mapping[str, str]) -> None:
        """Commit what settings gave on a batch; when this returns it is on the disk. `labels`: for who reads the file."""
        records = []
        for setting, line in lines.items():
            said = asdict(line)
            cost = {"seconds": said.pop("seconds")}
            records.append({"key": _key(setting, batch), "setting": labels[setting], **said, "cost": cost})
        self._lines.add({_key(setting, batch): line for setting, line in lines.items()}, records)


def _key(setting: str, batch: Sequence[Query]) -> str:
    return data_sha256([setting, [query.qid for query in batch]])


def _line(record: Mapping[str, Any]) -> Line:
    names = ("values", "queries", "failed", "calls", "tokens")
    return Line(**{name: record[name] for name in names}, seconds=record["cost"]["seconds"])
