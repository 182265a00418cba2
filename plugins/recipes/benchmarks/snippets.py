"""Snippets for biomedical questions, by the measures of BioASQ's task B, over the first ten passages of hybrid search.

    whole   every passage is a snippet; no model is asked
    words   of each passage the sentence that shares most words with the question, passages in the order of these shares
    zero    `rerank.snippets` without shots
    shots   with the three shots that come with ragline

Precision, recall and F1 are over characters, AP over the list (`ragline_recipes.snippet_scores`). A document of this set is no
abstract: it is the gold snippets of a PubMed id, joined. So `whole` is right wherever its passage is, and only what was marked
for another question is wrong; it is the figure to beat here, and would be a poor one on whole abstracts. Gold snippets that are
not in the text of their document are left out and counted.

Every result is a line in a work file. The model runs in vLLM, so this wants its Python.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.snippets [WAY ...] [--n 100] [--model NAME]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from benchmarks.graphs import hybrid_nodes, writer, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from rag import load_pipeline
from rag.evaluate import cached_index, load_beir
from rag.graphs import load_spec
from rag.ranking import in_this_order
from rag.stages.cite import overlap
from rag.types import Document, Query, Ranking
from rag.writing import picked_of, sentences, with_picked
from ragline_recipes.snippet_scores import Snippet, score_snippets
from ragline_recipes.snippets import SnippetsReranker
from ragline_recipes.verbatim import occurrences

WORK = RESULTS / "snippets.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
READ = ("zero", "shots")
WAYS = ("whole", "words", *READ)
SET = "bioasq-snippets"
SEED, TOGETHER, DEPTH = 20267, 16, 10
Item = dict[str, Any]


def drawn(n: int) -> list[Item]:
    """The first n questions of a fixed random order."""
    items = records(f"{SET}/qa")
    random.Random(SEED).shuffle(items)
    return items[:n]


def gold(item: Item, texts: Mapping[str, str]) -> tuple[list[Snippet], int]:
    """The marked snippets of a question by their place in the text of their document, and how many are not in it."""
    found: list[Snippet] = []
    absent = 0
    for each in item["contexts"]:
        places = occurrences(each["text"], texts.get(each["pmid"], ""))[:1]
        absent += not places
        found += [(each["pmid"], place) for place in places]
    return list(dict.fromkeys(found)), absent


def retrieved(items: Sequence[Item]) -> dict[str, Ranking]:
    """The first passages of hybrid search for each question."""
    spec = load_spec({"version": 1, "nodes": hybrid_nodes(DEPTH), "output": "fused"})
    index = cached_index(load_beir(data_folder() / SET), spec.graph, spec.graph.index)
    with load_pipeline(spec.graph, index=index) as pipeline:
        result = pipeline.run([Query(qid=item["id"], text=item["question"]) for item in items], k=DEPTH)
        return {ranking.qid: ranking for ranking in result.rankings}


def whole(ranking: Ranking) -> Ranking:
    """Every passage as one snippet."""
    documents = [with_picked(hit.document, [(0, len(hit.document.text))]) for hit in ranking.hits]
    return Ranking(query=ranking.query, hits=in_this_order(documents))


def by_words(ranking: Ranking) -> Ranking:
    """Of each passage the sentence that has most of the question's words, passages by that share."""
    best: list[tuple[float, Document]] = []
    for hit in ranking.hits:
        spans = list(sentences(hit.document.text))
        shares = [overlap(ranking.query.text, hit.document.text[start:end]) for start, end in spans]
        place = max(range(len(spans)), key=shares.__getitem__)
        best.append((shares[place], with_picked(hit.document, [spans[place]])))
    best.sort(key=lambda one: -one[0])
    return Ranking(query=ranking.query, hits=in_this_order([document for _, document in best]))


def snippets_of(ranking: Ranking) -> list[Snippet]:
    """The snippets of a ranking in order, by their place in whole documents: a passage may be a part of one."""
    return [
        (hit.document.parent, (begin + span["start"], begin + span["end"]))
        for hit in ranking.hits
        for begin in [int(hit.document.metadata.get("start", 0))]
        for span in picked_of(hit.document)
    ]


def extract_all(ways: Sequence[str], items: Sequence[Item], work: Work, model: str) -> None:
    """Extract where there is no line yet."""
    found, texts = retrieved(items), {each["_id"]: each["text"] for each in records(f"{SET}/corpus")}
    llm = None
    for way in ways:
        setup = setup_of(way, model)
        missing = [item for item in items if work.get(way, SET, item["id"], setup) is None]
        reranker = None
        if way in READ and missing:
            llm = llm or writer(model)
            reranker = component(way, model).make(llm=llm)
        for start in range(0, len(missing), TOGETHER):
            some = missing[start : start + TOGETHER]
            given = [found[item["id"]] for item in some]
            made = (
                reranker.rerank(given, k=DEPTH)
                if reranker
                else [whole(each) if way == "whole" else by_words(each) for each in given]
            )
            for item, ranking in zip(some, made, strict=True):
                work.add(line_of(way, item, ranking, texts), setup)
            print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)
    if llm is not None:
        llm.release()


def component(way: str, model: str) -> Component:
    """What reads the passages."""
    shots = "snippets" if way == "shots" else None
    return Component(SnippetsReranker, llm=writer_part(model), depth=DEPTH, shots=shots)


@cache
def setup_of(way: str, model: str) -> Setup:
    """What the lines of a way are made with."""
    part = component(way, model) if way in READ else {"whole": whole, "words": by_words}[way]
    return Setup.of(part, hybrid_nodes(DEPTH), data=[data_folder() / SET])


def line_of(way: str, item: Item, ranking: Ranking, texts: Mapping[str, str]) -> Line:
    """A question's line."""
    marked, absent = gold(item, texts)
    given = snippets_of(ranking)
    scores = score_snippets(given, marked)
    return {
        "method": way,
        "set": SET,
        "qid": item["id"],
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "ap": scores.ap,
        "snippets": len(given),
        "gold": len(marked),
        "gold_absent": absent,
        "not_in_text": ranking.outcome.counts.get("not_in_text", 0),
        "unread": ranking.outcome.counts.get("fallback", 0),
        "calls": ranking.usage.calls,
        "tokens": ranking.usage.prompt_tokens + ranking.usage.new_tokens,
        "seconds": round(ranking.usage.seconds, 3),
    }


def table(work: Work, items: Sequence[Item], model: str) -> Iterator[str]:
    """Markdown: means with 95% intervals, the difference of F1 to `whole`, what was dropped, and the cost of a question."""
    yield "| way | n | precision | recall | F1 | to whole [95%] | MAP | snippets | not in text | unread | calls | tokens | s |"
    yield "| --- | ---: | --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    base = {line["qid"]: line for line in work.of("whole", SET, setup_of("whole", model))}
    for way in WAYS:
        lines = [line for item in items if (line := work.get(way, SET, item["id"], setup_of(way, model)))]
        if not lines:
            continue
        shared = [line for line in lines if line["qid"] in base and way != "whole"]
        beside = difference_cell([x["f1"] for x in shared], [base[x["qid"]]["f1"] for x in shared])
        p, r, f1, ap = (mean_cell([line[what] for line in lines]) for what in ("precision", "recall", "f1", "ap"))
        costs = cost_cells(lines, "snippets", "not_in_text", "unread", "calls", "tokens", "seconds")
        yield f"| {way} | {len(lines)} | {p} | {r} | {f1} | {beside} | {ap} | {costs} |"


def main() -> None:
    """Extract what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="questions")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, items = Work(options.work, busy=options.busy), drawn(options.n)
    extract_all(options.ways, items, work, options.model)
    print(*table(work, items, options.model), sep="\n")
    absent = {line["qid"]: line["gold_absent"] for way in WAYS for line in work.every(way, SET)}
    print(f"{sum(absent.values())} gold snippets are not in the text of their document and were left out")


if __name__ == "__main__":
    main()
