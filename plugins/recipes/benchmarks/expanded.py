"""Documents for biomedical questions (BioASQ) by the question, by more wordings of it, and by a query of the model's making.

    question   hybrid search by the question; no model is asked
    wordings   by the question and two wordings of `reformulate.multi_query`, fused
    expanded   `retrieve.expanded` over the same search: what its query matches among the first fifty, asked anew where none does
    both       the lists of `question` and `expanded`, fused by reciprocal rank

nDCG@10 and R@10 of documents, 95% intervals, and paired differences to `question`. Every result is a line in a work file. The
model runs in vLLM; a .gguf file in llama.cpp.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.expanded [WAY ...] [--n 100] [--model NAME] [--url URL]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from benchmarks.graphs import hybrid_nodes, writer_part
from benchmarks.make_samples import data_folder
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, costs, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Line, Setup, Work
from plugins.recipes.benchmarks.snippets import drawn
from rag import load_pipeline
from rag.evaluate import cached_index, evaluate, load_beir
from rag.graphs import load_spec
from rag.ranking import in_this_order
from rag.stages import FUSERS
from rag.types import Document, Query, Ranking

WORK = RESULTS / "expanded.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
SEARCHED = ("question", "wordings", "expanded")
WAYS = (*SEARCHED, "both")
MEASURES = ("nDCG@10", "R@10")
SET, DEPTH, TOGETHER = "bioasq-snippets", 50, 8
Item = dict[str, Any]


def graph(way: str, model: str) -> dict[str, Any]:
    """What searches."""
    made, plain = {"version": 1, "models": {"writer": writer_part(model)}}, hybrid_nodes(DEPTH)
    if way == "question":
        return {"version": 1, "nodes": plain, "output": "fused"}
    if way == "wordings":
        asked = {"asked": {"use": "reformulate.multi_query", "in": "query", "with": {"llm": "writer", "n": 2}}}
        nodes = {name: {**node, "in": node.get("in", "asked")} for name, node in plain.items()}
        return {**made, "nodes": {**asked, **nodes}, "output": "fused"}
    found = {"use": "retrieve.expanded", "k": DEPTH, "with": {"llm": "writer", "inner": "search"}}
    return {
        **made,
        "graphs": {"search": {"nodes": plain, "output": "fused"}},
        "nodes": {"found": found},
        "output": "found",
    }


def search_all(way: str, items: Sequence[Item], work: Work, model: str) -> None:
    """Search what has no line yet."""
    spec = load_spec(graph(way, model)).graph
    dataset = load_beir(data_folder() / SET)
    qrels = dataset.qrels("test")
    with load_pipeline(spec, index=cached_index(dataset, load_spec("hybrid").graph, spec.index)) as pipeline:
        setup = Setup.of(pipeline.graph, data=[dataset.folder])
        missing = [item for item in items if work.get(way, SET, item["id"], setup) is None]
        for start in range(0, len(missing), TOGETHER):
            some = missing[start : start + TOGETHER]
            result = pipeline.run([Query(qid=item["id"], text=item["question"]) for item in some], k=DEPTH)
            if result.failures:
                raise SystemExit(f"expanded: {result.failures[0]}")
            cost = costs([report.usage for report in result.nodes], result.seconds, len(some))
            for ranking in result.rankings:
                work.add(line_of(way, ranking, qrels[ranking.qid]) | cost, setup)
            print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)
        pipeline.release()


def line_of(way: str, ranking: Ranking, right: dict[str, int]) -> Line:
    """A question's line, with the documents that were found for it."""
    found = evaluate([ranking], {ranking.qid: right}, MEASURES)
    return {
        "method": way,
        "set": SET,
        "qid": ranking.qid,
        **{measure: found.measures[measure] for measure in MEASURES},
        "found": list(dict.fromkeys(hit.document.parent for hit in ranking.hits)),
        "counts": dict(ranking.outcome.counts),
        "detail": ranking.outcome.detail,
    }


def fuse_all(items: Sequence[Item], work: Work, model: str) -> None:
    """The lists of two ways, fused, of the questions that have both and no line yet."""
    qrels = load_beir(data_folder() / SET).qrels("test")
    lists = [{line["qid"]: line for line in _lines(work, way, model)} for way in ("question", "expanded")]
    setup = Setup.of(fused, data=[data_folder() / SET], settings=f"question and expanded of {model}")
    for item in items:
        lines = [some[item["id"]] for some in lists if item["id"] in some]
        if len(lines) == len(lists) and work.get("both", SET, item["id"], setup) is None:
            query = Query(qid=item["id"], text=item["question"])
            ranking = fused(query, [line["found"] for line in lines])
            spent = {cost: lines[1][cost] for cost in ("calls", "tokens", "seconds")}
            work.add(line_of("both", ranking, qrels[query.qid]) | spent, setup)


def fused(query: Query, lists: Sequence[Sequence[str]]) -> Ranking:
    """Lists of ids by reciprocal rank."""
    rankings = [
        Ranking(query=query, hits=in_this_order([Document(doc_id=each, text="") for each in ids]), source=str(place))
        for place, ids in enumerate(lists)
    ]
    [ranking] = FUSERS.get("rrf")().fuse(rankings, k=DEPTH)
    return ranking


def _lines(work: Work, way: str, model: str) -> list[Line]:
    """Those that a way was last run with; of ways that ask a model, by this one."""
    lines = work.every(way, SET)
    mine = [line for line in lines if way == "question" or model in line["settings"]]
    last = [line for line in mine if Setup.of_line(line) == Setup.of_line(mine[-1])]
    return list({line["qid"]: line for line in last}.values())


def table(work: Work, items: Sequence[Item], model: str) -> Iterator[str]:
    """Markdown: measures with 95% intervals, the differences to the question alone, and what became of queries."""
    yield "| way | n | nDCG@10 | to question [95%] | R@10 | to question [95%] | asked anew | unread | unmatched | tokens | s |"
    yield "| --- | ---: | --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    wanted = {item["id"] for item in items}
    base = {line["qid"]: line for line in _lines(work, "question", model)}
    for way in WAYS:
        lines = [line for line in _lines(work, way, model) if line["qid"] in wanted]
        if not lines:
            continue
        shared = [line for line in lines if line["qid"] in base and way != "question"]
        cells = [
            f"{mean_cell([x[of] for x in lines], digits=3)} "
            f"| {difference_cell([x[of] for x in shared], [base[x['qid']][of] for x in shared], digits=3)}"
            for of in MEASURES
        ]
        told = [fmean(x["counts"].get(name, 0) for x in lines) for name in ("broadened", "unread", "unmatched")]
        counts = " | ".join(f"{share:.2f}" for share in told) if way == "expanded" else " |  | "
        yield f"| {way} | {len(lines)} | {' | '.join(cells)} | {counts} | {cost_cells(lines, 'tokens', 'seconds')} |"


def main() -> None:
    """Search what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="questions")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, items = Work(options.work, busy=options.busy), drawn(options.n)
    for way in (way for way in SEARCHED if way in options.ways):
        search_all(way, items, work, options.model)
    if "both" in options.ways:
        fuse_all(items, work, options.model)
    print(*table(work, items, options.model), sep="\n")


if __name__ == "__main__":
    main()
