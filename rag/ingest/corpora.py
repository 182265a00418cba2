"""JSONL, plain or gzipped, read as a stream: records of files, and the corpora of BEIR, FlashRAG and
Pyserini.

A line that is no record is left out and counted; it never ends the reading.
"""

from __future__ import annotations

import io
import json
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from rag.ingest.clean import Cleaner
from rag.ingest.records import LongTable, corpus_document, file_document
from rag.ingest.tally import Tally
from rag.ingest.types import DistinctNames, Limits, Note, ParsedDocument, ReadError, SourceFile
from rag.ingest.unpack import damage_told, opened, require_ratio

_SHAPES = (("_id", "text"), ("id", "contents"))  # BEIR; FlashRAG and Pyserini
_SNIFFED = 1 << 20
_FRESH = 0.05  # seconds for which the processor's time is good enough for the next document too
_EMPTY = re.compile(rb"\n+")


def is_corpus(path: Path) -> bool:
    """Does the file's first record look like one of a corpus? False where reading will say why it cannot."""
    try:
        with opened(path) as file:
            start = file.read(_SNIFFED).decode("utf-8-sig", "replace").lstrip()
        record, _ = json.JSONDecoder().raw_decode(start.removeprefix("[").lstrip())
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and any(all(key in record for key in shape) for shape in _SHAPES)


def stream(
    file: SourceFile, *, limits: Limits, note: Note, content: io.BufferedReader | None = None
) -> Iterator[ParsedDocument]:
    """The documents of a JSONL or JSON file, one a record, in file order.

    Args:
        content: what the file holds, where it is a part of another one: lines of JSON.
    Raises:
        ReadError: not one record, damaged compression, a limit is passed, or no document comes in time.
    """
    clean, tally, distinct, table = Cleaner(), Tally(), DistinctNames(), LongTable(file.name)
    clock = _Clock(limits.seconds)
    for position, record in _records(file, limits, tally, clock, content):
        try:
            if file.layout == "corpus":
                document = corpus_document(record, source=file.name, clean=clean)
            else:
                document = file_document(record, name=file.name, position=position, clean=clean)
                document = table.row(document, record) if document else None
        except ReadError as cause:
            tally.add(f"records left out for their {cause}", f"in line {position}", lost=True)
            continue
        if document is None:
            tally.add("empty records left out", f"in line {position}", lost=True)
            continue
        doc_id = distinct(document.doc_id or f"{file.name}:{position}")
        if not document.doc_id:
            tally.add("records without an id named by file and line", f"in line {position}")
        elif doc_id != document.doc_id:
            tally.add("ids that appear again given a number", f"in line {position}")
        yield document if doc_id == document.doc_id else replace(document, doc_id=doc_id)
        clock.restart()
    if not len(distinct):
        raise ReadError("; ".join(["no record in it", *(line for line, _ in tally.lines())]))
    tally.tell(note)
    clean.tell(note)
    table.tell(note)


def _records(
    file: SourceFile, limits: Limits, tally: Tally, clock: _Clock, content: io.BufferedReader | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number from 1, or position in a JSON array, and record."""
    if content is None and file.path.suffix.lower() == ".json":
        yield from _array(file.path, limits)
        return
    for number, line in _lines(content or opened(file.path), file.path.stat().st_size, limits, clock):
        if len(line) > limits.record_bytes:
            tally.add(f"records of more than {limits.record_bytes:,} bytes left out", f"in line {number}", lost=True)
        elif line.strip():
            try:
                record = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict):
                yield number, record
            else:
                tally.add("lines that are not a JSON object left out", f"in line {number}", lost=True)


def _array(path: Path, limits: Limits) -> Iterator[tuple[int, dict[str, Any]]]:
    """A JSON file that holds one record, or an array of them, as Pyserini's JsonCollection may."""
    if path.stat().st_size > limits.file_bytes:
        raise ReadError(f"larger than {limits.file_bytes:,} bytes; write it as JSONL, one record a line")
    try:
        records = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise ReadError(f"not JSON: {cause}") from None
    for position, record in enumerate(records if isinstance(records, list) else [records], start=1):
        if isinstance(record, dict):
            yield position, record


def _lines(lines: io.BufferedReader, packed: int, limits: Limits, clock: _Clock) -> Iterator[tuple[int, bytes]]:
    """Lines with their number; of a longer one than a record may be, only enough to see that."""
    number = read = 0
    goes_on = False
    with damage_told(), lines as file:
        while line := file.readline(limits.record_bytes + 1):
            clock.check()
            read += len(line)
            if not goes_on:
                number += 1
                yield number, line
            goes_on = not line.endswith(b"\n")
            if line == b"\n" and (empty := _EMPTY.match(file.peek(1))):  # many empty lines are little work
                n = len(file.read(empty.end()))
                read, number = read + n, number + n
            if read > limits.corpus_bytes:
                raise ReadError(f"more than {limits.corpus_bytes:,} bytes unpacked; raise corpus_bytes to read it")
            require_ratio(read, packed, limits)


class _Clock:
    """How much of the processor's time passed without a document. To ask for that is a call into the kernel, as dear as a
    record, so it is asked only where the clock, of which more passes, does not tell enough."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._fresh = seconds, min(_FRESH, seconds / 10)
        self._asked = -inf
        self.restart()

    def restart(self) -> None:
        now = time.perf_counter()
        if now - self._asked > self._fresh:
            self._asked, self._start = now, time.thread_time()

    def check(self) -> None:
        late = time.perf_counter() - self._asked > self._seconds
        if late and time.thread_time() - self._start > self._seconds:
            raise ReadError(f"not one document within {self._seconds:g} s of the processor's time")
