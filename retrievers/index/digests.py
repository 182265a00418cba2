"""What every file of an index should contain, and whether it does."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rag.core.digests import file_sha256
from rag.core.errors import IndexProblem
from rag.core.progress import Progress, silent
from rag.core.side_by_side import side_by_side

CHECKED_AT_OPEN_BYTES = 1_000_000_000
"""Indexes up to this size are checked whole when opened; of larger ones, each file when it is first used."""
THREADS = 2
"""Files read at once when they are checked: an index of a million passages is then open in little more than half the time."""


class FileFacts(BaseModel):
    """Size and digest of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


def describe_files(folder: Path, *, leave_out: Iterable[str] = ()) -> dict[str, FileFacts]:
    """Facts of every file below `folder`, by its relative posix name, in name order."""
    skipped = set(leave_out)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        name: FileFacts(sha256=file_sha256(path), size_bytes=path.stat().st_size)
        for path in files
        if (name := path.relative_to(folder).as_posix()) not in skipped
    }


class CheckedFiles:
    """The files of one generation. Sizes are compared at once, contents once per file, by whichever thread is
    first. Every file whose name is in `known` has to have facts.

    Raises:
        IndexProblem: a file is absent, is no regular file, or has another size or digest than `facts` says.
    """

    def __init__(self, folder: Path, facts: Mapping[str, FileFacts], *, name: str, known: Iterable[str] = ()) -> None:
        self._folder, self._facts, self._name = folder, facts, name
        self._good: set[str] = set()
        self._lock = threading.Lock()
        self._refuse([f"{each}: not in the manifest" for each in known if each not in facts])
        self._refuse(self._wrong_sizes())
        if sum(fact.size_bytes for fact in facts.values()) <= CHECKED_AT_OPEN_BYTES:
            self.require("")

    def require(self, prefix: str) -> None:
        """Return once every file whose name starts with `prefix` is known to be as it was written."""
        with self._lock:
            names = [name for name in self._facts if name.startswith(prefix)]
            if not names:
                self._refuse([f"{prefix}: not in the manifest"])
            names = [name for name in names if name not in self._good]
            self._refuse(self._wrong_digests(names))
            self._good.update(names)

    def verify(self, *, progress: Progress = silent) -> None:
        """Check every file again, also those that were good before."""
        problems = self._wrong_sizes()
        for done, name in enumerate(() if problems else self._facts, start=1):
            if problem := self._wrong_digest(name):
                problems.append(problem)
            progress("check", done, len(self._facts))
        self._refuse(problems)

    def _wrong_sizes(self) -> list[str]:
        problems = []
        for name, fact in self._facts.items():
            try:
                status = os.lstat(self._folder / name)
            except OSError as cause:
                problems.append(f"{name}: {cause.strerror}")
                continue
            if not stat.S_ISREG(status.st_mode):
                problems.append(f"{name}: not a regular file")
            elif status.st_size != fact.size_bytes:
                problems.append(f"{name}: {status.st_size:,} bytes, written were {fact.size_bytes:,}")
        return problems

    def _wrong_digests(self, names: Sequence[str]) -> list[str]:
        largest_first = sorted(names, key=lambda name: -self._facts[name].size_bytes)
        found = dict(zip(largest_first, side_by_side(self._wrong_digest, largest_first, threads=THREADS), strict=True))
        return [problem for name in names if (problem := found[name])]

    def _wrong_digest(self, name: str) -> str | None:
        try:
            digest = file_sha256(self._folder / name)
        except OSError as cause:
            return f"{name}: {cause.strerror}"
        written = self._facts[name].sha256
        return None if digest == written else f"{name}: content changed (sha256 {digest[:8]}, was {written[:8]})"

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            raise IndexProblem(
                f"index '{self._name}' is damaged: {'; '.join(problems)}. "
                f"Build it again from its sources: rag index --index {self._name}"
            )
