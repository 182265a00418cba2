"""The folder of one run: who may write in it, what it belongs to, and its two logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.core.files import write_atomically
from rag.core.held_folder import held, unwritable
from rag.core.run_files import RunFile
from rag.core.types import Query
from rag.pipeline import Pipeline
from rag.pipeline.commit_log import CommitLog
from rag.pipeline.identity import Identities, graph_identity, index_identity

ANSWERS, FAILURES, RUN, LEDGER = RunFile.ANSWERS, "failures.jsonl", "run.json", "ledger.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """An open run: `identities` are what its keys are made with."""

    path: Path
    identities: Identities
    answers: CommitLog
    failures: CommitLog

    @property
    def is_empty(self) -> bool:
        """Whether no question has come to its end here yet."""
        return not self.answers.keys and not self.failures.keys

    def is_finished(self, query: Query, *, retry_failed: bool) -> bool:
        """Whether a question is answered, or failed and is left alone."""
        key = self.identities.key(query)
        return key in self.answers.keys or (key in self.failures.keys and not retry_failed)

    def is_answered_otherwise(self, query: Query) -> bool:
        """Whether there is an answer under the id of a question that is not the answer to it."""
        return query.qid in self.answers.ids and self.identities.key(query) not in self.answers.keys


@contextmanager
def open_folder(path: Path, pipeline: Pipeline, *, resume: bool) -> Iterator[RunFolder]:
    """Hold the folder for this process and open its logs.

    Raises:
        SpecError: nothing can be written there, another process writes there, it holds a run and `resume` is not set,
            the run there was made with another graph or index, or a log is damaged.
    """
    with held(path):
        facts = {"graph": graph_identity(pipeline.graph), "index": index_identity(pipeline.index)}
        _require_same(path, facts, resume=resume)
        graph = pipeline.spec.graph.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        try:
            write_atomically(path / RUN, json.dumps({**facts, "spec": graph}, indent=1) + "\n")
        except OSError as error:
            raise unwritable(path, error) from None
        with CommitLog(path / ANSWERS) as answers, CommitLog(path / FAILURES) as failures:
            yield RunFolder(path=path, identities=Identities(**facts), answers=answers, failures=failures)


def _require_same(path: Path, facts: dict[str, str], *, resume: bool) -> None:
    run = path / RUN
    if not run.exists():
        if (path / ANSWERS).exists():
            raise SpecError(f"'{path}' holds answers but no {RUN}: nobody knows what made them. Name another folder.")
        return
    if not resume:
        raise SpecError(f"'{path}' holds a run already. Go on with it (--resume), or name another folder.")
    before = _read(run)
    for what in ("graph", "index"):
        if before.get(what) != facts[what]:
            raise SpecError(
                f"the run in '{path}' was made with another {what}; one folder, one {what}. Name another folder."
            )


def _read(run: Path) -> dict[str, Any]:
    try:
        record = json.loads(run.read_bytes())
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise SpecError(f"{run} is damaged; name another folder")
    return record
