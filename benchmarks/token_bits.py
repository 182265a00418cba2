"""What late interaction loses by bits: nDCG@10, the ten best by brute force that are found, bytes a document.

Token vectors of an encoder, on all their axes and on those that are kept by default, in 4, 2 and 1 bits a number. All
judged queries, every document scored, so that what is lost is lost by keeping less. Each way is compared with brute force
over the model's own vectors by a paired randomisation test, corrected over the ways of a set (Holm). Vectors are kept in the
work folder, which `benchmarks.late_interaction` shares.

    RAGLINE_EVAL_DATA=... python -m benchmarks.token_bits [SET ...] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.late_interaction import Case, K, case, exact, recall, stored
from benchmarks.make_samples import take_sets
from benchmarks.record import Record, record
from rag.evaluate.comparison import compare_runs
from retrievers.stores.residuals import Bits
from retrievers.stores.token_store import TokenStore

SETS = ("cranfield", "cacm", "codebase-chunks", "xquad/en")
WAYS: tuple[tuple[int | None, Bits], ...] = ((None, 4), (None, 2), (None, 1), (128, 4), (128, 2), (128, 1))
MEASURE = "nDCG@10"
_TOGETHER = 32
"""Queries that are scored at a time."""


def scored(store: TokenStore, one: Case) -> list[list[int]]:
    """The best rows of each query, of all that are kept."""
    found: list[list[int]] = []
    turned = [store.codec.turn(one.asked.row(place)) for place in range(len(one.asked))]
    for start in range(0, len(turned), _TOGETHER):
        for scores in store.exact(turned[start : start + _TOGETHER]):
            found.append(np.lexsort((np.arange(len(scores)), -scores))[:K].tolist())
    return found


def lines(name: str, one: Case, work: Path) -> Iterator[dict[str, Any]]:
    """Brute force over a set, and every way to keep its vectors."""
    best, n = exact(one), len(one.documents)
    true = one.evaluated(best)
    shared = {"set": name, "queries": len(one.queries), "tokens": len(one.said.values) // n}
    yield {**shared, "system": "float32", MEASURE: true.measures[MEASURE], "bytes": one.said.values.nbytes // n}
    ways, evaluations = {}, {}
    for dim, bits in WAYS:
        folder = work / f"{name.replace('/', '-')}-{dim}-{bits}"
        store, _ = stored(one, folder, dim=dim, bits=bits)
        found = scored(store, one)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        system = f"{store.codec.dim} axes, {bits} bit{'s' if bits > 1 else ''}"
        evaluations[system] = one.evaluated(found)
        ways[system] = {"dim": store.codec.dim, "bits": bits, "bytes": size // n, "recall": recall(found, best)}
    compared = compare_runs(true, evaluations, measures=[MEASURE])
    for system, way in ways.items():
        [to_all] = compared[system]
        test = {"lost": -to_all.test.difference, "low": -to_all.test.high, "high": -to_all.test.low, "p": to_all.p}
        yield {**shared, "system": system, MEASURE: evaluations[system].measures[MEASURE], **way, **test}


def show(line: dict[str, Any]) -> None:
    lost = f"{line['lost']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.3f}" if "lost" in line else ""
    found = f"{line['recall']:.3f}" if "recall" in line else ""
    print(
        f"{line['set']:16} {line['system']:18} {line[MEASURE]:.4f}  lost {lost:36} recall {found:6} {line['bytes']:8,} bytes",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/late"), help="where vectors are kept")
    parser.add_argument("--record", action=Record, help="append to results/token_bits.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        for line in lines(name, case(name, options.work, limit=options.limit), options.work):
            show(line)
            if options.record:
                record("token_bits", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
