"""An append-only JSONL file whose lines are committed once and survive a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rag.core.errors import SpecError
from rag.pipeline.seen_texts import Digests


class CommitLog:
    """Lines with keys. Opening cuts off what a kill left half written; a line that is there is never touched again.

    Raises:
        SpecError: a line before the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        existed = path.exists()
        self._file = path.open("ab")
        try:
            if existed:
                os.truncate(path, whole_length(path))
            else:
                _sync_folder(path.parent)
            self.keys = Digests(record["key"] for record in self.records())
        except BaseException:
            self._file.close()
            raise

    def records(self) -> Iterator[dict[str, Any]]:
        """What was committed, in order."""
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if not isinstance(record, dict) or not isinstance(record.get("key"), str):
                    raise SpecError(
                        f"{self.path}:{number} is damaged, and not by a kill: take the file's last whole copy"
                    )
                yield record

    def commit(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records; when this returns they are on the disk. Each key may be committed once."""
        if not records:
            return
        keys = [record["key"] for record in records]
        if len(set(keys)) < len(keys) or any(key in self.keys for key in keys):
            raise ValueError(f"{self.path}: a key is committed once")
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for record in records]
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.keys.update(keys)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def whole_length(path: Path) -> int:
    """Bytes of a file up to the end of its last whole line. A line is whole when its end was written."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - 65536)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
