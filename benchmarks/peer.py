"""Another library in an interpreter of its own: a script of `benchmarks` that answers each line of JSON with one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Self


class Peer:
    """A running script. A context manager.

    Args:
        python: an interpreter that has the library.
        script: its file name in this folder.
        arguments: of the script.
        quiet: what it writes beside its answers, such as progress bars, is not shown.

    `told`: what it says before it is asked.
    """

    def __init__(self, python: str, script: str, *arguments: str, quiet: bool = False) -> None:
        self._script = script
        self._running = subprocess.Popen(
            [python, str(Path(__file__).with_name(script)), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
        )
        self.told = self._read()

    def ask(self, **how: Any) -> Any:
        """Its answer to a line."""
        assert self._running.stdin is not None
        self._running.stdin.write(json.dumps(how) + "\n")
        self._running.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._running.stdout is not None
        while line := self._running.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self._script} ended without an answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running.stdin is not None:
            self._running.stdin.close()
        self._running.wait()
