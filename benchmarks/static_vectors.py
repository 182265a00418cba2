"""Static vectors beside the encoder that they were distilled from: nDCG@10, and how much faster.

Both encode the same documents in turns, a slice each, so that what else the machine does falls on both alike. On a busy
machine documents a second say nothing, and the ratio is all that is printed: of seconds on the clock, and of seconds of
the processor. Search is exact.

    rag models distil all-minilm-l6-v2 --out build/minilm-static
    RAGLINE_EVAL_DATA=... python -m benchmarks.static_vectors build/minilm-static [SET ...] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoded import MEASURE, Drawn, beside, drawn, judged, texts_of
from benchmarks.record import record
from retrievers.encoders import SentenceEncoder

SETS = ("scifact", "cranfield", "cosqa", "docs-manpages", "codebase-chunks")
TEACHER = "all-minilm-l6-v2"
_SLICE = 256


class Timed:
    """An encoder with its vectors of documents, and the seconds that they took."""

    def __init__(self, model: str, name: str) -> None:
        self.name, self.clock, self.processor = name, 0.0, 0.0
        self.encoder = SentenceEncoder(model=model)
        self.encoder.encode(["warm", "documents " * 200], role="document")
        self._parts: list[NDArray[np.float32]] = []

    def take(self, texts: Sequence[str]) -> None:
        """Encode the next documents."""
        clock, processor = perf_counter(), process_time()
        self._parts.append(self.encoder.encode(texts, role="document"))
        self.clock += perf_counter() - clock
        self.processor += process_time() - processor

    def documents(self) -> NDArray[np.float32]:
        """All vectors so far."""
        return np.concatenate(self._parts)


def measured(some: Drawn, models: dict[str, str]) -> list[dict[str, object]]:
    """A line for each system."""
    texts, questions = texts_of(some)
    systems = [Timed(model, name) for name, model in models.items()]
    for start in range(0, len(texts), _SLICE):
        for system in systems:
            system.take(texts[start : start + _SLICE])
    evaluations = {
        each.name: judged(some, each.documents(), each.encoder.encode(questions, role="query")) for each in systems
    }
    differences = beside(evaluations, to=TEACHER)
    teacher = systems[0]
    return [
        {
            "set": some.name,
            "system": each.name,
            "documents": len(texts),
            "queries": len(questions),
            MEASURE: evaluations[each.name].measures[MEASURE],
            "to_teacher": differences.get(each.name, ""),
            "times_as_fast_by_the_clock": teacher.clock / each.clock,
            "times_as_fast_by_the_processor": teacher.processor / each.processor,
            "bytes_a_document": 4 * each.encoder.dim,
        }
        for each in systems
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="static vectors, as `rag models distil` writes them")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(SETS)} when left out")
    parser.add_argument("--limit", type=int, help="only so many documents of each set")
    parser.add_argument("--record", action="store_true", help="append to results/static_vectors.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        some = drawn(name, documents=options.limit)
        for line in measured(some, {TEACHER: TEACHER, "static": options.folder}):
            print(
                f"{name:16} {line['system']:18} {line[MEASURE]:.4f}  {line['to_teacher']:42}"
                f" {line['times_as_fast_by_the_clock']:6.1f} times as fast by the clock,"
                f" {line['times_as_fast_by_the_processor']:6.1f} by the processor",
                flush=True,
            )
            if options.record:
                record("static_vectors", line | {"whole": some.whole})
    return 0


if __name__ == "__main__":
    sys.exit(main())
