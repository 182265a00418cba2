"""What `rag index` holds in memory over many small files: peak and seconds, beside a tenth of the files, so that growth is
seen.

Files of a few sentences are written into folders of a thousand. The command runs over them as a user runs it: once with
the legs of the usual graph, and once without a dense leg. Files are parsed by processes of their own, so two peaks are
told: of the command's process, and of all that it started.

    python -m benchmarks.many_files [--files 100000] [--legs usual words] [--record] [--busy]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.memory import watched
from benchmarks.record import Record, record
from benchmarks.ways import add_busy

NAME, SEED, IN_A_FOLDER = "many_files", 17, 1_000
GRAPHS: Mapping[str, Sequence[str]] = {"usual": (), "words": ("--graph", "bm25")}
"""Legs -> what the command is told."""
_COMMAND = "import sys, rag.cli; sys.exit(rag.cli.main())"


def write(folder: Path, n: int) -> None:
    """`n` text files of one to five sentences, no two alike; the first of them are those of a smaller `n`."""
    words = [f"word{number}" for number in range(20_000)]
    for number in range(n):
        chosen = random.Random(f"{SEED} {number}")
        place = folder / f"{number // IN_A_FOLDER:04d}"
        if number % IN_A_FOLDER == 0:
            place.mkdir(parents=True)
        sentences = (" ".join(chosen.choices(words, k=12)) for _ in range(chosen.randint(1, 5)))
        (place / f"{number}.txt").write_text(f"Note {number}. {'. '.join(sentences)}.\n")


def measured(n: int, legs: str) -> dict[str, Any]:
    """One build of `n` files."""
    with tempfile.TemporaryDirectory() as name:
        source, index = Path(name, "files"), Path(name, "index")
        write(source, n)
        arguments = ["index", str(source), "--index", str(index), *GRAPHS[legs], "--json"]
        run = watched([sys.executable, "-c", _COMMAND, *arguments])
    report = json.loads(run.output)
    if report["n_files"] != n:
        raise RuntimeError(f"{n} files were written, {report['n_files']} indexed: {report['problems'][:3]}")
    return {
        "files": n,
        "legs": legs,
        "passages": report["n_units"],
        "seconds": report["seconds"],
        "peak_bytes": report["peak_memory_bytes"],
        "workers_peak_bytes": run.workers_peak_bytes,
        "index_bytes": report["size_bytes"],
    }


def show(line: Mapping[str, Any], smaller: Mapping[str, Any] | None) -> None:
    growth = ""
    if smaller is not None:
        each = (line["peak_bytes"] - smaller["peak_bytes"]) / (line["files"] - smaller["files"])
        growth = f", {each:,.0f} bytes more for each file"
    print(
        f"{line['legs']:6} {line['files']:9,} files, {line['passages']:,} passages: peak {line['peak_bytes'] / 2**20:,.0f} MiB,"
        f" its workers {line['workers_peak_bytes'] / 2**20:,.0f} MiB{growth}; {sum(line['seconds'].values()):,.1f} s,"
        f" index of {line['index_bytes'] / 1e6:,.1f} MB",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each choice of legs, and for a tenth of the files and all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--legs", nargs="+", choices=list(GRAPHS), default=list(GRAPHS))
    parser.add_argument("--record", action=Record, help="append to results/many_files.jsonl")
    add_busy(parser)
    options = parser.parse_args(arguments)
    if options.files < 10:
        parser.error(f"--files: at least 10, as a tenth of them is measured too, got {options.files}")
    for legs in options.legs:
        smaller = None
        for n in (options.files // 10, options.files):
            line = measured(n, legs)
            show(line, smaller)
            smaller = line
            if options.record:
                record(NAME, line | ({"busy": True} if options.busy else {}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
