"""Ways to keep a million vectors: seconds to build, bytes, seconds a query, and how many of the true ten are found.

The passages, queries and filters are those of `benchmarks.million`. Each way is built by a process of its own on all cores,
and searched by another on one thread. Truth is every score sorted. Other libraries read the same vectors in an interpreter of
their own (`--peers PYTHON`, with faiss, usearch and lancedb), set up by hand as their guides say.

    RAGLINE_EVAL_DATA=... python -m benchmarks.million_vectors build/minilm-static [--peers PYTHON] [--record]
    RAGLINE_EVAL_DATA=... python -m benchmarks.million_vectors all-minilm-l6-v2 --passages 100000 [...]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory import memory_of
from benchmarks.million import SHARES, corpus, queries
from benchmarks.peer import Peer
from benchmarks.record import Record, record, recorded
from benchmarks.turns import timed
from rag.core.lines import records

NAME, K = "million_vectors", 10
KINDS = [
    *itertools.product(("flat", "hnsw"), ("float32", "int8")),
    ("ivf_pq", "float32"),
    ("rabitq", "float32"),
]
PEERS = (
    "faiss flat",
    "faiss hnsw",
    "faiss ivf_pq, refined",
    "usearch float32",
    "usearch int8",
    "lancedb ivf_pq, refined",
)


def encoded(options: argparse.Namespace) -> tuple[Path, Path, Path]:
    """Files of the vectors of passages and of queries, and of what filters ask for, written unless they are there; a stopped
    run goes on."""
    from retrievers.encoders.sentence_encoder import SentenceEncoder
    from retrievers.legs.dense.encode_units import encode_units

    place = options.work / f"{Path(options.encoder).name}-{options.passages}"
    files = place / "passages.npy", place / "queries.npy", place / "numbers.npy"
    if not all(file.exists() for file in files):
        place.mkdir(parents=True, exist_ok=True)
        read = itertools.islice(records(corpus(options.work, options.passages)), options.passages)
        lines = [(str(line["text"]), line["number"]) for _, line in read]
        np.save(files[2], np.array([number for _, number in lines], np.int16))
        texts = [text for text, _ in lines]
        encoder = SentenceEncoder(model=options.encoder)
        begun = perf_counter()
        np.save(files[0], encode_units(texts, encoder=encoder, work=place / "work").vectors)
        told("encoded", options, seconds=perf_counter() - begun)
        np.save(files[1], encoder.encode(queries(options.queries), role="query"))
    return files


def truth(
    vectors: NDArray[np.float32], asked: NDArray[np.float32], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """The K best rows of each query of those that the mask passes, int64 [n_queries, K], in any order."""
    best = np.full((len(asked), 0), -np.inf, np.float32), np.zeros((len(asked), 0), np.int64)
    for start in range(0, len(vectors), 1 << 16):
        scores = asked @ vectors[start : start + (1 << 16)].T
        if mask is not None:
            scores[:, ~mask[start : start + (1 << 16)]] = -np.inf
        rows = np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)
        both = np.hstack([best[0], scores]), np.hstack([best[1], rows])
        kept = np.argsort(-both[0], axis=1, kind="stable")[:, :K]
        best = np.take_along_axis(both[0], kept, 1), np.take_along_axis(both[1], kept, 1)
    return best[1]


def recall(found: Sequence[Sequence[int]], right: NDArray[np.int64]) -> float:
    return float(np.mean([len({*rows} & {*wanted}) / K for rows, wanted in zip(found, right.tolist(), strict=True)]))


def build(structure: str, storage: str, vectors: Path, folder: Path) -> dict[str, Any]:
    """In a process of its own: seconds, peak memory and bytes on disk."""
    from retrievers.legs.dense.leg import DenseLeg
    from retrievers.legs.dense.settings import DenseSettings

    begun = perf_counter()
    facts = DenseLeg.build(
        np.load(vectors, mmap_mode="r"), folder, settings=DenseSettings(structure=structure, storage=storage)
    )
    seconds = perf_counter() - begun
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"seconds": seconds, "peak_bytes": memory_of().peak, "bytes": size, "facts": facts}


def passing(numbers: NDArray[np.int16], share: float) -> NDArray[np.bool_] | None:
    """The filter that keeps this share; None for all."""
    return None if share == 1 else numbers < int(1_000 * share)


def search(facts: str, asked: str, numbers: str, folder: Path) -> dict[str, Any]:
    """In a process of its own, which has one thread: seconds a query, peak memory, and the rows; without a filter first."""
    from retrievers.legs.dense.leg import DenseLeg

    leg, vectors, told_numbers = DenseLeg.open(folder, json.loads(facts)), np.load(asked), np.load(numbers)
    turns: list[dict[str, Any]] = []
    for share in (1.0, *SHARES):
        rows: dict[int, list[int]] = {}
        ask = partial(_ask, leg, vectors, rows, passing(told_numbers, share))
        took = timed(ask, len(vectors))
        turns.append({"share": share, **took, "rows": [rows[place] for place in range(len(vectors))]})
    return {"search_peak_bytes": memory_of().peak, "turns": turns}


def _ask(leg: Any, vectors: Any, rows: dict[int, list[int]], mask: Any, place: int) -> None:
    rows[place] = leg.search(vectors[place : place + 1], k=K, mask=mask)[0][0].tolist()


def measure(options: argparse.Namespace) -> None:
    """Every way, and every peer."""
    files = encoded(options)
    vectors, asked, numbers = (np.load(file, mmap_mode="r") for file in files)
    right = {share: truth(vectors, asked, passing(numbers, share)) for share in (1.0, *SHARES)}
    say = partial(told, options=options, dim=vectors.shape[1])
    done = measured_before(options) if options.record else set()
    for structure, storage in KINDS:
        if f"{structure} {storage}" in done:
            continue
        folder = files[0].parent / f"{structure}-{storage}"
        built = _apart("build", structure, storage, files[0], folder, threads=os.cpu_count() or 1)
        facts = built.pop("facts")
        found = _apart("search", json.dumps(facts), *files[1:], folder, threads=1)
        plain, *filters = [_judged(turn, right[turn["share"]]) for turn in found.pop("turns")]
        say("way", engine="ragline", way=f"{structure} {storage}", **built, **found, **plain, filters=filters)
        shutil.rmtree(folder)
    for way in PEERS if options.peers else ():
        if way in done:
            continue
        with Peer(options.peers, "million_vectors_peer.py", way, *map(str, files[:2]), quiet=True) as peer:
            answer = peer.ask(k=K)
            right_rows = recall(answer.pop("rows"), right[1.0])
            say("way", engine=way.split()[0], way=way, **peer.told, **answer, recall=right_rows)


def _judged(turn: Mapping[str, Any], right: NDArray[np.int64]) -> dict[str, Any]:
    """What is told in place of the rows. `filled`: K hits for every query."""
    rows = turn["rows"]
    told = {name: value for name, value in turn.items() if name != "rows"}
    return {**told, "recall": recall(rows, right), "filled": all(row >= 0 for found in rows for row in found)}


def measured_before(options: argparse.Namespace) -> set[str]:
    """Ways that these vectors were measured in."""
    wanted = "way", Path(options.encoder).name, options.passages
    return {line["way"] for line in recorded(NAME) if (line["what"], line["encoder"], line["passages"]) == wanted}


def told(what: str, options: argparse.Namespace, **line: Any) -> None:
    line = {"encoder": Path(options.encoder).name, "passages": options.passages, **line}
    print(what, json.dumps(line), flush=True)
    if options.record:
        record(NAME, {"what": what, **line})


def _apart(step: str, *arguments: object, threads: int) -> dict[str, Any]:
    """What a step of this module says, run by a process with so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.million_vectors", "--step", step, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **dict.fromkeys(names, str(threads))},
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or do one step of it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--step"]:
        step, *rest, last, folder = given[1:]
        steps: dict[str, Callable[..., dict[str, Any]]] = {"build": build, "search": search}
        print(json.dumps(steps[step](*rest, Path(last), Path(folder))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", help="a packaged encoder, or a folder of static vectors")
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--work", type=Path, default=Path("build/million"))
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with faiss, usearch and lancedb")
    parser.add_argument(
        "--record", action=Record, help="append to results/million_vectors.jsonl, and skip what is there"
    )
    measure(parser.parse_args(given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
