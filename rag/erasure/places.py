"""The kinds of places beside an index that may hold what documents said, and how it is taken out of each."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from glob import escape
from pathlib import Path
from typing import ClassVar

from rag.batch.folder import ANSWERS, FAILURES, RUN
from rag.core.errors import SpecError
from rag.core.held_folder import held
from rag.erasure.erased_documents import Leaving
from rag.erasure.store_protocol import Keeper

_HEADER = b"SQLite format 3\0"
_ENDINGS = (".jsonl", ".ndjson")
_FIRST = b'{"trace_id":'


class BatchKeeper(Keeper):
    """Folders of `rag batch`: answers that came from documents that go are not done any more.

    With `--resume` their questions are answered again, from what is left.
    """

    name = "batch"

    def recognises(self, path: Path) -> bool:
        return (path / RUN).is_file() and (path / ANSWERS).is_file()

    def erase(self, path: Path, leaving: Leaving) -> str:
        with held(path):
            n = sum(_erase_lines(path / name, leaving) for name in (ANSWERS, FAILURES) if (path / name).is_file())
        return f"{n:,} answers taken out"


class DatabaseKeeper(Keeper):
    """Files of SQLite that have certain `tables`."""

    tables: ClassVar[frozenset[str]]

    def recognises(self, path: Path) -> bool:
        return _has_tables(path, self.tables)

    def places(self, path: Path) -> Sequence[Path]:
        """The file, and what SQLite keeps beside it."""
        return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


class QuestionsKeeper(DatabaseKeeper):
    """Files of questions (`--log`): an entry that quotes or cites documents that go is taken out.

    Entries stand alone, so those of other documents stay.
    """

    name = "questions"
    tables = frozenset({"questions"})

    def erase(self, path: Path, leaving: Leaving) -> str:
        from rag.asked import Entry, QuestionLog

        def goes(entry: Entry) -> bool:
            texts = (entry.question, entry.answer, entry.comment)
            return any(map(leaving.in_text, texts)) or leaving.names_any((*entry.passages, *entry.cited))

        log = QuestionLog(path)
        try:
            n = log.forget(goes)
        finally:
            log.close()
        return f"{n:,} questions taken out"


class TracesKeeper(Keeper):
    """Files of JSON lines, such as traces: lines that quote or name documents that go are taken out.

    A process that writes there meanwhile goes on in the new file (`ragline_tracing.lines`).
    """

    name = "traces"

    def recognises(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return path.name.endswith(_ENDINGS) or file.read(len(_FIRST)) == _FIRST

    def places(self, path: Path) -> Sequence[Path]:
        return [path, path.with_name(f"{path.name}.1")]  # the file that was full

    def erase(self, path: Path, leaving: Leaving) -> str:
        n = sum(_erase_lines(file, leaving) for file in self.places(path) if file.is_file())
        return f"{n:,} lines taken out"


def _erase_lines(path: Path, leaving: Leaving) -> int:
    """Take lines out of a file, which is replaced as a whole; how many went. Its mode stays.

    Raises:
        OSError: it cannot be read, or there is no room for a copy beside it.
    """
    copies = f".{path.name}-erasing-"
    for left in path.parent.glob(f"{escape(copies)}*"):  # by a kill; what stayed then may have to go now
        left.unlink(missing_ok=True)
    descriptor, copy = tempfile.mkstemp(dir=path.parent, prefix=copies)
    try:
        with path.open("rb") as before, os.fdopen(descriptor, "wb") as after:
            n_gone = 0
            for line in before:
                if leaving.in_line(line):
                    n_gone += 1
                else:
                    after.write(line)
            os.fchmod(after.fileno(), os.fstat(before.fileno()).st_mode & 0o777)
            after.flush()
            os.fsync(after.fileno())
        if n_gone:
            os.replace(copy, path)
    finally:
        Path(copy).unlink(missing_ok=True)
    return n_gone


def _has_tables(path: Path, tables: frozenset[str]) -> bool:
    """Whether a path is a database that has these tables.

    Raises:
        SpecError: it is a database that cannot be opened now, as reading one takes room beside it.
    """
    if not _is_database(path):
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as cause:
        raise SpecError(
            f"'{path}' cannot be opened as a database ({cause}). Stop who uses it, or make room there, and try again"
        ) from None
    except sqlite3.Error:  # damaged
        return False
    return names >= tables


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:  # a folder, or what nobody may read
        return False
