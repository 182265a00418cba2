"""Persuasion with checked claims (PersuaBot) on dialogues of PersuasionForGood, over a page of what they say of the charity.

    draft   what the model writes out of its own head, as `generate.persuade` begins
    reply   what `generate.persuade` makes of it

A case is a dialogue up to a turn of the person who is to be persuaded. Backed: the share of sentences with content words whose
words a passage has (`check.words`, whose verdict is similar and no proof), one search a sentence; the same means for both
ways, which `reply` was also mended by. So a difference says that mending works as meant, and not that it is the truth. Kept:
the share of sections whose strategy is in the reply's parts, as they were or with new facts. How persuasive a text is takes people,
and is not measured.

Every result is a line in a work file. The model runs in vLLM, so this wants its Python.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.persuasion [WAY ...] [--n 50] [--turn 3] [--model NAME]
    python -m plugins.recipes.benchmarks.persuasion --cases
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.graphs import hybrid_nodes, writer, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from rag import build_index, load_pipeline
from rag.graphs import load_spec
from rag.types import Message, Query, Ranking
from rag.writing import sentences
from ragline_recipes.persuade import PersuadeGenerator

WORK = RESULTS / "persuasion.jsonl"
CORPUS = Path(__file__).parents[1] / "examples" / "save-the-children.md"
INDEX = Path("runs/persuasion/index")
MODEL = "qwen2.5-coder-1.5b-instruct"
WAYS = ("draft", "reply")
GOAL = "that they give a part of their payment for this task to the charity Save the Children"
SET = "persuasion"
SEED, TOGETHER, PASSAGES = 20269, 8, 3
Item = dict[str, Any]


def cases(n: int, turn: int) -> list[Query]:
    """Dialogues up to what is said to the persuader in a turn, in a fixed random order; shorter ones are left out."""
    dialogues = records(f"{SET}/dialogues")
    random.Random(SEED).shuffle(dialogues)
    made = (_case(dialogue, turn) for dialogue in dialogues)
    return [query for query in made if query is not None][:n]


def _case(dialogue: Item, turn: int) -> Query | None:
    said = [
        Message(role="assistant" if role == "persuader" else "user", content=" ".join(unit["text"] for unit in units))
        for (number, role), units in groupby(dialogue["units"], key=lambda unit: (unit["turn"], unit["role"]))
        if number <= turn
    ]
    if not said or said[-1].role != "user" or dialogue["units"][-1]["turn"] <= turn:
        return None
    return Query(qid=dialogue["id"], text=said[-1].content, history=tuple(said[:-1]))


class Search:
    """Hybrid search over the page, as a retriever."""

    def __init__(self) -> None:
        if not (INDEX / "CURRENT").exists():
            build_index([CORPUS], INDEX, legs=("lexical", "dense"))
        spec = load_spec({"version": 1, "nodes": hybrid_nodes(PASSAGES), "output": "fused"})
        self.pipeline = load_pipeline(spec.graph, index=INDEX)

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order; several queries may have one qid."""
        numbered = [Query(qid=str(number), text=query.text) for number, query in enumerate(queries)]
        found = self.pipeline.run(numbered, k=k).rankings if numbered else []
        return [Ranking(query=query, hits=ranking.hits) for query, ranking in zip(queries, found, strict=True)]


def component(model: str) -> Component:
    """What writes drafts and replies."""
    return Component(PersuadeGenerator, llm=writer_part(model), goal=GOAL, passages=PASSAGES)


@cache
def setup_of(model: str) -> Setup:
    """What the lines of both ways are made with."""
    return Setup.of(component(model), Search, hybrid_nodes(PASSAGES), data=[CORPUS, data_folder() / SET])


def persuade_all(ways: Sequence[str], some: Sequence[Query], work: Work, model: str) -> None:
    """Write what has no line yet."""
    setup = setup_of(model)
    missing = {way: [query for query in some if work.get(way, SET, query.qid, setup) is None] for way in ways}
    if not any(missing.values()):
        return
    search, llm = Search(), writer(model)
    generator = component(model).make(llm=llm, evidence=search, facts=search)
    for way, queries in missing.items():
        for start in range(0, len(queries), TOGETHER):
            batch = queries[start : start + TOGETHER]
            for line in lines_of(way, generator, batch):
                work.add(line, setup)
            print(f"{way}: {min(start + TOGETHER, len(queries))} of {len(queries)}", flush=True)
    search.pipeline.close()
    llm.close()


def lines_of(way: str, generator: PersuadeGenerator, batch: Sequence[Query]) -> Iterator[Line]:
    """The lines of a few cases."""
    counts: list[dict[str, int]] = [{} for _ in batch]
    if way == "draft":
        texts, costs = generator.drafts(batch), [(1, 0.0)] * len(batch)
    else:
        answers = generator.generate(batch)
        texts = [answer.text if answer.status == "answered" else "" for answer in answers]
        counts = [dict(answer.outcome.counts) for answer in answers]
        costs = [(answer.usage.calls, answer.usage.seconds) for answer in answers]
    for query, text, counted, (calls, seconds) in zip(batch, texts, counts, costs, strict=True):
        said = [text[start:end] for start, end in sentences(text)]
        backed = [each for each in generator.backed([(query, one) for one in said]) if each is not None]
        stood = counted.get("kept", 0) + counted.get("replaced", 0)
        yield {
            "method": way,
            "set": SET,
            "qid": query.qid,
            "text": text,
            "sentences": len(backed),
            "backed": fmean(backed) if backed else None,
            "strategies_kept": stood / counted["sections"] if counted.get("sections") else None,
            "counts": counted,
            "calls": calls,
            "seconds": round(seconds, 3),
        }


def table(work: Work, some: Sequence[Query], model: str) -> Iterator[str]:
    """Markdown: shares of backed sentences with 95% intervals, the difference to drafts, and what became of sections."""
    yield "| way | n | empty | sentences | backed | to draft [95%] | strategies kept | claims backed | calls | s |"
    yield "| --- | ---: | ---: | ---: | --- | --- | --- | --- | ---: | ---: |"
    setup = setup_of(model)
    base = {line["qid"]: line for line in work.of("draft", SET, setup) if line["backed"] is not None}
    for way in WAYS:
        lines = [line for query in some if (line := work.get(way, SET, query.qid, setup))]
        told = [line for line in lines if line["backed"] is not None]
        if not told:
            continue
        shared = [line for line in told if line["qid"] in base and way != "draft"]
        beside = difference_cell([x["backed"] for x in shared], [base[x["qid"]]["backed"] for x in shared])
        kept = [line["strategies_kept"] for line in lines if line["strategies_kept"] is not None]
        claims, right = (sum(x["counts"].get(name, 0) for x in lines) for name in ("claims", "claims_backed"))
        yield (
            f"| {way} | {len(lines)} | {len(lines) - len(told)} | {fmean(line['sentences'] for line in told):.1f} "
            f"| {mean_cell([line['backed'] for line in told])} | {beside} | {mean_cell(kept) if kept else ''} "
            f"| {f'{right} of {claims}' if claims else ''} | {cost_cells(lines, 'calls', 'seconds')} |"
        )


def main() -> None:
    """Write what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--turn", type=int, default=3, help="the turn that is to be answered, from 0")
    parser.add_argument("--cases", action="store_true", help="only say how many cases there are")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    some = cases(options.n, options.turn)
    if options.cases:
        print(f"{len(some)} cases, {fmean(len(query.history) for query in some):.1f} turns before each")
        return
    work = Work(options.work, busy=options.busy)
    persuade_all(options.ways, some, work, options.model)
    print(*table(work, some, options.model), sep="\n")


if __name__ == "__main__":
    main()
