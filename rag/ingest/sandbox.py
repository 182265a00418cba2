"""A parsing process seen from outside: ask it, give it so much of the processor's time, kill it when it does not answer.

It is a fresh interpreter rather than a fork, so that it starts small, runs no part of the user's script
again, and can be bounded in memory.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from rag.ingest.types import Limits, ReadError

_START = "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); from rag.ingest.worker import main; main()"
_STARTING_S = 30.0
_PATIENCE = 20
"""How many times its time a process may take by the clock: on a busy machine it gets little of the processor at once.
One that takes longer waits for something, such as a disk that does not answer."""
_FRAME_BYTES = 1 << 28
"""No honest frame is so long: a record of the largest size, every character of it as an escape."""


class Worker:
    """One process; one thread at a time may ask it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _START, json.dumps(sys.path), str(limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},  # those of every thread count against the bound, unused
            start_new_session=True,  # Ctrl-C is for the asking process, which then ends this one
        )
        self._started = False
        self._unread = bytearray()
        self._end = weakref.finalize(self, _end, self._process)

    def ask(self, request: Mapping[str, Any], *, seconds: float) -> Iterator[dict[str, Any]]:
        """The frames of an answer, as `rag.ingest.worker` gives them, each asked for as it is needed.

        Args:
            seconds: of the processor's time for all of them together. Each page that is read as a picture adds to it, as
                the limits say. By the clock they may take 20 times as long; what the caller does in between does not count.
        Raises:
            ReadError: no answer in time, out of memory, or the process died.
        """
        complete = False
        try:
            self._send({**request, "seconds": seconds})
            waited, pages = 0.0, 0
            while not complete:
                start = time.monotonic()
                frame: dict[str, Any] = json.loads(self._line(seconds, waited=waited))
                waited += time.monotonic() - start
                if frame.get("page"):
                    pages += 1
                    seconds += self._limits.ocr_seconds if pages <= self._limits.ocr_pages else 0
                    continue
                if frame.get("memory"):
                    raise ReadError(f"needs more than {self._limits.memory_bytes:,} bytes of memory to parse")
                complete = "error" in frame or "done" in frame
                yield frame
        finally:
            if not complete:
                self.close()

    @property
    def alive(self) -> bool:
        """Whether it can be asked. After an answer that did not come it is not."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._end()

    def _send(self, request: Mapping[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        if not self._started:
            self._line(_STARTING_S)
            self._started = True
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._died(0) from None

    def _line(self, seconds: float, *, waited: float = 0.0) -> bytes:
        """The next line that the process writes, which has so much of the processor's time, and has waited so long."""
        stdout = self._process.stdout
        assert stdout is not None
        deadline = time.monotonic() + _PATIENCE * seconds - waited
        waiting = select.poll()
        waiting.register(stdout, select.POLLIN | select.POLLHUP)
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if searched > _FRAME_BYTES:
                raise ReadError(f"the parser sent more than {_FRAME_BYTES:,} bytes at once")
            left = deadline - time.monotonic()
            if left <= 0 or not waiting.poll(left * 1000):
                raise ReadError(f"no answer from its parser within {_PATIENCE * seconds:g} s; is its disk there?")
            piece = os.read(stdout.fileno(), 1 << 20)
            if not piece:
                raise self._died(seconds)
            self._unread += piece
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    def _died(self, seconds: float) -> ReadError:
        code = self._process.wait()
        if code == -signal.SIGPROF:
            return ReadError(
                f"not parsed within {seconds:g} s of the processor's time; split it, if it is what it should be"
            )
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return ReadError(f"the parser died on it ({how})")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
