"""Folders of `rag batch`: answers that came from documents that go are not done any more."""

from __future__ import annotations

from pathlib import Path

from rag.batch.folder import ANSWERS, FAILURES, RUN
from rag.core.held_folder import held
from rag.erasure.json_lines import erase_lines
from rag.erasure.keeper import Keeper
from rag.erasure.leaving import Leaving


class BatchKeeper(Keeper):
    """A line that goes counts as not done: with `--resume` its question is answered again, from what is left."""

    name = "batch"

    def recognises(self, path: Path) -> bool:
        return (path / RUN).is_file() and (path / ANSWERS).is_file()

    def erase(self, path: Path, leaving: Leaving) -> str:
        with held(path):
            n = sum(erase_lines(path / name, leaving) for name in (ANSWERS, FAILURES) if (path / name).is_file())
        return f"{n:,} answers taken out"
