"""Lines of a text file with their numbers, plain or gzipped, so that every complaint can say `file:line`."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from rag.core.errors import SpecError


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of every line that is not blank. A byte order mark is dropped.

    Raises:
        SpecError: the file is absent, cannot be read, is not UTF-8, or its compression is damaged.
    """
    try:
        with opened(path) as file:
            yield from _decoded(file, str(path))
    except OSError as cause:
        raise SpecError(f"{path} cannot be read: {cause.strerror or cause}") from None


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, object) of every line of a JSONL file.

    Raises:
        SpecError: as `numbered`, or a line is not a JSON object.
    """
    return _objects(numbered(path), str(path))


def records_of(stream: Iterable[bytes], *, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The same of a stream that is open already.

    Args:
        name: what messages call it.
    """
    return _objects(_decoded(stream, name), name)


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, raw in enumerate(lines, start=1):
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            if line.strip():
                yield number, line
    except UnicodeDecodeError as cause:
        raise SpecError(f"{name}:{number}: not UTF-8: {cause.reason}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise SpecError(f"{name}:{number + 1}: its compression is damaged: {cause}") from None


def _objects(lines: Iterable[tuple[int, str]], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in lines:
        try:
            record = json.loads(line)
        except ValueError as cause:
            raise SpecError(f"{name}:{number}: not JSON: {cause}") from None
        except RecursionError:
            raise SpecError(f"{name}:{number}: nested too deeply to be read") from None
        if not isinstance(record, dict):
            raise SpecError(f"{name}:{number}: a JSON object is wanted, not {type(record).__name__}")
        yield number, record


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked if its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
