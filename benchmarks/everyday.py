"""What an hour of ordinary use costs: a search from the command line, alone and through a server; an answer; a large
file; a table with one long row.

    python -m benchmarks.everyday [--megabytes 95] [--runs 5] [--python PYTHON] [--only search served ask text table]
    [--record]

Everything goes through the command, so that a version can be measured beside another: `--python` is the interpreter of
the other one. Seconds are processor time of the command, the least of the runs. Memory is the most that the command's
own process held; the process that parses is another, with a limit of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import Record, record

_COMMAND = """
import sys, rag.cli
code = rag.cli.main()
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(code)
"""
"""It tells its peak in KiB, last."""
QUESTION = "When does the certificate expire?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one command. `what`: the command as it is typed, without the index."""

    what: str
    seconds: float
    peak_bytes: int
    index_bytes: int | None = None

    def __str__(self) -> str:
        index = f", index of {self.index_bytes / 1e6:,.1f} MB" if self.index_bytes else ""
        return f"{self.what}: {self.seconds:.2f} s of processor time, memory {self.peak_bytes / 1e6:,.0f} MB{index}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=95)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable)
    parts = {"search": _search, "served": _served, "ask": _ask, "text": _text, "table": _table}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--record", action=Record)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_RUNTIME_DIR"] = name  # no server but our own is asked
        for part in given.only:
            parts[part](folder, given)


def _tell(cost: Cost, given: argparse.Namespace) -> None:
    print(cost, flush=True)
    if given.record:
        record("everyday", asdict(cost))


def _search(folder: Path, given: argparse.Namespace) -> None:
    place = _notes(folder, given)
    for graph in ("bm25", "hybrid"):
        _tell(_asked("search", graph, place, given), given)


def _ask(folder: Path, given: argparse.Namespace) -> None:
    place = _notes(folder, given)
    for graph in ("ask-small", "ask"):
        _tell(_asked("ask", graph, place, given), given)


def _served(folder: Path, given: argparse.Namespace) -> None:
    place = _notes(folder, given)
    serve = [given.python, "-c", _COMMAND, "serve", "--graph", "hybrid", *place, "--port", "0"]
    server = subprocess.Popen(serve, cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not list(folder.glob("ragline/*.sock")):
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit("everyday: no server listens on a socket; is ragline-serve installed?")
            time.sleep(0.1)
        _tell(_asked("search", "hybrid", place, given, " through a server"), given)
    finally:
        server.terminate()
        server.wait()


def _notes(folder: Path, given: argparse.Namespace) -> list[str]:
    """The options that name an index of twenty short files, made at the first call."""
    notes = folder / "notes"
    place = ["--index", str(folder / "notes-index")]
    if not notes.is_dir():
        notes.mkdir()
        for number in range(20):
            (notes / f"{number}.txt").write_text(f"Note {number}. The certificate expires in May.\n")
        _tell(_indexed("twenty notes", notes, folder / "notes-index", given), given)
    return place


def _asked(command: str, graph: str, place: list[str], given: argparse.Namespace, how: str = "") -> Cost:
    runs = [_run(given.python, command, QUESTION, *place, "--graph", graph)[1:] for _ in range(given.runs)]
    seconds, peaks = zip(*runs, strict=True)
    return Cost(what=f"rag {command} --graph {graph}{how}", seconds=min(seconds), peak_bytes=max(peaks))


def _text(folder: Path, given: argparse.Namespace) -> None:
    file = folder / "large.txt"
    words = [f"word{number}" for number in range(20_000)]
    chosen = random.Random(0)
    with file.open("w") as stream:
        while stream.tell() < given.megabytes * 1e6:
            stream.write(" ".join(chosen.choices(words, k=80)) + ".\n\n")
    _tell(_indexed(f"{given.megabytes:g} MB of text", file, folder / "text-index", given, "--graph", "bm25"), given)


def _table(folder: Path, given: argparse.Namespace) -> None:
    file = folder / "table.csv"
    words = " ".join(random.Random(0).choices([f"word{number}" for number in range(5_000)], k=120_000))
    file.write_text(f'id,notes,text\n1,"{words}","{words}"\n')
    what = f"a table of {file.stat().st_size / 1e6:.1f} MB with one row"
    _tell(_indexed(what, file, folder / "table-index", given, "--graph", "bm25"), given)


def _indexed(what: str, source: Path, place: Path, given: argparse.Namespace, *options: str) -> Cost:
    out, seconds, peak = _run(given.python, "index", str(source), "--index", str(place), *options, "--json")
    report: dict[str, Any] = json.loads(out)
    return Cost(what=f"rag index of {what}", seconds=seconds, peak_bytes=peak, index_bytes=report["size_bytes"])


def _run(python: str, *arguments: str) -> tuple[str, float, int]:
    """What the command prints; its processor time with that of its children, in seconds; the peak of its memory in bytes."""
    before = os.times()
    command = [python, "-c", _COMMAND, *arguments]
    # elsewhere, so that the code of this folder is not what another interpreter imports
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tempfile.gettempdir())
    after = os.times()
    return done.stdout, after.children_user - before.children_user, int(done.stderr.split()[-1]) * 1024


if __name__ == "__main__":
    main()
