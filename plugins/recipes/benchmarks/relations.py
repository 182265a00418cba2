"""Relations between marked words with retrieved examples (RAG4RE), on half of the test sentences of SemEval-2010 task 8.

    majority   the most frequent label of the training sentences
    nearest-N  the label of most of the N nearest training sentences by hybrid search; no model is asked
    none       `generate.label` without examples
    random-N   with N training sentences drawn for each
    found-N    with the N nearest ones

Every result is a line in a work file, so a run that was stopped goes on where it was. Exact: the label with its direction;
type: without it; micro F1 leaves out Other, as the task does. Released outputs are in the data folder. The model runs in
transformers, which reads a prompt once for all its labels.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.relations [WAY ...] [--n 200] [--model NAME]
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.graphs import llm_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from rag import Context, Document, Query, Ranking, ScoredDocument, load_pipeline
from rag.evaluate import cached_index, load_beir
from rag.graphs import load_spec
from ragline_recipes.label import LabelGenerator

WORK = RESULTS / "relations.jsonl"
CORPUS = Path("runs/relations")
MODEL = "qwen2.5-coder-1.5b-instruct"
UNREAD = ("majority", "nearest")
WAYS = ("majority", "nearest-1", "nearest-5", "none", "random-4", "found-1", "found-4", "found-8")
SEED, TOGETHER, DEPTH = 20263, 32, 8
OTHER = "Other"
SET = "semeval2010-re"
Item = dict[str, Any]


def drawn(n: int) -> list[Item]:
    """The first n test sentences of a fixed random order, without those that also stand in the training sentences."""
    known = {item["text"] for item in records(f"{SET}/train")}
    items = [item for item in records(f"{SET}/test") if item["text"] not in known]
    random.Random(SEED).shuffle(items)
    return items[:n]


def corpus(searched: int | None) -> Path:
    """The training sentences, or the first so many, as a BEIR folder."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    with (CORPUS / "corpus.jsonl").open("w", encoding="utf-8") as out:
        for item in records(f"{SET}/train")[:searched]:
            kept = {"_id": item["_id"], "title": "", "text": item["text"]}
            out.write(json.dumps({**kept, "label": item["relation"], "marked": item["marked"]}) + "\n")
    return CORPUS


def nearest(items: Sequence[Item], searched: int | None) -> dict[str, Ranking]:
    """The training sentences nearest to each, by the built-in hybrid. `searched`: of the first so many."""
    spec = load_spec("hybrid")
    index = cached_index(load_beir(corpus(searched)), spec.graph, spec.graph.index)
    with load_pipeline("hybrid", index=index) as pipeline:
        found = pipeline.run([_query(item) for item in items], k=DEPTH)
        return {ranking.qid: ranking for ranking in found.rankings}


def _query(item: Item) -> Query:
    """Searched without the marks, shown with them."""
    return Query(qid=item["_id"], text=item["text"], original=item["marked"])


def contexts(way: str, items: Sequence[Item], near: Mapping[str, Ranking]) -> list[Context]:
    """The examples that a way shows."""
    kind, _, size = way.partition("-")
    n = int(size or 0)
    if kind == "found":
        return [Context(query=_query(item), passages=near[item["_id"]].hits[:n]) for item in items]
    train, made = records(f"{SET}/train") if kind == "random" else [], []
    for item in items:
        some = random.Random(f"{SEED} {item['_id']}").sample(train, n) if train else []
        hits = [
            ScoredDocument(
                document=Document(
                    doc_id=one["_id"],
                    text=one["text"],
                    metadata={"label": one["relation"], "marked": one["marked"]},
                ),
                score=1.0 / place,
            )
            for place, one in enumerate(some, start=1)
        ]
        made.append(Context(query=_query(item), passages=tuple(hits)))
    return made


def voted(way: str, item: Item, near: Mapping[str, Ranking]) -> str:
    """The label of most of the nearest; of equal ones that of the nearest."""
    hits = near[item["_id"]].hits[: int(way.partition("-")[2])]
    votes = Counter(str(hit.document.metadata["label"]) for hit in hits)
    return max(votes, key=votes.__getitem__)


def component(model: str) -> Component:
    """What labels."""
    labels = (data_folder() / SET / "relations.txt").read_text(encoding="utf-8").split()
    told = {"labels": labels, "prompt": "label_relation", "text_field": "marked", "examples": DEPTH, "max_words": 120}
    return Component(LabelGenerator, llm=llm_part(model, "transformers"), **told)


@cache
def setup_of(way: str, model: str) -> Setup:
    """What the lines of a way are made with."""
    asking = not way.startswith(UNREAD)
    parts, settings = ([component(model), contexts], "") if asking else ([voted], "no model")
    return Setup.of(*parts, load_spec("hybrid"), data=[data_folder() / SET], settings=settings)


def label_all(ways: Sequence[str], items: Sequence[Item], work: Work, model: str, *, searched: int | None) -> None:
    """Label what has no line yet."""
    near = nearest(items, searched)
    most = Counter(item["relation"] for item in records(f"{SET}/train")).most_common(1)[0][0]
    asking = [way for way in ways if not way.startswith(UNREAD)]
    for way in (way for way in ways if way not in asking):
        setup = setup_of(way, model)
        for item in (item for item in items if work.get(way, SET, item["_id"], setup) is None):
            told = most if way == "majority" else voted(way, item, near)
            work.add(_line(way, item, told, tokens=0, seconds=0.0), setup)
    if not asking:
        return
    generator = component(model).make()
    for way in asking:
        setup = setup_of(way, model)
        missing = [item for item in items if work.get(way, SET, item["_id"], setup) is None]
        for start in range(0, len(missing), TOGETHER):
            some = missing[start : start + TOGETHER]
            for item, answer in zip(some, generator.generate(contexts(way, some, near)), strict=True):
                cost = answer.usage
                work.add(_line(way, item, answer.text, tokens=cost.prompt_tokens, seconds=cost.seconds), setup)
            print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)


def _line(way: str, item: Item, told: str, *, tokens: int, seconds: float) -> Line:
    line = {"method": way, "set": SET, "qid": item["_id"]}
    return {**line, "told": told, "gold": item["relation"], "tokens": tokens, "seconds": round(seconds, 3)}


def micro_f1(lines: Sequence[Line]) -> float:
    """Over all labels but Other, direction counted."""
    right = sum(line["told"] == line["gold"] != OTHER for line in lines)
    told, gold = (sum(line[side] != OTHER for line in lines) for side in ("told", "gold"))
    return 2 * right / (told + gold) if told + gold else 0.0


def exact(line: Line) -> float:
    """Whether the label is right, direction and all."""
    return float(line["told"] == line["gold"])


def kind(label: str) -> str:
    """A label without its direction."""
    return label.partition("(")[0]


def table(work: Work, items: Sequence[Item], model: str) -> Iterator[str]:
    """Markdown: accuracy with 95% intervals, differences to no examples and to the vote, micro F1, tokens and seconds."""
    yield "| way | n | exact | to none [95%] | to nearest-5 [95%] | type alone | micro F1 | tokens | s |"
    yield "| --- | ---: | --- | --- | --- | ---: | ---: | ---: | ---: |"

    def beside(lines: Sequence[Line], way: str) -> str:
        base = {line["qid"]: line for line in work.of(way, SET, setup_of(way, model))}
        shared = [line for line in lines if line["qid"] in base and line["method"] != way]
        return difference_cell([exact(x) for x in shared], [exact(base[x["qid"]]) for x in shared])

    for way in WAYS:
        lines = [line for item in items if (line := work.get(way, SET, item["_id"], setup_of(way, model)))]
        if not lines:
            continue
        type_alone = fmean(kind(line["told"]) == kind(line["gold"]) for line in lines)
        yield (
            f"| {way} | {len(lines)} | {mean_cell([exact(line) for line in lines], digits=3)} "
            f"| {beside(lines, 'none')} | {beside(lines, 'nearest-5')} | {type_alone:.3f} "
            f"| {micro_f1(lines):.3f} | {cost_cells(lines, 'tokens', digits=0)} "
            f"| {cost_cells(lines, 'seconds', digits=2)} |"
        )


def main() -> None:
    """Label what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument(
        "--searched", type=int, metavar="N", help="of the training sentences; to try it, with its own --work"
    )
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, items = Work(options.work, busy=options.busy), drawn(options.n)
    label_all(options.ways, items, work, options.model, searched=options.searched)
    print(*table(work, items, options.model), sep="\n")


if __name__ == "__main__":
    main()
