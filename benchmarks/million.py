"""A million passages on two cores: building, searching, changing, opening and filtering, beside other engines.

Passages are windows of 60 words, `STEP` words apart, of all corpora of the data folder in an order that a seed draws; every
word of them is in about five. They lie in the work folder as one corpus.jsonl, with a number 0 to 999 each, which filters
ask for. Queries are the judged ones of four sets. Every engine has one thread. Other engines run in an interpreter of their
own (`--peers PYTHON`, with bm25s and tantivy), so that their memory is theirs alone.

    RAGLINE_EVAL_DATA=... python -m benchmarks.million words [--passages N] [--peers PYTHON] [--record]
    RAGLINE_EVAL_DATA=... python -m benchmarks.million door --peers PYTHON [--clock process_time] [--record]
    RAGLINE_EVAL_DATA=... python -m benchmarks.million opening filters changes [--record]

`words` writes the passages, unless they are there, and builds the index that the others use. `words` times the leg; `door`
builds too, and times what a program calls (`benchmarks.million_door`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.make_samples import data_folder
from benchmarks.peer import Peer
from benchmarks.record import Record, record
from benchmarks.turns import timed
from rag.core.lines import records
from rag.core.types import Document
from rag.evaluate.beir import load_beir
from retrievers.index.directory import LocalIndex
from retrievers.legs.lexical.settings import LexicalSettings

WORDS, SEED = 60, 17
ASKED = ("scifact", "cranfield", "docs-manpages", "codebase-chunks")
DEPTHS = (10, 100)
SHARES = (0.001, 0.01, 0.1, 0.5)
_BUILD = """
import json, sys, time
from benchmarks.memory import memory_of
from rag.indexing import build_index
begun = time.perf_counter()
report = build_index(sys.argv[1], sys.argv[2], legs=("lexical",), prune=True, most_lost=1.0)
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "of": dict(report.seconds), "peak_bytes": memory_of().peak, "bytes": report.size_bytes}))
"""
_OPEN = """
import json, sys, time
begun = time.perf_counter()
from retrievers.legs.lexical.retriever import BM25Retriever
from retrievers.index.directory import LocalIndex
from rag.core.types import Query
imported = time.perf_counter()
index = LocalIndex.open(sys.argv[1])
hits = BM25Retriever(index=index).retrieve([Query(qid="1", text=sys.argv[2])], k=10)[0].hits
print(json.dumps({"imported_s": imported - begun, "first_answer_s": time.perf_counter() - imported, "hits": len(hits)}))
"""


def queries(n: int | None) -> list[str]:
    """Of all sets in turn."""
    lists = []
    for each in ASKED:
        dataset = load_beir(data_folder() / each)
        lists.append([query.text for query in dataset.queries_of(dataset.qrels())])
    turns = itertools.zip_longest(*lists)
    return [text for turn in turns for text in turn if text is not None][:n]


def texts() -> list[str]:
    """Of all corpora, in an order that the seed says."""
    files = sorted(data_folder().rglob("corpus.jsonl.gz"))
    every = [str(line["text"]) for file in files for _, line in records(file)]
    random.Random(SEED).shuffle(every)
    return every


def windows(n: int) -> Iterator[str]:
    """The step is as wide as `n` windows allow."""
    split = [text.split() for text in texts()]
    step = max(1, sum(map(len, split)) // n)
    while sum(len(range(0, max(1, len(words) - WORDS // 2), step)) for words in split) < n and step > 1:
        step -= 1
    print(f"{sum(map(len, split)):,} words, a window every {step}", file=sys.stderr, flush=True)
    cut = (
        " ".join(words[first : first + WORDS])
        for words in split
        for first in range(0, max(1, len(words) - WORDS // 2), step)
    )
    return itertools.islice((window for window in cut if window), n)


def corpus(work: Path, passages: int) -> Path:
    """The file of the passages, written unless it is there. One that was not written to its end has another name."""
    whole, part = work / "corpus.jsonl", work / "corpus.part"
    if not whole.exists():
        work.mkdir(parents=True, exist_ok=True)
        number = random.Random(SEED + 1)
        with part.open("w") as file:
            for place, window in enumerate(windows(passages)):
                line = {"_id": f"w{place}", "text": window, "number": number.randrange(1_000)}
                file.write(json.dumps(line) + "\n")
        part.replace(whole)
    return whole


def passage(unit: Document) -> int:
    """The number of the passage that a unit is of: one of long words is cut in two."""
    return int(unit.parent.removeprefix("w"))


def built(options: argparse.Namespace) -> tuple[Path, Path]:
    """The file of the passages, and an index that was made of them now."""
    source, place = corpus(options.work, options.passages), options.work / "idx"
    shutil.rmtree(place, ignore_errors=True)
    told("build", options, engine="ragline", **_run(_BUILD, str(source), str(place)))
    return source, place


def words(options: argparse.Namespace) -> None:
    """BM25: build, memory, and seconds a query at one thread, texts of the hits included and not."""
    source, place = built(options)
    asked = queries(options.queries)
    with LocalIndex.open(place) as index:
        leg, documents = index.leg("lexical"), index.documents
        analysed = [Counter(leg.analyzer.terms(text)) for text in asked]
        leg.warm_up()
        for depth in DEPTHS:
            rows: dict[int, list[int]] = {}

            def hits_of(place: int, depth: int = depth, rows: dict[int, list[int]] = rows) -> list[int]:
                found = leg.search([analysed[place]], k=depth)[0][0]
                rows[place] = [int(row) for row in found if row >= 0]
                return rows[place]

            told("search", options, engine="ragline", k=depth, **timed(hits_of, len(asked)))
            with_texts = timed(lambda each, of=hits_of: documents.many(of(each)), len(asked))
            told("search", options, engine="ragline, with texts", k=depth, **with_texts)
            if depth == max(DEPTHS):
                ours = [[passage(each) for each in documents.many(rows[place])] for place in range(len(asked))]
        begun = perf_counter()
        leg.search(analysed, k=max(DEPTHS))
        told("batch", options, engine="ragline", k=max(DEPTHS), seconds=(perf_counter() - begun) / len(asked))
        terms = [dict(each) for each in analysed]
    bm25 = LexicalSettings()
    for engine in ("bm25s", "tantivy") if options.peers else ():
        with Peer(options.peers, "million_peer.py", engine, str(source), str(bm25.k1), str(bm25.b), quiet=True) as peer:
            told("build", options, engine=engine, **peer.told)
            for depth in DEPTHS:
                answer = peer.ask(queries=terms if engine == "tantivy" else asked, k=depth)
                theirs = answer.pop("rows")
                shared = [
                    len({*mine[:depth]} & {*other}) / max(1, len(other))
                    for mine, other in zip(ours, theirs, strict=True)
                ]
                told("search", options, engine=engine, k=depth, **answer, overlap=float(np.mean(shared)))


def changes(options: argparse.Namespace) -> None:
    """A thousand documents added, updated and removed, each searchable when the call returns."""
    from rag.indexing import add_documents, remove_documents, update_documents

    place = options.work / "idx"
    new = [{"doc_id": f"new{i}", "text": f"A new passage number {i} about zebrafish signal{i}."} for i in range(1_000)]
    changed = [{"doc_id": each["doc_id"], "text": f"{each['text']} It was changed."} for each in new]
    steps: Mapping[str, Callable[[], object]] = {
        "add": lambda: add_documents(new, place),
        "update": lambda: update_documents(changed, place),
        "remove": lambda: remove_documents(place, ids=[each["doc_id"] for each in new]),
    }
    for name, step in steps.items():
        begun = perf_counter()
        step()
        seconds = perf_counter() - begun
        with LocalIndex.open(place) as index:
            leg = index.leg("lexical")
            begun = perf_counter()
            leg.search([Counter(leg.analyzer.terms("zebrafish signal7"))], k=10)
            told(name, options, documents=1_000, seconds=seconds, first_search_s=perf_counter() - begun)
            asked = [Counter(leg.analyzer.terms(text)) for text in queries(options.queries)]
            told(
                f"search after {name}",
                options,
                k=100,
                **timed(lambda i, leg=leg, asked=asked: leg.search([asked[i]], k=100), len(asked)),
            )


def opening(options: argparse.Namespace) -> None:
    """From a new process to the first answer, files in the page cache."""
    place, text = str(options.work / "idx"), queries(1)[0]
    runs = [_run(_OPEN, place, text) for _ in range(5)]
    told("opening", options, **{name: min(run[name] for run in runs) for name in ("imported_s", "first_answer_s")})


def filters(options: argparse.Namespace) -> None:
    """Filters that keep a share of the passages: filled to k, right, and as fast as without one. `mask_s`: reading the
    field of every passage, once for all questions that ask for the same filter one after the other."""
    with LocalIndex.open(options.work / "idx") as index:
        leg = index.leg("lexical")
        asked = [Counter(leg.analyzer.terms(text)) for text in queries(options.queries)]
        leg.warm_up()
        plain = timed(lambda place: leg.search([asked[place]], k=10), len(asked))
        told("filter", options, share=1.0, **plain)
        every = leg.search(asked[:50], k=len(index))[0]
        for share in SHARES:
            where = f"number < {int(1_000 * share)}"
            begun = perf_counter()
            mask = index.mask(where)
            mask_s = perf_counter() - begun
            assert mask is not None
            kept = timed(lambda place, where=where: leg.search([asked[place]], k=10, where=where), len(asked))
            right = 0
            for terms, rows in zip(asked, every, strict=False):
                wanted = [int(row) for row in rows if row >= 0 and mask[row]][:10]
                found = [int(row) for row in leg.search([terms], k=10, where=where)[0][0] if row >= 0]
                right += found == wanted
            told("filter", options, share=share, mask_s=mask_s, **kept, right=right, of=len(every))


def told(what: str, options: argparse.Namespace, **line: Any) -> None:
    print(what, json.dumps(line), flush=True)
    if options.record:
        record(
            "million_door" if options.parts == ["door"] else "million",
            {"what": what, "passages": options.passages, **line},
        )


def _run(script: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the parts, in the order that they are named in."""
    from benchmarks.million_door import door  # which asks for the passages of this module

    parts = {"words": words, "door": door, "changes": changes, "opening": opening, "filters": filters}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=list(parts))
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200, help="how many are asked one by one")
    parser.add_argument("--work", type=Path, default=Path("build/million"))
    parser.add_argument("--clock", default="perf_counter", help="of the door; process_time where others work beside it")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with bm25s[core], PyStemmer and tantivy")
    parser.add_argument(
        "--record", action=Record, help="append to results/million.jsonl, the door alone to million_door.jsonl"
    )
    options = parser.parse_args(arguments)
    for part in options.parts:
        parts[part](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
