"""A long table in a folder of prose: what `rag index` takes by its defaults with it and without, and what becomes of its rows.

The table is a CSV of orders that a seeded script writes; the prose is the first documents of a set. Each folder is indexed by the
defaults, in a process of its own. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.long_table [--rows N ...] [--prose N] [--record]
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.make_samples import data_folder
from benchmarks.memory import alone
from benchmarks.record import Record, record
from rag.evaluate.beir import load_beir
from rag.indexing import build_index

PROSE = "medquad"
CITIES = ("Berlin", "Hamburg", "Köln", "Wien", "Zürich", "Gdańsk", "Kraków", "Lyon")
GOODS = ("lamp", "chair", "desk", "shelf", "rug", "mirror", "sofa", "bed", "stool", "bench")


def write_table(path: Path, rows: int) -> None:
    """Orders: number, day, customer, city, goods, pieces, price."""
    source = random.Random(17)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["order", "day", "customer", "city", "goods", "pieces", "price"])
        for number in range(rows):
            day = date(2024, 1, 1) + timedelta(days=source.randrange(730))
            customer, city, goods = f"C{source.randrange(3_000):05d}", source.choice(CITIES), source.choice(GOODS)
            price = f"{source.randrange(900, 90_000) / 100:.2f}"
            writer.writerow([f"A{number:06d}", day, customer, city, goods, source.randrange(1, 9), price])


def built(folder: Path, index: Path) -> dict[str, Any]:
    """What indexing a folder took."""
    report = build_index([folder], index)
    return {
        "seconds": sum(report.seconds.values()),
        "passages": report.n_units,
        "peak_memory_bytes": report.peak_memory_bytes,
    }


def measured(rows: Sequence[int], prose: int) -> Iterator[dict[str, Any]]:
    """A line for each length of the table; 0 is none."""
    documents = list(islice(load_beir(data_folder() / PROSE).documents(), prose))
    for n in rows:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "folder"
            folder.mkdir()
            for place, document in enumerate(documents):
                (folder / f"{place:05d}.txt").write_text(document.text, encoding="utf-8")
            if n:
                write_table(folder / "orders.csv", n)
            with alone() as process:
                cost = process.submit(built, folder, Path(work) / "index").result()
        yield {"rows": n, "texts": len(documents), **cost}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each length of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 2_000, 20_000], help="of the table; 0: no table")
    parser.add_argument("--prose", type=int, default=500, help="texts beside it")
    parser.add_argument("--record", action=Record, help="append to results/long_table.jsonl")
    options = parser.parse_args(arguments)
    for line in measured(options.rows, options.prose):
        print(
            f"{line['rows']:>7,} rows: {line['seconds']:6.1f} s, {line['passages']:,} passages, "
            f"{line['peak_memory_bytes'] / 2**20:,.0f} MiB",
            flush=True,
        )
        if options.record:
            record("long_table", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
