"""What a run's folder keeps of how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.evaluate import RunFile, read_object


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
    file = run / RunFile.REPORT
    report = read_object(file) if file.exists() else {}
    command, seconds, queries = (report.get(name) for name in ("command", "seconds", "queries"))
    if not (isinstance(seconds, int | float) and isinstance(queries, int) and queries > 0):
        seconds, queries = None, 1
    return RunFacts(
        path=run,
        kind=str(report.get("kind") or "rag eval"),
        graph=str(report.get("graph") or ""),
        seconds=None if seconds is None else seconds / queries,
        command=tuple(map(str, command)) if isinstance(command, list) else (),
    )
