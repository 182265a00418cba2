"""Texts with and without neighbours (In-Context RALM, RETRO's protocol): perplexity by stride and number of neighbours.

Pages of docs-python are held out; all others are the index. A held text is read in strides: before each, BM25 looks for the
last words, the neighbours stand before the last words, and the next words are scored. Neighbours that share a run
of eight words with what is scored are left out (`leaks`), for they would tell the answer. Perplexity is per word of the
text: exp of the mean negative log-likelihood of a word, so that models with other tokens can be compared; the interval is
of the difference per text. Every text is a line in a work file.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.stride [--texts 20] [--words 192]
        [--strides 16 32 64] [--neighbours 0 1 2] [--engine transformers|vllm] [--model NAME]
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.graphs import llm_part, writer
from benchmarks.make_samples import data_folder
from benchmarks.record import RESULTS
from benchmarks.work_lines import Line, Setup, Work
from generators.llm.transformers import TransformersLLM
from rag import Message, Query, load_pipeline
from rag.evaluate import cached_index, load_beir, mean_interval
from rag.graphs import load_spec
from rag.writing import first_words

WORK = RESULTS / "stride.jsonl"
CORPUS = Path("runs/stride")
HELD, SEED, GRAM, LAST, SHOWN = 40, 20265, 8, 64, 150
_WORD = re.compile(r"\w+")
_SPACED = re.compile(r"\s*\S+")


def pages() -> list[dict[str, Any]]:
    with gzip.open(data_folder() / "docs-python" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def held_and_corpus() -> tuple[list[dict[str, Any]], Path]:
    """Pages of a seeded draw that are long enough, and a BEIR folder with all others."""
    everything = pages()
    long = [page for page in everything if len(page["text"].split()) > 1500]
    held = random.Random(SEED).sample(long, HELD)
    out = {page["_id"] for page in held}
    CORPUS.mkdir(parents=True, exist_ok=True)
    with (CORPUS / "corpus.jsonl").open("w", encoding="utf-8") as stream:
        for page in everything:
            if page["_id"] not in out:
                stream.write(
                    json.dumps({"_id": page["_id"], "title": page.get("title", ""), "text": page["text"]}) + "\n"
                )
    return held, CORPUS


def grams(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return {tuple(words[place : place + GRAM]) for place in range(len(words) - GRAM + 1)}


def pieces(text: str, n: int, *, stride: int) -> Iterator[tuple[str, str]]:
    """The text before a stride and the stride, from a third of the page on; white space stays where it is."""
    words = _SPACED.findall(text)
    first = len(words) // 3
    for start in range(first, first + n, stride):
        yield "".join(words[:start]), "".join(words[start : min(start + stride, first + n)])


def scored(llm: Any, search: Any, page: dict[str, Any], *, words: int, stride: int, neighbours: int) -> Line:
    """The log-likelihood of a text, how many words it has, and how many neighbours were left out."""
    parts = list(pieces(page["text"], words, stride=stride))
    asked = [" ".join(before.split()[-32:]) for before, _ in parts]
    found = search([Query(qid=str(place), text=text) for place, text in enumerate(asked)]) if neighbours else []
    prompts, leaks = [], 0
    for place, (before, after) in enumerate(parts):
        known, shown = grams(" ".join([*before.split()[-GRAM:], after])), []
        for hit in found[place].hits if neighbours else ():
            if grams(hit.document.text) & known:
                leaks += 1
            elif len(shown) < neighbours:
                shown.append(first_words(hit.document.text, SHOWN))
        last = "".join(_SPACED.findall(before)[-LAST:]).lstrip()
        told = "\n\n".join(["Continue the text.", *shown]) if shown else "Continue the text."
        prompts.append([Message(role="user", content=told), Message(role="assistant", content=last)])
    table = llm.score(prompts, [after for _, after in parts])
    return {
        "log_likelihood": math.fsum(value for row in table for value in row),
        "words": sum(len(after.split()) for _, after in parts),
        "leaks": leaks,
    }


def measure(llm: Any, work: Work, options: argparse.Namespace) -> None:
    """Score what has no line yet."""
    held, folder = held_and_corpus()
    spec = load_spec("bm25")
    index = cached_index(load_beir(folder), spec.graph, spec.graph.index)
    with load_pipeline("bm25", index=index) as pipeline:

        def search(queries: Sequence[Query]) -> Any:
            return pipeline.run(queries, k=10).rankings

        reader = llm_part(options.model, "vllm_offline" if options.engine == "vllm" else options.engine)
        parts, data = (pipeline.graph, reader, scored, pieces, grams), [data_folder() / "docs-python"]
        for stride in options.strides:
            setup = Setup.of(*parts, data=data, settings=settings_of(stride, options))
            for neighbours in options.neighbours:
                for page in held[: options.texts]:
                    method = f"{neighbours} neighbours"
                    if work.get(method, "docs-python", page["_id"], setup):
                        continue
                    line = scored(llm, search, page, words=options.words, stride=stride, neighbours=neighbours)
                    work.add({"method": method, "set": "docs-python", "qid": page["_id"], **line}, setup)
                print(f"stride {stride}, {neighbours} neighbours: done", flush=True)


def settings_of(stride: int, options: argparse.Namespace) -> str:
    return f"{options.model} in {options.engine} stride {stride} words {options.words} last {LAST} shown {SHOWN}"


def table(work: Work, options: argparse.Namespace) -> Iterator[str]:
    """Markdown: perplexity per word, and what neighbours change of the mean log-likelihood of a word."""
    yield "| stride, words | neighbours | texts | perplexity | gain, nats a word [95%] | left out as leaks |"
    yield "| ---: | ---: | ---: | ---: | --- | ---: |"
    for stride in options.strides:
        settings = settings_of(stride, options)
        base = {line["qid"]: line for line in work.latest("0 neighbours", "docs-python", settings)}
        for neighbours in options.neighbours:
            lines = work.latest(f"{neighbours} neighbours", "docs-python", settings)
            if not lines:
                continue
            total = math.fsum(line["log_likelihood"] for line in lines) / sum(line["words"] for line in lines)
            gains = [
                (line["log_likelihood"] - base[line["qid"]]["log_likelihood"]) / line["words"]
                for line in lines
                if line["qid"] in base
            ]
            told = ""
            if neighbours and gains:
                interval = mean_interval(gains)
                told = f"{fmean(gains):+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
            leaks = sum(line["leaks"] for line in lines)
            yield f"| {stride} | {neighbours} | {len(lines)} | {math.exp(-total):.1f} | {told} | {leaks} |"


def main() -> None:
    """Score what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20, help=f"held pages, at most {HELD}")
    parser.add_argument("--words", type=int, default=192, help="of each that are scored")
    parser.add_argument("--strides", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--work", type=Path, default=WORK)
    options = parser.parse_args()
    work = Work(options.work)
    llm = writer(options.model) if options.engine == "vllm" else TransformersLLM(model=options.model)
    measure(llm, work, options)
    print(*table(work, options), sep="\n")


if __name__ == "__main__":
    main()
