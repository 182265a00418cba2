"""Measures how long an index takes and how much memory: docs-python and docs-linux-kernel, cut into chunks.

Each build runs in a process of its own, so that its peak memory is its own. Besides the first build, the time to
bring the index up to date after one document in fifty has changed. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.indexing [SET ...] [--legs lexical,dense] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.make_samples import data_folder
from benchmarks.memory import alone
from benchmarks.record import Record, record

SETS = ("docs-python", "docs-linux-kernel")
CHANGED_EVERY = 50


def write_corpus(source: Path, target: Path, *, limit: int | None, changed_every: int = 0) -> None:
    """Copy a corpus, or its first `limit` records, and change the text of every so-manieth."""
    target.mkdir(exist_ok=True)
    with (
        gzip.open(source / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines,
        (target / "corpus.jsonl").open("w", encoding="utf-8") as out,
    ):
        for number, line in enumerate(islice(lines, limit), start=1):
            fields = json.loads(line)
            if changed_every and number % changed_every == 1:
                fields["text"] = f"This page is new.\n\n{fields['text']}"
            out.write(json.dumps(fields) + "\n")


def build(source: Path, path: Path, legs: Sequence[str], threads: int) -> dict[str, Any]:
    """Build in this process and return the report as JSON."""
    from rag.indexing import build_index
    from retrievers.index.settings import IndexSettings

    if "dense" in legs:
        import torch

        torch.set_num_threads(threads)
    settings = IndexSettings.model_validate({"chunking": {"corpora": True}})
    report = build_index([source], path, settings=settings, legs=legs, progress=_show)
    fields = asdict(report)
    del fields["path"], fields["problems"], fields["ignored"]
    return fields


def build_apart(source: Path, path: Path, legs: Sequence[str], threads: int) -> dict[str, Any]:
    """Build in a process of its own."""
    with alone() as processes:
        return processes.submit(build, source, path, legs, threads).result()


def measure(name: str, data: Path, *, legs: Sequence[str], limit: int | None, threads: int) -> dict[str, Any]:
    """Both builds of one set."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, path = Path(folder, "corpus"), Path(folder, "index")
        write_corpus(data / name, corpus, limit=limit)
        first = build_apart(corpus, path, legs, threads)
        write_corpus(data / name, corpus, limit=limit, changed_every=CHANGED_EVERY)
        update = build_apart(corpus, path, legs, threads)
        source_bytes = (corpus / "corpus.jsonl").stat().st_size
    return {
        "set": name,
        "limit": limit,
        "threads": threads,
        "source_bytes": source_bytes,
        "first": first,
        "update": update,
    }


def show(result: dict[str, Any]) -> None:
    limit = f" (first {result['limit']} documents)" if result["limit"] else ""
    print(f"{result['set']}{limit}, {result['source_bytes'] / 1e6:.1f} MB of text, {result['threads']} threads")
    for build in ("first", "update"):
        report = result[build]
        parts = "  ".join(f"{part} {seconds:.1f} s" for part, seconds in report["seconds"].items())
        print(
            f"  {build:6}  {report['n_documents']:,} documents, {report['n_units']:,} units, "
            f"{report['n_encoded']:,} encoded, {sum(report['seconds'].values()):.1f} s in all, "
            f"peak memory {report['peak_memory_bytes'] / 1e6:,.0f} MB, index {report['size_bytes'] / 1e6:.1f} MB"
        )
        print(f"          {parts}")


def _show(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done:,} of {total:,}\x1b[K", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"default: {' '.join(SETS)}")
    parser.add_argument("--legs", default="lexical,dense", help="default: lexical,dense")
    parser.add_argument("--limit", type=int, help="documents per set")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="that the encoder may use")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/indexing.jsonl")
    options = parser.parse_args(arguments)
    data = data_folder()
    for name in options.sets or SETS:
        result = measure(name, data, legs=options.legs.split(","), limit=options.limit, threads=options.threads)
        show(result)
        if options.record:
            record("indexing", result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
