"""Results of a long benchmark, one JSON line each, added as they come: a run that was killed goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class Work:
    """Lines by method, set, query and settings; a later line replaces an earlier one of the same four.

    `busy`: other programs run beside this, so seconds are no figure: the lines that are added say so.
    """

    def __init__(self, path: Path, *, busy: bool = False) -> None:
        self._path, self._busy = path, busy
        self._done: dict[tuple[str, str, str, str], Line] = {_key(line): line for line in self._lines()}

    def get(self, method: str, name: str, qid: str, settings: str) -> Line | None:
        return self._done.get((method, name, qid, settings))

    def of(self, method: str, name: str, settings: str) -> list[Line]:
        """All lines of a method on a set, in the order in which their queries were first done."""
        return [line for key, line in self._done.items() if key[:2] == (method, name) and key[3] == settings]

    def every(self, method: str, name: str) -> list[Line]:
        """The same, whatever the settings."""
        return [line for key, line in self._done.items() if key[:2] == (method, name)]

    def latest(self, method: str, name: str) -> list[Line]:
        """The same, of the settings that the method was last run with on the set; none where it was not."""
        settings = [key[3] for key in self._done if key[:2] == (method, name)]
        return self.of(method, name, settings[-1]) if settings else []

    @property
    def methods(self) -> list[str]:
        """Those that have lines, in order of their first one."""
        return list(dict.fromkeys(key[0] for key in self._done))

    def add(self, line: Line) -> None:
        if self._busy:
            line = {**line, "busy": True}
        self._done[_key(line)] = line
        self._path.parent.mkdir(parents=True, exist_ok=True)
        start = "\n" if self._ends_within_a_line() else ""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"{start}{json.dumps(line)}\n")

    def _ends_within_a_line(self) -> bool:
        """Whether a kill cut the last line off: what follows must not be glued to it."""
        if not self._path.is_file() or not self._path.stat().st_size:
            return False
        with self._path.open("rb") as stream:
            stream.seek(-1, 2)
            return stream.read(1) != b"\n"

    def _lines(self) -> Iterator[Line]:
        if not self._path.is_file():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # a line that a kill cut off; its query is asked again
            yield line


def _key(line: Line) -> tuple[str, str, str, str]:
    return line["method"], line["set"], line["qid"], line["settings"]
