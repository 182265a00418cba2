"""What a run's folder keeps of how it was made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import RunFile


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run: where it is, of which kind, and what is known of how it was made.

    `kind`: as the report says it, else that of `rag eval`. `command`: the words of the command that made it, empty where the
    run does not say. `seconds`: of a query.
    """

    path: Path
    kind: str
    graph: str = ""
    seconds: float | None = None
    command: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "graph": self.graph,
            "seconds_per_query": self.seconds,
            "command": list(self.command),
        }


def facts_of(run: Path) -> RunFacts:
    """What is known of a run.

    Raises:
        SpecError: its report is damaged.
    """
    if not run.is_dir():
        return RunFacts(path=run, kind="values per query" if run.suffix == ".csv" else "TREC run")
    if not (run / RunFile.PER_QUERY).is_file():
        return RunFacts(path=run, kind="answers of rag batch")
    report = _read(run / RunFile.REPORT)
    command = report.get("command")
    return RunFacts(
        path=run,
        kind=str(report.get("kind") or "rag eval"),
        graph=str(report.get("graph") or ""),
        seconds=_seconds(report.get("seconds"), report.get("queries")),
        command=tuple(map(str, command)) if isinstance(command, list) else (),
    )


def _seconds(seconds: Any, queries: Any) -> float | None:
    """Of a query; None where the report does not say."""
    timed = isinstance(seconds, int | float) and isinstance(queries, int) and queries > 0
    return seconds / queries if timed else None


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as cause:
        raise SpecError(f"{file} cannot be read: {cause}. Run rag eval again, or take it away") from None
    if not isinstance(record, dict):
        raise SpecError(f"{file}: a JSON object is wanted, as rag eval writes it, not {type(record).__name__}")
    return record
