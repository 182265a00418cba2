"""bm25s or tantivy over the passages of `benchmarks.million`, in an interpreter of its own: one thread each.

Called as PYTHON million_peer.py ENGINE CORPUS.jsonl K1 B; answers a line of JSON for each that comes in. bm25s is given the
queries as texts, and makes terms as ragline does. tantivy is given ragline's terms: its own words are English stems.
With `clock` a line asks for one turn, timed so; with `batch` for all queries in one call, which bm25s alone has.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from turns import one_turn, peak_bytes, timed


def texts(corpus: str) -> Iterator[str]:
    with open(corpus, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


Search = Callable[[Any, int], list[int]]
Batch = Callable[[Any, int], object]


def with_bm25s(corpus: str) -> tuple[Search, Batch]:
    import bm25s
    import Stemmer

    def terms(lines: Any) -> Any:
        return bm25s.tokenize(
            lines,
            token_pattern=r"(?u)\b\w+\b",
            stemmer=Stemmer.Stemmer("porter"),
            return_ids=False,
            show_progress=False,
        )

    engine = bm25s.BM25(k1=float(sys.argv[3]), b=float(sys.argv[4]), method="lucene", backend="numba")
    engine.index(terms(list(texts(corpus))), show_progress=False)
    tokens: dict[str, Any] = {}

    def search(query: Any, k: int) -> list[int]:
        if query not in tokens:
            tokens[query] = terms([query])
        rows = engine.retrieve(tokens[query], k=k, n_threads=1, show_progress=False)[0]
        return [int(row) for row in rows[0]]

    def batch(queries: Any, k: int) -> object:
        together = [tokens[query][0] for query in queries]
        return engine.retrieve(together, k=k, n_threads=1, show_progress=False)

    return search, batch


def with_tantivy(corpus: str) -> tuple[Search, Batch]:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", stored=True, tokenizer_name="en_stem")
    builder.add_integer_field("row", stored=True, indexed=True)
    index = tantivy.Index(builder.build(), path=tempfile.mkdtemp())
    writer = index.writer(heap_size=1_000_000_000, num_threads=1)
    for row, text in enumerate(texts(corpus)):
        writer.add_document(tantivy.Document(text=text, row=row))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(query: Any, k: int) -> list[int]:
        asked = index.parse_query(" ".join(query), ["text"])
        return [searcher.doc(address)["row"][0] for _, address in searcher.search(asked, k).hits]

    def batch(queries: Any, k: int) -> object:
        raise NotImplementedError

    return search, batch


def main() -> None:
    begun = perf_counter()
    search, batch = {"bm25s": with_bm25s, "tantivy": with_tantivy}[sys.argv[1]](sys.argv[2])
    seconds = perf_counter() - begun
    peak = peak_bytes()
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)
    for line in sys.stdin:
        asked, rows = json.loads(line), {}

        def ask(place: int, asked: Any = asked, rows: dict[int, list[int]] = rows) -> None:
            rows[place] = search(asked["queries"][place], asked["k"])

        clock, n = asked.get("clock"), len(asked["queries"])
        if asked.get("batch"):
            answer = {"seconds": one_turn(lambda _: batch(asked["queries"], asked["k"]), 1, clock)}  # noqa: B023
        else:
            took = {"seconds": one_turn(ask, n, clock)} if clock else timed(ask, n)
            answer = {**took, "rows": [rows[place] for place in range(n)]}
        print(json.dumps(answer), flush=True)


main()
