"""Spans as JSON lines in a file that stays small.

One object a line, written when its span ends, so children come before their parent: `trace_id`, `span_id`, `parent_id`,
`name`, `kind`, `start` (UTC), `seconds`, `error` (false, or true with `message` where text is recorded), `attributes`,
`events`. Lines are appended whole, so that processes may share a file. A file that has grown to its limit is kept as
FILE.1, in place of the one before, and a new one is begun: at most two files of that size stay.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from rag.errors import SpecError

MOST_BYTES = 64 * 1024 * 1024
MOST_CHARS = 4_000
"""Of one attribute; longer text is cut."""


def provider_for(path: Path, *, most_bytes: int = MOST_BYTES) -> TracerProvider:
    """A provider of spans that end in this file, apart from any other that the process may have.

    Raises:
        SpecError: the file cannot be written.
    """
    limits = SpanLimits(max_events=64, max_attribute_length=MOST_CHARS, max_span_attribute_length=MOST_CHARS)
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=Resource({"service.name": "ragline"}), span_limits=limits, shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(JsonLines(path, most_bytes=most_bytes)))
    return provider


class JsonLines(SpanExporter):
    """Writes spans as they end. A disk that is full loses spans, never the work that is traced."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.path, self._most_bytes = path, most_bytes
        self._lock = threading.Lock()
        try:
            self._file = _opened(path)
        except OSError as error:
            raise SpecError(f"traces cannot be written to '{path}': {error.strerror or error}") from error

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        data = "".join(json.dumps(as_line(span)) + "\n" for span in spans).encode()
        try:
            with self._lock:
                self._make_room(len(data))
                os.write(self._file, data)  # one write to a file opened for appending: lines of processes do not mix
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True  # nothing is held back

    def _make_room(self, n_bytes: int) -> None:
        here = os.fstat(self._file)
        removed = here.st_nlink == 0  # other processes have filled two files since
        if not removed and (here.st_size == 0 or here.st_size + n_bytes <= self._most_bytes):
            return
        self._move_away(here.st_ino)
        before, self._file = self._file, _opened(self.path)
        os.close(before)

    def _move_away(self, inode: int) -> None:
        """Make the full file FILE.1, unless another process has done so: then the path is the next file's by now.

        All who hold this file decide so one after the other. Else two that find it full at the same time would both
        move what is at the path, and the second one would put the new file in place of the full one.
        """
        fcntl.flock(self._file, fcntl.LOCK_EX)  # given up when the file is closed
        if os.path.exists(self.path) and os.stat(self.path).st_ino == inode:
            os.replace(self.path, f"{self.path}.1")


def _opened(path: Path) -> int:
    """Only its owner may read it: it may hold what people asked."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def as_line(span: ReadableSpan) -> dict[str, Any]:
    """A span as plain data."""
    context = span.get_span_context()
    begun, ended = span.start_time or 0, span.end_time or 0
    line: dict[str, Any] = {
        "trace_id": format_trace_id(context.trace_id) if context else None,
        "span_id": format_span_id(context.span_id) if context else None,
        "parent_id": format_span_id(span.parent.span_id) if span.parent else None,
        "name": span.name,
        "kind": span.kind.name.lower(),
        "start": datetime.fromtimestamp(begun / 1e9, UTC).isoformat(),
        "seconds": (ended - begun) / 1e9,
        "error": span.status.status_code is StatusCode.ERROR,
        "attributes": dict(span.attributes or {}),
    }
    if span.status.description:
        line["message"] = span.status.description[:MOST_CHARS]
    if span.events:
        line["events"] = [{"name": event.name, **dict(event.attributes or {})} for event in span.events]
    return line
