"""What passages cost, leg by leg: seconds to build, bytes on disk, memory to build and to answer, seconds of a search.

Every way to keep a leg is built from nothing over the first passages of `benchmarks.million`'s corpus, by a process of
its own; another one opens the index and asks ten questions, three times each. Slow legs get fewer passages. A line is
kept for each way and number of passages, so a run that was stopped goes on where it was. `docs/reference/scale.md` is written from
the recorded lines by `python -m docs.generate`.

    rag distil all-minilm-l6-v2 --out build/minilm-static
    RAGLINE_EVAL_DATA=... python -m benchmarks.scale [LEG ...] [--passages N ...] [--record] [--busy]
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.memory import alone, memory_of
from benchmarks.record import Record, record, recorded
from benchmarks.ways import add_busy, require_ways

NAME = "scale"
K, N_QUERIES = 10, 10
STRUCTURES = (("flat", "float32"), ("flat", "int8"), ("hnsw", "float32"), ("ivf_pq", "float32"), ("rabitq", "float32"))
CODES = frozenset({"ivf_pq", "rabitq"})
VECTORS, FOR_THE_NEXT_BUILD = "dense/vectors.npy", "encoded.npy"
ENCODING = frozenset({"encode", "weigh", "read tokens", "represent"})
"""Steps of a build in which a model reads texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A leg, and how it is kept. `name`: what is asked for. `settings`: the `index:` section. `sizes`: passages.
    `cold`: files of which a search reads nothing, or the rows of a few candidates."""

    name: str
    kept: str
    leg: str
    retriever: str
    sizes: tuple[int, ...]
    cold: frozenset[str] = frozenset({FOR_THE_NEXT_BUILD})
    settings: Mapping[str, Any] = field(default_factory=dict)


def ways(static: str) -> list[Way]:
    """All of them. `static`: a folder of static vectors."""
    dense = [
        Way(
            name=name,
            kept=f"{structure} {storage}",
            leg="dense",
            retriever="dense",
            sizes=sizes,
            cold=frozenset({FOR_THE_NEXT_BUILD, *([VECTORS] if structure in CODES else [])}),
            settings={"dense": {"encoder": encoder, "structure": structure, "storage": storage}},
        )
        for name, encoder, sizes in (("static", static, (10_000, 100_000)), ("minilm", "all-minilm-l6-v2", (5_000,)))
        for structure, storage in STRUCTURES
    ]
    others = [
        Way(name=leg, kept=kept, leg=leg, retriever=leg, sizes=(n,))
        for leg, kept, n in (
            ("sparse", "postings", 2_000),
            ("late_interaction", "4 bits", 2_000),
            ("promptreps", "float32 and postings", 500),
        )
    ]
    words = Way(name="bm25", kept="postings", leg="lexical", retriever="bm25", sizes=(10_000, 100_000))
    return [words, *dense, *others]


def build(way: Way, corpus: Path, folder: Path) -> dict[str, Any]:
    """In a process of its own. Seconds of the model, of the rest of the leg, and of the documents themselves. Bytes of the
    documents, of all files of the leg by name, and of those of them that any search may read all through."""
    from rag.indexing import build_index
    from retrievers.index.directory import LocalIndex
    from retrievers.index.settings import IndexSettings

    read_until = 0.0

    def progress(step: str, done: int, total: int) -> None:
        nonlocal read_until
        if step in ENCODING:
            read_until = perf_counter()

    settings = IndexSettings.model_validate(dict(way.settings))
    seconds = dict(build_index(corpus, folder, settings=settings, legs=(way.leg,), progress=progress).seconds)
    whole_s = seconds[way.leg] + seconds.get("encode", 0.0)
    leg_s = seconds[way.leg]
    if read_until and "encode" not in seconds:  # what follows the last block is the leg's, but for what is told apart
        leg_s = perf_counter() - read_until - seconds["digests"] - seconds["publish"]
    peak = memory_of().peak
    with LocalIndex.open(folder) as index:
        sizes = {name: facts.size_bytes for name, facts in index.manifest.files.items()}
        dim, n = index.manifest.legs[way.leg].get("dim"), len(index)
    files = {name: size for name, size in sizes.items() if name.startswith(f"{way.leg}/") or name == FOR_THE_NEXT_BUILD}
    return {
        "passages": n,
        "dim": dim,
        "encode_s": whole_s - leg_s,
        "leg_s": leg_s,
        "documents_s": sum(seconds.values()) - whole_s,
        "build_peak_bytes": peak,
        "documents_bytes": sum(sizes.values()) - sum(files.values()),
        "files": files,
        "hot_bytes": sum(size for name, size in files.items() if name not in way.cold),
    }


def answer(way: Way, folder: Path, questions: Sequence[str]) -> dict[str, Any]:
    """In a process of its own. `p50_s`: of a question, its encoding and the texts of its hits included."""
    from rag.core.types import Query
    from retrievers import RETRIEVERS
    from retrievers.index.directory import LocalIndex

    with LocalIndex.open(folder) as index:
        retriever = RETRIEVERS.get(way.retriever)(index=index)
        retriever.retrieve([Query(qid="first", text=questions[0])], k=K)
        best = []
        for place, text in enumerate(questions):
            turns = []
            for _ in range(3):
                begun = perf_counter()
                retriever.retrieve([Query(qid=str(place), text=text)], k=K)
                turns.append(perf_counter() - begun)
            best.append(min(turns))
        return {"p50_s": median(best), "answer": asdict(memory_of())}


def measured(way: Way, n: int, options: argparse.Namespace) -> dict[str, Any]:
    """The line of a way over the first `n` passages. The index is removed."""
    place = options.work / NAME
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        with (options.work / "corpus.jsonl").open() as lines, (place / "corpus.jsonl").open("w") as out:
            out.writelines(itertools.islice(lines, n))
        questions = json.loads((options.work / "questions.json").read_text())
        with alone() as process:
            built = process.submit(build, way, place / "corpus.jsonl", place / "index").result()
        with alone() as process:
            answered = process.submit(answer, way, place / "index", questions).result()
    finally:
        shutil.rmtree(place)
    line = {"name": way.name, "kept": way.kept, "leg": way.leg, "asked": n, **built, **answered}
    return line | ({"busy": True} if options.busy else {})


def show(line: Mapping[str, Any]) -> None:
    n = line["passages"]
    encode, leg, documents = (1e6 * line[part] / n for part in ("encode_s", "leg_s", "documents_s"))
    anonymous, mapped = (line["answer"][part] / 2**20 for part in ("anonymous", "mapped"))
    print(
        f"{line['name']:16} {line['kept']:20} {n:8,} passages",
        f"s a million: model {encode:9,.0f}, leg {leg:7,.0f}, documents {documents:6,.0f}{' (busy)' * line.get('busy', False)}",
        f"bytes a passage: leg {sum(line['files'].values()) / n:8,.1f}, documents {line['documents_bytes'] / n:6,.1f}",
        f"MiB: build {line['build_peak_bytes'] / 2**20:6,.0f}, answer {anonymous:5,.0f} and {mapped:5,.0f} mapped",
        f"p50 {1e3 * line['p50_s']:7.2f} ms",
        sep="  ",
        flush=True,
    )


def _prepare(options: argparse.Namespace) -> None:
    """The corpus and ten questions, where they are not there. What reads all sets is another process."""
    if not all((options.work / name).exists() for name in ("questions.json", "corpus.jsonl")):
        with alone() as process:
            process.submit(_written, options.work, options.corpus).result()


def _written(work: Path, n: int) -> None:
    from benchmarks.million import corpus, queries

    corpus(work, n)
    (work / "questions.json").write_text(json.dumps(queries(N_QUERIES)))


def measured_before(*, busy: bool) -> set[tuple[str, str, int]]:
    """Name, way and passages asked for, of the lines that are there. A busy machine's lines do for a busy run alone."""
    lines = recorded(NAME)
    return {(line["name"], line["kept"], line["asked"]) for line in lines if busy or not line.get("busy")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every way and size."""
    names = list(dict.fromkeys(way.name for way in ways("")))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"{', '.join(names)}; all of them when left out")
    parser.add_argument("--passages", type=int, nargs="+", help="instead of the sizes of each leg")
    parser.add_argument(
        "--corpus", type=int, default=1_000_000, help="passages to be written, where there are none yet"
    )
    parser.add_argument("--static", default="build/minilm-static", help="static vectors, as `rag distil` writes them")
    parser.add_argument("--work", type=Path, default=Path("build/million"), help="where the passages are kept")
    parser.add_argument("--record", action=Record, help="append to results/scale.jsonl, and skip what is there")
    add_busy(parser)
    options = parser.parse_args(arguments)
    require_ways(parser, options.legs, names)
    if "static" in (options.legs or names) and not Path(options.static).is_dir():
        parser.error(f"--static: no folder '{options.static}'. Run: rag distil all-minilm-l6-v2 --out {options.static}")
    _prepare(options)
    done = measured_before(busy=options.busy) if options.record else set()
    for way in ways(options.static):
        for n in options.passages or way.sizes:
            if (options.legs and way.name not in options.legs) or (way.name, way.kept, n) in done:
                continue
            line = measured(way, n, options)
            show(line)
            if options.record:
                record(NAME, line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
