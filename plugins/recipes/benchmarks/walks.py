"""Walks through a graph of facts by a model (Knowledge Solver) on questions of two hops, whose gold paths are known.

    walk    `retrieve.walk`, zero shot, the prompt `walk`
    shown   the same with three questions and their relations in the prompt, `walk_examples`
    words   no model: the relations that share most words with the question, one a step
    chance  no model: a relation drawn at each step

Answer: the walk ends in just the gold answers. Path: it followed just the gold relations. Triples by BM25 are told beside:
whether the last gold triple is among the first ten, all triples as documents. Every result is a line in a work file. The
model runs in vLLM, so this wants its Python.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.walks [WAY ...] [--n 100] [--hops 2] [--model NAME]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.graphs import writer, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from generators.llm.scripted import ScriptedLLM
from rag.types import Prompt, Query, Ranking
from ragline_recipes.triples import TripleGraph
from ragline_recipes.walk import WalkRetriever

WORK = RESULTS / "walks.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
ASKING = ("walk", "shown")
WAYS = ("chance", "words", *ASKING)
SEED, TOGETHER = 20264, 20
Item = dict[str, Any]


class Unread(ScriptedLLM):
    """No model: draws a choice, or takes that with most words of the question, which stands first in the prompt."""

    def __init__(self, *, by_words: bool) -> None:
        super().__init__(replies=("",))
        self._by_words = by_words

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        return np.array([self._row(prompt[-1].content, choices) for prompt in prompts], dtype=np.float32)

    def _row(self, text: str, choices: Sequence[str]) -> list[float]:
        if not self._by_words:
            source = random.Random(f"{SEED} {text}")
            return [source.random() for _ in choices]
        question = set(text.split("\n")[0].casefold().replace("_", " ").split())
        return [float(len(question & set(choice.replace("_", " ").split()))) for choice in choices]


def items(n: int) -> list[Item]:
    """The first n of a fixed random order, one of each topic before the second of any."""
    everything = records("pathquestion/qa-2h")
    random.Random(SEED).shuffle(everything)
    seen: dict[str, int] = {}
    order = []
    for item in everything:
        seen[item["topic_entity"]] = seen.get(item["topic_entity"], -1) + 1
        order.append(seen[item["topic_entity"]])
    return [item for _, _, item in sorted(zip(order, range(len(everything)), everything, strict=True))][:n]


def component(way: str, *, model: str, hops: int, beam: int) -> Component:
    """What walks."""
    llm = writer_part(model) if way in ASKING else Component(Unread, by_words=way == "words")
    triples = data_folder() / "pathquestion" / "triples-2h.tsv"
    prompt = "walk_examples" if way == "shown" else "walk"
    return Component(WalkRetriever, llm=llm, triples=triples, hops=hops, beam=beam, prompt=prompt)


def setup_of(way: str, **known: Any) -> Setup:
    """What the lines of a way are made with."""
    return Setup.of(component(way, **known), data=[data_folder() / "pathquestion"])


def line_of(way: str, item: Item, ranking: Ranking) -> Line:
    """Where a walk ended, and by which relations."""
    hops = [int(hit.document.metadata["hop"]) for hit in ranking.hits]
    last = max(hops, default=0)
    ends = {str(hit.document.metadata["reached"]) for hit in ranking.hits if hit.document.metadata["hop"] == last}
    moves = list(dict.fromkeys((hop, hit.doc_id.split("\t")[1]) for hop, hit in zip(hops, ranking.hits, strict=True)))
    return {
        "method": way,
        "set": "pathquestion",
        "qid": item["id"],
        "answer": ends == set(item["answers"]),
        "path": [move for _, move in moves] == [relation for _, relation, _ in item["path"]],
        "hops": last,
        "calls": ranking.usage.calls,
        "tokens": ranking.usage.prompt_tokens,
        "seconds": round(ranking.usage.seconds, 3),
    }


def walk_all(ways: Sequence[str], some: Sequence[Item], work: Work, *, model: str, **known: int) -> None:
    """Walk where there is no line yet."""
    running = None
    for way in ways:
        setup = setup_of(way, model=model, **known)
        missing = [item for item in some if work.get(way, "pathquestion", item["id"], setup) is None]
        if not missing:
            continue
        if way in ASKING and running is None:
            running = writer(model)
        retriever = component(way, model=model, **known).make(**({"llm": running} if way in ASKING else {}))
        for start in range(0, len(missing), TOGETHER):
            batch = missing[start : start + TOGETHER]
            asked = [Query(qid=item["id"], text=item["question"]) for item in batch]
            for item, ranking in zip(batch, retriever.retrieve(asked, k=100), strict=True):
                work.add(line_of(way, item, ranking), setup)
            print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)
    if running is not None:
        running.release()


def bm25(some: Sequence[Item]) -> float:
    """How often the last gold triple is among BM25's first ten triples."""
    import bm25s

    graph = TripleGraph.read(data_folder() / "pathquestion" / "triples-2h.tsv")
    triples = [triple for by in graph.forward.values() for each in by.values() for triple in each]
    engine = bm25s.BM25()
    engine.index(bm25s.tokenize([triple.text for triple in triples], show_progress=False), show_progress=False)
    asked = bm25s.tokenize([item["question"].replace("_", " ") for item in some], show_progress=False)
    rows, _ = engine.retrieve(asked, k=10, show_progress=False)
    return fmean(
        any(tuple(triples[row]) == tuple(item["path"][-1]) for row in found)
        for item, found in zip(some, rows, strict=True)
    )


def table(work: Work, some: Sequence[Item], **known: Any) -> Iterator[str]:
    """Markdown: shares with 95% intervals, and the cost."""
    yield "| way | n | answer | path | hops | calls | tokens | s |"
    yield "| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |"
    for way in WAYS:
        setup = setup_of(way, **known)
        lines = [line for item in some if (line := work.get(way, "pathquestion", item["id"], setup))]
        if not lines:
            continue
        shares = [mean_cell([float(line[what]) for line in lines]) for what in ("answer", "path")]
        costs = cost_cells(lines, "hops", "calls", "tokens", "seconds")
        yield f"| {way} | {len(lines)} | {' | '.join(shares)} | {costs} |"


def main() -> None:
    """Walk where it is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--beam", type=int, default=2)
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, some = Work(options.work, busy=options.busy), items(options.n)
    known: dict[str, Any] = {"model": options.model, "hops": options.hops, "beam": options.beam}
    walk_all(options.ways, some, work, **known)
    print(*table(work, some, **known), sep="\n")
    print(f"the last gold triple is among BM25's first ten for {bm25(some):.2f} of {len(some)}")


if __name__ == "__main__":
    main()
