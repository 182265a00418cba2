"""What `generate.stride` gains by its neighbours: texts that are given, scored as if it wrote them, beside controls.

Pages of docs-python are held out; all others are the index, cut into passages. From a third of a held page on the component
writes what stands there: it searches by its own rules, shows what it finds, and goes on from the text so far, which begins
with the words before (`--before`). Only what stands in the place of its search differs:

    none     nothing is found
    found    BM25's passages; those that share a run of eight words with what comes next are left out (`leaks`)
    random   passages of the index drawn at random
    style    the same of pages of the same part of the documentation
    own      the page's own text before what the component is given: nothing new, only more of it

Told is the mean log-likelihood of a word, `nats`, a line a page: models with other tokens can be compared so. Whether answers
get better by it is for `multi_step plain once stride`.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.stride [WAY ...] [--texts 20] [--words 192] [--stride 32]
        [--passages 2] [--before 128] [--engine transformers|vllm_offline|llama_cpp] [--model NAME]
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.graphs import llm, llm_part
from benchmarks.make_samples import data_folder
from benchmarks.record import RESULTS
from benchmarks.ways import difference_cell, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from rag import Document, Query, Ranking, ScoredDocument, load_pipeline
from rag.evaluate import cached_index, load_beir
from rag.graphs import load_spec
from ragline_recipes.stride import StrideGenerator, strides

WORK, CORPUS = RESULTS / "stride.jsonl", Path("runs/stride")
WAYS = ("none", "found", "random", "style", "own")
HELD, SEED, GRAM, PASSAGE = 40, 20265, 8, 150
GRAPH = {
    "version": 1,
    "index": {"chunking": {"tokens": 200}},
    "nodes": {"found": {"use": "retrieve.bm25", "k": 10}},
    "output": "found",
}
_WORD = re.compile(r"\w+")
Find = Callable[[Sequence[Query]], Sequence[Ranking]]


@cache
def pages() -> list[dict[str, Any]]:
    with gzip.open(data_folder() / "docs-python" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def held_and_corpus() -> tuple[list[dict[str, Any]], Path]:
    """Pages of a seeded draw that are long enough, and a BEIR folder with all others."""
    long = [page for page in pages() if len(page["text"].split()) > 1500]
    held = random.Random(SEED).sample(long, min(HELD, len(long)))
    out = {page["_id"] for page in held}
    CORPUS.mkdir(parents=True, exist_ok=True)
    with (CORPUS / "corpus.jsonl").open("w", encoding="utf-8") as stream:
        for page in pages():
            if page["_id"] not in out:
                kept = {"_id": page["_id"], "title": page.get("title", ""), "text": page["text"]}
                stream.write(json.dumps(kept) + "\n")
    return held, CORPUS


def grams(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return {tuple(words[place : place + GRAM]) for place in range(len(words) - GRAM + 1)}


@dataclass
class Text:
    """What is scored of a page: `before` is given, `text` is what comes, `earlier` what stands before both."""

    page: dict[str, Any]
    earlier: str
    before: str
    text: str

    @classmethod
    def of(cls, page: dict[str, Any], *, before: int, n: int) -> Text:
        words = strides(page["text"], 1)
        first = len(words) // 3
        parts = words[: first - before], words[first - before : first], words[first : first + n]
        return cls(page, *("".join(part) for part in parts))


class Search:
    """Stands where the component's search does. Whatever it gives, no passage tells what comes next."""

    def __init__(self, way: str, text: Text, find: Find, others: Sequence[str]) -> None:
        self._way, self._text, self._find, self._others = way, text, find, others
        self._known, self._random = grams(text.before + text.text), random.Random(f"{SEED} {text.page['_id']}")
        self.leaks = 0

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        return [Ranking(query=query, hits=tuple(self._hits(query)[:k])) for query in queries]

    def _hits(self, query: Query) -> list[ScoredDocument]:
        if self._way == "found":
            [ranking] = self._find([query])
            fitting = [hit for hit in ranking.hits if not grams(hit.document.text) & self._known]
            self.leaks += len(ranking.hits) - len(fitting)
            return fitting
        texts: list[str] = []
        if self._way in ("random", "style"):
            texts = self._random.sample(self._others, 2)
        elif self._way == "own":
            words = strides(self._text.earlier, 1)
            texts = ["".join(words[-2 * PASSAGE : -PASSAGE]), "".join(words[-PASSAGE:])]
        documents = [Document(doc_id=str(n), text=text) for n, text in enumerate(texts)]
        return [ScoredDocument(document=document, score=1.0) for document in documents]


def others(way: str, page: Mapping[str, Any], out: frozenset[str]) -> list[str]:
    """Passages of other pages, a stretch of each from a third on; for `style` those of the same part of the documentation."""
    part = page["_id"].partition("/")[0]
    some = [each for each in pages() if each["_id"] not in out]
    if way == "style":
        some = [each for each in some if each["_id"].partition("/")[0] == part]
    words = [(each["text"].split(), each) for each in some]
    return [" ".join(said[len(said) // 3 :][:PASSAGE]) for said, _ in words if len(said) > 3 * PASSAGE]


def component(options: argparse.Namespace) -> Component:
    part = llm_part(options.model, options.engine)
    return Component(StrideGenerator, llm=part, stride=options.stride, passages=options.passages, max_words=PASSAGE)


def setup_of(way: str, options: argparse.Namespace) -> Setup:
    made = component(options)
    settings = f"{options.model} in {options.engine}; {made}; {options.before} words before {options.words}"
    parts = (made, GRAPH, Search, Text, others) if way == "found" else (made, Search, Text, others)
    return Setup.of(*parts, data=[data_folder() / "docs-python"], settings=settings)


def measure(work: Work, options: argparse.Namespace) -> None:
    """Score what has no line yet."""
    held, folder = held_and_corpus()
    out = frozenset(page["_id"] for page in held)
    spec = load_spec(GRAPH)
    index, writer = cached_index(load_beir(folder), spec.graph, spec.graph.index), llm(options.model, options.engine)
    with load_pipeline(spec.graph, index=index) as pipeline:
        for page in held[: options.texts]:
            text = Text.of(page, before=options.before, n=options.words)
            for way in options.ways:
                setup = setup_of(way, options)
                if work.get(way, "docs-python", page["_id"], setup):
                    continue
                search = Search(way, text, lambda asked: pipeline.run(asked, k=10).rankings, others(way, page, out))
                made = component(options).make(llm=writer, inner=search)
                asked = Query(qid=page["_id"], text=f"Write the page {page.get('title', '')}.")
                [row] = made.likelihoods([asked], [text.text], [text.before])
                words = len(text.text.split())
                line = {"method": way, "set": "docs-python", "qid": page["_id"], "nats": math.fsum(row) / words}
                work.add({**line, "words": words, "strides": len(row), "leaks": search.leaks}, setup)
            print(f"{page['_id']}: done", flush=True)


def table(work: Work, options: argparse.Namespace) -> Iterator[str]:
    """Markdown: nats a word, the difference to no passages, and to random ones."""
    held, _ = held_and_corpus()
    yield "| passages | pages | nats a word [95%] | to none [95%] | to random [95%] | perplexity | left out as leaks |"
    yield "| --- | ---: | --- | --- | --- | ---: | ---: |"
    found: dict[str, dict[str, Line]] = {}
    for way in WAYS:
        lines = [work.get(way, "docs-python", page["_id"], setup_of(way, options)) for page in held[: options.texts]]
        found[way] = {line["qid"]: line for line in lines if line}
    for way, lines_of in found.items():
        if not lines_of:
            continue
        cells = []
        for base in ("none", "random"):
            shared = [qid for qid in lines_of if qid in found[base]] if base != way else []
            values = [[some[qid]["nats"] for qid in shared] for some in (lines_of, found[base])]
            cells.append(difference_cell(*values) if shared else "")
        nats = [line["nats"] for line in lines_of.values()]
        leaks = sum(line["leaks"] for line in lines_of.values())
        yield (
            f"| {way} | {len(nats)} | {mean_cell(nats)} | {cells[0]} | {cells[1]} | {math.exp(-fmean(nats)):.1f} | {leaks} |"
        )


def main() -> None:
    """Score what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20, help=f"held pages, at most {HELD}")
    parser.add_argument("--words", type=int, default=192, help="of each that are scored")
    parser.add_argument("--before", type=int, default=128, help="words that the component is given of the page")
    parser.add_argument("--stride", type=int, default=32, help="words between two searches")
    parser.add_argument("--passages", type=int, default=2)
    parser.add_argument("--engine", choices=("transformers", "vllm_offline", "llama_cpp"), default="transformers")
    options = parsed(parser, WAYS, model="smollm2-135m-instruct", work=WORK)
    work = Work(options.work, busy=options.busy)
    measure(work, options)
    print(*table(work, options), sep="\n")


if __name__ == "__main__":
    main()
