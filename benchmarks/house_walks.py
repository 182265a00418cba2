"""Which files and functions of the library a command runs through: what somebody reads who wants to follow it.

    python -m benchmarks.house_walks

Bodies of modules do not count, for importing a file is not running through it. Of a search the first one in a process is
cold; the next, with all that is kept, is warm.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.house import CENTRE, HOUSE


@dataclass(slots=True)
class Walk:
    """`functions`: those that were called, each as its file and its first line. `calls`: how many times in all."""

    functions: set[tuple[str, int]] = field(default_factory=set)
    calls: int = 0

    @property
    def files(self) -> set[str]:
        """Paths in the checkout."""
        return {file for file, _ in self.functions}

    def as_dict(self) -> dict[str, int]:
        """The three numbers."""
        return {"files": len(self.files), "functions": len(self.functions), "calls": self.calls}


@contextmanager
def followed() -> Iterator[Walk]:
    """What this thread runs through meanwhile."""
    walk, places = Walk(), dict[CodeType, tuple[str, int] | None]()

    def seen(frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in places:
            places[code] = _place(code)
        if place := places[code]:
            walk.functions.add(place)
            walk.calls += 1

    sys.setprofile(seen)
    try:
        yield walk
    finally:
        sys.setprofile(None)


def _place(code: CodeType) -> tuple[str, int] | None:
    """File and line of a function of the library; None for others, and for bodies of modules, classes and comprehensions."""
    try:
        file = Path(code.co_filename).resolve().relative_to(HOUSE)
    except ValueError:
        return None
    is_body = code.co_name.startswith("<") or not code.co_flags & inspect.CO_NEWLOCALS
    return None if is_body or file.parts[0] not in CENTRE else (str(file), code.co_firstlineno)


def walks(folder: Path) -> dict[str, dict[str, int]]:
    """The numbers of each walk, over a folder of three files and an index that is built for them.

    Args:
        folder: an empty one, to work in.
    """
    notes = folder / "notes"
    notes.mkdir()
    for name, text in {"wheel": "Wheels are trued.", "frame": "Frames are brazed.", "lamp": "Lamps are lit."}.items():
        (notes / f"{name}.txt").write_text(text)
    found = dict[str, dict[str, int]]()
    for each in (_index, _search):  # each in a process of its own, where nothing is kept of the other
        with get_context("spawn").Pool(1) as pool:
            found |= pool.apply(each, (folder,))
    return found


def _index(folder: Path) -> dict[str, dict[str, int]]:
    words = ["index", str(folder / "notes"), "--index", str(folder / "index"), "--graph", "bm25"]
    return {"rag index --graph bm25": _followed(lambda: _run(words)).as_dict()}


def _search(folder: Path) -> dict[str, dict[str, int]]:
    words = ["search", "wheels", "--graph", "bm25", "--index", str(folder / "index"), "--json"]
    cold = _followed(lambda: _run(words))

    import rag

    with rag.load_pipeline("bm25", index=folder / "index") as pipeline:
        pipeline.search("wheels")
        warm = _followed(lambda: pipeline.search("frames"))
    return {"rag search --graph bm25, cold": cold.as_dict(), "the same, warm": warm.as_dict()}


def _run(words: list[str]) -> None:
    from rag.cli import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(words)
    assert code == 0, words


def _followed(done: Callable[[], Any]) -> Walk:
    with followed() as walk:
        done()
    return walk


def main() -> int:
    """Print the three numbers of each walk."""
    with tempfile.TemporaryDirectory() as folder:
        found = walks(Path(folder))
    for name, walk in found.items():
        print(f"{name:32} {json.dumps(walk)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
