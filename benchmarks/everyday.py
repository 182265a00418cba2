"""What an hour of ordinary use costs: a search from the command line, alone and through a server; a large file; a
table with one long row.

    python -m benchmarks.everyday [--megabytes 95] [--runs 5] [--python PYTHON] [--only search served text table]

Everything goes through the command, so that a version can be measured beside another: `--python` is the interpreter of
the other one. Seconds are processor time of the command, the least of the runs. Memory is that of the indexing process;
the process that parses is another, with a limit of its own.
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
from pathlib import Path
from typing import Any

_COMMAND = "import sys, rag.cli; sys.exit(rag.cli.main())"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=95)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable)
    parts = {"search": _search, "served": _served, "text": _text, "table": _table}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_RUNTIME_DIR"] = name  # no server but our own is asked
        for part in given.only:
            parts[part](folder, given)


def _search(folder: Path, given: argparse.Namespace) -> None:
    place = _notes(folder, given)
    for graph in ("bm25", "hybrid"):
        _print_search(graph, place, given)


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
        _print_search("hybrid", place, given, " through a server")
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
        _run(given.python, "index", str(notes), *place)
    return place


def _print_search(graph: str, place: list[str], given: argparse.Namespace, how: str = "") -> None:
    command = ("search", "When does the certificate expire?", *place, "--graph", graph)
    seconds = min(_run(given.python, *command)[1] for _ in range(given.runs))
    print(f"rag search --graph {graph}{how}: {seconds:.2f} s of processor time", flush=True)


def _text(folder: Path, given: argparse.Namespace) -> None:
    file = folder / "large.txt"
    words = [f"word{number}" for number in range(20_000)]
    chosen = random.Random(0)
    with file.open("w") as stream:
        while stream.tell() < given.megabytes * 1e6:
            stream.write(" ".join(chosen.choices(words, k=80)) + ".\n\n")
    _print_index(f"{given.megabytes:g} MB of text", file, folder / "text-index", given)


def _table(folder: Path, given: argparse.Namespace) -> None:
    file = folder / "table.csv"
    words = " ".join(random.Random(0).choices([f"word{number}" for number in range(5_000)], k=120_000))
    file.write_text(f'id,notes,text\n1,"{words}","{words}"\n')
    _print_index(f"a table of {file.stat().st_size / 1e6:.1f} MB with one row", file, folder / "table-index", given)


def _print_index(what: str, source: Path, place: Path, given: argparse.Namespace) -> None:
    out, seconds = _run(given.python, "index", str(source), "--index", str(place), "--graph", "bm25", "--json")
    report: dict[str, Any] = json.loads(out)
    size, memory = report["size_bytes"] / 1e6, report["peak_memory_bytes"] / 1e6
    print(f"{what}: index of {size:,.1f} MB, memory {memory:,.0f} MB, {seconds:.0f} s of processor time", flush=True)


def _run(python: str, *arguments: str) -> tuple[str, float]:
    """What the command prints, and its processor time with that of its children, in seconds."""
    before = os.times()
    command = [python, "-c", _COMMAND, *arguments]
    # elsewhere, so that the code of this folder is not what another interpreter imports
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tempfile.gettempdir())
    after = os.times()
    return done.stdout, after.children_user - before.children_user


if __name__ == "__main__":
    main()
