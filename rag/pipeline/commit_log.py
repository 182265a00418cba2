"""An append-only JSONL file whose lines are committed once and survive a kill."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

from rag.core.errors import SpecError
from rag.pipeline.seen_texts import Digests

DIGEST, COST = "digest", "cost"


class CommitLog:
    """Lines with keys and digests. Opening cuts off what a kill left half written; a line that is there is never touched.

    A last line that is whole but for its end, as some editors leave it, gets its end.

    Args:
        again: what goes on with the work, in the words of a message.

    Raises:
        SpecError: a line is damaged, was edited, or is there twice.
    """

    def __init__(self, path: Path, *, again: str = "go on with --resume") -> None:
        self.path, self._again = path, again
        self.keys, self.ids = Digests(), Digests()
        existed = path.exists()
        self._file = path.open("ab", buffering=0)
        try:
            if existed:
                self._mend_tail()
            else:
                _sync_folder(path.parent)
            for number, record in enumerate(self.records(), start=1):
                if record["key"] in self.keys:
                    raise _damaged(path, number, "it is there a second time")
                self._note(record)
            self._length = path.stat().st_size
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        """Whole lines in the file, one that was being committed when somebody interrupted included."""
        with self.path.open("rb") as lines:
            return sum(line.endswith(b"\n") for line in lines)

    def records(self) -> Iterator[dict[str, Any]]:
        """What was committed, in order."""
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                record, trouble = _parsed(line)
                if record is None:
                    raise _damaged(self.path, number, trouble)
                yield record

    def commit(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records; when this returns they are on the disk. Each key may be committed once.

        Raises:
            SpecError: they cannot all be written. Those that were written whole are committed; nothing of another stays.
        """
        if not records:
            return
        keys = [record["key"] for record in records]
        if len(set(keys)) < len(keys) or any(key in self.keys for key in keys):
            raise ValueError(f"{self.path}: a key is committed once")
        lines = [_line({**record, DIGEST: _digest(record)}) + b"\n" for record in records]
        trouble: OSError | None = None
        try:
            self._append(b"".join(lines))
        except OSError as error:
            trouble, lines = error, self._written_whole(lines)
        for record, line in zip(records, lines, strict=False):
            self._length += len(line)
            self._note(record)
        if trouble is not None:
            raise SpecError(
                f"{self.path} cannot be written ({trouble.strerror}). The {len(self.keys):,} lines that are there are "
                f"whole: make room, then {self._again}"
            ) from trouble

    def _written_whole(self, lines: Sequence[bytes]) -> list[bytes]:
        """Those that are in the file whole, and on the disk now. What follows them is cut off."""
        ends = list(accumulate(map(len, lines), initial=self._length))
        n = bisect_right(ends, self.path.stat().st_size) - 1
        os.truncate(self.path, ends[n])
        try:
            os.fsync(self._file.fileno())
        except OSError:  # nobody knows which of them the disk has
            os.truncate(self.path, self._length)
            return []
        return list(lines[:n])

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())

    def _note(self, record: Mapping[str, Any]) -> None:
        self.keys.add(record["key"])
        self.ids.add(str(record.get("id")))

    def _mend_tail(self) -> None:
        length = whole_length(self.path)
        with self.path.open("rb") as file:
            file.seek(length)
            tail = file.read()
        if tail and _parsed(tail)[0] is not None:
            self._append(b"\n")
        else:
            os.truncate(self.path, length)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
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


def _parsed(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """A record as it was written, or what is wrong with its line."""
    try:
        record = json.loads(line)
    except ValueError:
        return None, "it is not JSON"
    except RecursionError:
        return None, "it is nested too deeply"
    if not isinstance(record, dict) or not isinstance(record.get("key"), str):
        return None, "it has no key"
    if record.get(DIGEST, _digest(record)) != _digest(record):  # lines of older versions have none
        return None, "it was edited after it was written"
    return record, ""


def _damaged(path: Path, number: int, trouble: str) -> SpecError:
    return SpecError(
        f"{path}:{number} is damaged, and not by a kill: {trouble}. Put the line back as it was, or delete it: what it says "
        "counts as not done then, and is done again. Keep corrections in a file of their own"
    )


def _digest(record: Mapping[str, Any]) -> str:
    """Of what a line says. What it cost may differ between two runs of the same, and does not count."""
    return sha256(_line({key: value for key, value in record.items() if key not in (DIGEST, COST)})).hexdigest()[:16]


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
