"""All sentences that name something of a type (NERetrieve), on the six types of WNUT 2017: 4,403 short posts.

    name      hybrid search by the name of the type; no model is asked
    defined   by the name and its definition
    named     that search and the leg `named`, by name and definition, fused as the built-in `mentions` does it
    names     by the leg `named` alone
    read      `retrieve.mentions` over the same search, by name and definition
    alone     the same without the names that were found as examples

R-precision: the share of relevant sentences among the first R, R the number of relevant ones. It is measured over what a way
gives, so one that reads fewer than R is held against all R. Recall@2R likewise. Names are right where type, first and last
character are those of the labels; those of the labels that are in no hit count as missed. The labels are what annotators
agreed on, so precision is a lower bound. `held`: for how many types no more were missed, those that the model overlooked with
them, than was said to be missed among the unread.

Every result is a line in a work file. The model runs in vLLM, so this wants its Python; `--model scripted` needs none and
knows nothing: it says yes to every sentence and copies its capitalised words.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.mentions [WAY ...] [--most 400] [--types TYPE ...]
        [--model NAME]
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.graphs import SCRIPTED, hybrid_nodes, writer, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from generators.llm.scripted import ScriptedLLM
from plugins.recipes.benchmarks.snippets import snippets_of
from rag import load_pipeline
from rag.evaluate import cached_index, evaluate, load_beir
from rag.graphs import load_spec
from rag.indexes import Index
from rag.types import Completion, Prompt, Query, Ranking, SamplingParams
from ragline_recipes.mentions import MentionsRetriever
from ragline_recipes.named.names import names_of

WORK = RESULTS / "mentions.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
READING = ("read", "alone")
INDEXED = {"named": "fused", "names": "named"}
"""Way -> the node of the built-in graph that it ends in."""

WAYS = ("name", "defined", *INDEXED, *READING)
SET = "wnut17"
_CAPITALS = re.compile(r"\b[A-Z]\w+(?: [A-Z]\w+)*")
Item = dict[str, Any]
Named = set[tuple[str, int, int]]


class Capitals(ScriptedLLM):
    """No model: accepts every passage, and copies what is written with capitals."""

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[0.0, -1.0]] * len(prompts), dtype=np.float32)

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        passages = [prompt[-1].content.split("Passage: ")[1].split("\n")[0] for prompt in prompts]
        return [Completion(text=json.dumps(_CAPITALS.findall(passage)[:20])) for passage in passages]


def gold(name: str) -> Named:
    """The labelled names of a type: sentence, first character, one past the last."""
    return {
        (item["_id"], each["start"], each["end"])
        for item in records(f"{SET}/corpus")
        for each in item["entities"]
        if each["type"] == name
    }


class Search:
    """Plain hybrid search over all sentences, as a retriever. What it finds for a query comes from the pipeline."""

    def __init__(self, depth: int) -> None:
        nodes = hybrid_nodes(depth)
        for leg in ("bm25", "dense"):
            nodes[leg] = {**nodes[leg], "k": depth}
        spec = load_spec({"version": 1, "nodes": nodes, "output": "fused"})
        dataset = load_beir(data_folder() / SET)
        self.index: Index = cached_index(dataset, spec.graph, spec.graph.index)
        self.pipeline = load_pipeline(spec.graph, index=self.index)

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, of what passes its filter."""
        return self.pipeline.run(list(queries), k=k).rankings


def names_graph(way: str, depth: int) -> dict[str, Any]:
    """The built-in graph as deep as there are sentences, or its list of names alone."""
    made: dict[str, Any] = load_spec("mentions").graph.model_dump(mode="json", by_alias=True)
    nodes = {name: {**node, "k": depth} for name, node in made["nodes"].items()}
    output = INDEXED[way]
    return {"version": 1, "nodes": nodes if output == "fused" else {output: nodes[output]}, "output": output}


def by_names(way: str, depth: int) -> Any:
    """What runs it."""
    spec = load_spec(names_graph(way, depth)).graph
    index = cached_index(load_beir(data_folder() / SET), load_spec("mentions").graph, spec.index)
    return load_pipeline(spec, index=index)


def asked(way: str, item: Item) -> Query:
    """The type by its name, and with what belongs to it."""
    text = item["text"] if way == "name" else f"{item['text']}: {item['definition']}"
    return Query(qid=item["_id"], text=text)


def model_named(name: str) -> Any:
    return Capitals() if name == SCRIPTED else writer(name)


def list_all(ways: Sequence[str], items: Sequence[Item], work: Work, *, model: str, most: int) -> None:
    """List what has no line yet."""
    n_sentences = len(records(f"{SET}/corpus"))
    search, llm = Search(depth=n_sentences), None
    for way in ways:
        setup = setup_of(way, model, most)
        missing = [item for item in items if work.get(way, SET, item["_id"], setup) is None]
        if not missing:
            continue
        if way in READING:
            llm = llm or model_named(model)
            retriever = component(way, model, most).make(llm=llm, inner=search, index=search.index)
            rankings = retriever.retrieve([asked(way, item) for item in missing], k=n_sentences)
        elif way in INDEXED:
            rankings = by_names(way, n_sentences).run([asked(way, item) for item in missing], k=n_sentences).rankings
        else:
            rankings = search.retrieve([asked(way, item) for item in missing], k=n_sentences)
        for item, ranking in zip(missing, rankings, strict=True):
            work.add(line_of(way, ranking, gold(item["_id"])), setup)
            print(f"{way} {item['_id']}: {ranking.outcome.detail or len(ranking.hits)}", flush=True)
    search.pipeline.close()


def component(way: str, model: str, most: int) -> Component:
    """What reads the sentences."""
    llm = Component(Capitals) if model == SCRIPTED else writer_part(model)
    return Component(MentionsRetriever, llm=llm, most=most, examples=8 if way == "read" else 0)


@cache
def setup_of(way: str, model: str, most: int) -> Setup:
    """What the lines of a way are made with."""
    n_sentences = len(records(f"{SET}/corpus"))
    if way in INDEXED:
        return Setup.of(
            names_graph(way, n_sentences),
            names_of,
            asked,
            data=[data_folder() / SET],
            settings=f"no model, graph mentions, {INDEXED[way]}",
        )
    searched = (Search, asked, hybrid_nodes(n_sentences))
    reading = [component(way, model, most)] if way in READING else []
    return Setup.of(*reading, *searched, data=[data_folder() / SET])


def line_of(way: str, ranking: Ranking, labelled: Named) -> Line:
    """A type's line: measures of its sentences, right and wrong names, and what was said to be missed."""
    relevant = {doc_id for doc_id, _, _ in labelled}
    order = [hit.document.parent for hit in ranking.hits]
    cut = f"R@{2 * len(relevant)}"
    found = evaluate({ranking.qid: order}, {ranking.qid: dict.fromkeys(relevant, 1)}, ["Rprec", cut, "AllRelevant"])
    told: Named = {(doc_id, start, end) for doc_id, (start, end) in snippets_of(ranking)}
    counts = ranking.outcome.counts
    return {
        "method": way,
        "set": SET,
        "qid": ranking.qid,
        "relevant": len(relevant),
        "hits": len(order),
        "right_hits": len(relevant & set(order)),
        "rprec": found.measures["Rprec"],
        "recall_2r": found.measures[cut],
        "all": found.measures["AllRelevant"],
        "names": len(told),
        "right_names": len(told & labelled),
        "labelled": len(labelled),
        "read": counts.get("read"),
        "missed_at_most": counts.get("missed_at_most"),
        "not_in_text": counts.get("not_in_text", 0),
        "calls": ranking.usage.calls,
        "tokens": ranking.usage.prompt_tokens + ranking.usage.new_tokens,
        "seconds": round(ranking.usage.seconds, 3),
    }


def held(line: Line) -> bool:
    """Whether no more relevant sentences were missed, read ones that the model overlooked with them, than was said."""
    return bool(line["relevant"] - line["right_hits"] <= line["missed_at_most"])


def table(work: Work, items: Sequence[Item], *, model: str, most: int) -> Iterator[str]:
    """Markdown: a line a type and way, and the means with 95% intervals over the types."""
    yield "| way | type | relevant | read | hits | right hits | R-precision | R@2R | right names | missed, at most | calls |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for way in WAYS:
        setup = setup_of(way, model, most)
        lines = [line for item in items if (line := work.get(way, SET, item["_id"], setup))]
        for line in lines:
            names = f"{line['right_names']} of {line['names']}; {line['labelled']} labelled" if line["read"] else ""
            missed = f"{line['relevant'] - line['right_hits']}, {line['missed_at_most']}" if line["read"] else ""
            yield (
                f"| {way} | {line['qid']} | {line['relevant']} | {line['read'] or 0} | {line['hits']} | {line['right_hits']} "
                f"| {line['rprec']:.3f} | {line['recall_2r']:.3f} | {names} | {missed} | {line['calls']} |"
            )
        if lines:
            yield summary(way, lines)


def summary(way: str, lines: Sequence[Line]) -> str:
    """The means of a way over the types; the precision and recall of names over all of them together."""
    told, right, labelled = (sum(line[what] for line in lines) for what in ("names", "right_names", "labelled"))
    names = f"precision {right / told:.3f}, recall {right / labelled:.3f}" if told else ""
    bound = f"held {sum(map(held, lines))} of {len(lines)}" if lines[0]["read"] else ""
    means = " | ".join(mean_cell([line[what] for line in lines], digits=3) for what in ("rprec", "recall_2r"))
    read = fmean(line["read"] or 0 for line in lines)
    return (
        f"| {way} | mean | {fmean(line['relevant'] for line in lines):.0f} | {read:.0f} "
        f"| {fmean(line['hits'] for line in lines):.0f} | {fmean(line['right_hits'] for line in lines):.0f} | {means} "
        f"| {names} | {bound} | {fmean(line['calls'] for line in lines):.0f} |"
    )


def main() -> None:
    """List what is missing, and print the table."""
    types = [item["_id"] for item in records(f"{SET}/queries")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="+", choices=types, default=types)
    parser.add_argument("--most", type=int, default=400, help="sentences that are read for a type, at most")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, items = (
        Work(options.work, busy=options.busy),
        [item for item in records(f"{SET}/queries") if item["_id"] in options.types],
    )
    list_all(options.ways, items, work, model=options.model, most=options.most)
    print(*table(work, items, model=options.model, most=options.most), sep="\n")


if __name__ == "__main__":
    main()
