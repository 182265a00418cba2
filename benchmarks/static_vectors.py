"""Static vectors beside the encoder that they were distilled from: nDCG@10, and how much faster.

Both encode the same documents in turns, a slice each, so that what else the machine does falls on both alike. On a busy
machine documents a second say nothing, and the ratio is all that is printed: of seconds on the clock, and of seconds of
the processor. Search is exact. BM25 stands beside them, alone and with each by the weights of the built-in hybrid:
whoever cannot afford an encoder has BM25 already.

    rag distil all-minilm-l6-v2 --out build/minilm-static
    RAGLINE_EVAL_DATA=... python -m benchmarks.static_vectors build/minilm-static [SET ...] [--record]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoded import MEASURE, Drawn, beside, drawn, judged, nearest, texts_of
from benchmarks.record import Record, record
from rag.core.types import Ranking
from rag.indexing import build_index
from rag.stages.fuse import WeightedFuser
from retrievers import RETRIEVERS
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

SETS = ("scifact", "cranfield", "cosqa", "docs-manpages", "codebase-chunks")
TEACHER = "all-minilm-l6-v2"
BM25 = "bm25"
HYBRID = WeightedFuser(norm="z_score", weights={BM25: 0.3, "dense": 0.7})
_SLICE, _DEPTH = 256, 100


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
    lexical = bm25(some)
    runs = {BM25: lexical}
    for each in systems:
        dense = nearest(some, each.documents(), each.encoder.encode(questions, role="query"))
        runs[each.name] = dense
        runs[f"{BM25} + {each.name}"] = HYBRID.fuse([*lexical, *dense], k=_DEPTH)
    evaluations = {name: judged(some, run) for name, run in runs.items()}
    to_teacher, to_bm25 = beside(evaluations, to=TEACHER), beside(evaluations, to=BM25)
    lines: list[dict[str, object]] = []
    for name, evaluation in evaluations.items():
        line = {"set": some.name, "system": name, "documents": len(texts), "queries": len(questions)}
        line |= {MEASURE: evaluation.measures[MEASURE]}
        lines.append(line | {"to_teacher": to_teacher.get(name, ""), "to_bm25": to_bm25.get(name, "")})
    teacher = systems[0]
    for each in systems:
        costs = {
            "times_as_fast_by_the_clock": teacher.clock / each.clock,
            "times_as_fast_by_the_processor": teacher.processor / each.processor,
            "bytes_a_document": 4 * each.encoder.dim,
        }
        next(line for line in lines if line["system"] == each.name).update(costs)
    return lines


def bm25(some: Drawn) -> list[Ranking]:
    """BM25 with its defaults over the same documents."""
    with tempfile.TemporaryDirectory() as work:
        corpus = Path(work) / "corpus.jsonl"
        records = ({"_id": each.doc_id, "title": each.title, "text": each.text} for each in some.documents)
        corpus.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
        build_index(corpus, Path(work) / "index", settings=IndexSettings().judging_documents(), legs=("lexical",))
        with LocalIndex.open(Path(work) / "index") as index:
            found = RETRIEVERS.get("bm25")(index=index).retrieve(some.queries, k=_DEPTH)
            return [replace(ranking, source=BM25) for ranking in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="static vectors, as `rag distil` writes them")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(SETS)} when left out")
    parser.add_argument("--limit", type=int, help="only so many documents of each set")
    parser.add_argument("--record", action=Record, help="append to results/static_vectors.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or SETS:
        some = drawn(name, documents=options.limit)
        for line in measured(some, {TEACHER: TEACHER, "static": options.folder}):
            speed = ""
            if "bytes_a_document" in line:
                clock, processor = line["times_as_fast_by_the_clock"], line["times_as_fast_by_the_processor"]
                speed = f"{clock:.1f} times as fast by the clock, {processor:.1f} by the processor"
            versus = f"to {TEACHER} {line['to_teacher']:42} to BM25 {line['to_bm25']:42}"
            print(f"{name:16} {line['system']:24} {line[MEASURE]:.4f}  {versus} {speed}".rstrip(), flush=True)
            if options.record:
                record("static_vectors", line | {"whole": some.whole})
    return 0


if __name__ == "__main__":
    sys.exit(main())
