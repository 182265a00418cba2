"""Forecasts from dated news with a cut-off (AutoCast++): Brier scores with and without news, recency and grades.

    base      the share of questions of the other half that came true, said of every question
    crowd     the market's value at the cut-off, which is in the data
    no-news   `generate.forecast` without passages
    found     hybrid search under `date <= cut-off`, the first five items
    recent    the first twenty of them by relevance times recency, `rerank.recency`, the first five
    summed    the same five, of each of which the model first writes what bears on the question

Passages later than the cut-off are counted, and there must be none. Every forecast is one line in a work file. The model runs
in vLLM, so this wants its Python.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.forecasts [WAY ...] [--n 150] [--model NAME]
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from benchmarks.graphs import hybrid_nodes, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Line, Setup, Work
from rag import Answer, Query, load_pipeline
from rag.evaluate import cached_index, load_beir
from rag.graphs import load_spec

WORK = RESULTS / "forecasts.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
WAYS = ("base", "crowd", "no-news", "found", "recent", "summed")
SEED, TOGETHER = 20266, 16
_YES = re.compile(r"Yes ([\d.]+)%")
Item = dict[str, Any]


def drawn() -> list[Item]:
    """Questions whose cut-off the corpus covers, one date of each, in a fixed random order."""
    everything = records("forecast/questions")
    items = [item for item in everything if item["corpus_covers_cutoff"] and item["resolved_to"] in (0.0, 1.0)]
    random.Random(SEED).shuffle(items)
    return list({item["group"]: item for item in reversed(items)}.values())[::-1]


def graph(way: str, model: str) -> dict[str, Any]:
    """What is read before the forecast."""
    nodes = hybrid_nodes(20)
    if way in ("recent", "summed"):
        nodes["recent"] = {"use": "rerank.recency", "in": "fused", "k": 5, "with": {"llm": "writer", "max_words": 60}}
    last = "recent" if "recent" in nodes else "fused"
    most = {"llm": "writer", "max_tokens": 1500, "max_passages": 5}
    nodes["context"] = {"use": "assemble.token_budget", "in": last, "with": most}
    nodes["answer"] = {"use": "generate.forecast", "in": "context", "with": {"llm": "writer"}}
    if way == "summed":
        nodes["answer"]["with"]["summary"] = "forecast_summary"
    return {"version": 1, "models": {"writer": writer_part(model)}, "nodes": nodes, "output": "answer"}


def asked(way: str, item: Item) -> Query:
    """The question under its cut-off; without news, one that no item passes."""
    day = "0001-01-01" if way == "no-news" else item["cutoff"]
    return Query(qid=item["id"], text=item["question"], where={"date": {"lte": day}})


def forecast_all(ways: Sequence[str], items: Sequence[Item], work: Work, model: str) -> None:
    """Forecast what has no line yet."""
    rate = fmean(item["resolved_to"] for item in drawn() if item not in items)
    dataset = load_beir(data_folder() / "forecast")
    unread = Setup.of(drawn, data=[dataset.folder], settings=settings_of("base", model))
    for item in items:
        for way, p in (("base", rate), ("crowd", float(item["crowd"]))):
            if way in ways and (work.get(way, "forecast", item["id"], unread) or {}).get("p") != p:
                work.add(_line(way, item, p, tokens=0, seconds=0.0, late=0), unread)
    for way in (way for way in ways if way not in ("base", "crowd")):
        spec = graph(way, model)
        loaded = load_spec(spec).graph
        with load_pipeline(spec, index=cached_index(dataset, loaded, loaded.index)) as pipeline:
            setup = Setup.of(pipeline.graph, asked, data=[dataset.folder], settings=settings_of(way, model))
            missing = [item for item in items if work.get(way, "forecast", item["id"], setup) is None]
            for start in range(0, len(missing), TOGETHER):
                some = missing[start : start + TOGETHER]
                result = pipeline.run([asked(way, item) for item in some])
                if result.failures:
                    raise SystemExit(f"forecasts: {result.failures[0]}")
                tokens = sum(report.usage.prompt_tokens for report in result.nodes) / len(some)
                for item, answer in zip(some, result.answers, strict=True):
                    seconds = result.seconds / len(some)
                    line = _line(way, item, _p(answer), tokens=tokens, seconds=seconds, late=_late(answer, item))
                    work.add(line, setup)
                print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)
            pipeline.release()


def settings_of(way: str, model: str) -> str:
    """The model and the components, whose parameters are in the digest of the graph."""
    uses = (node["use"] for node in graph(way, model)["nodes"].values())
    return "no model" if way in ("base", "crowd") else " ".join([model, *uses])


def _p(answer: Answer) -> float:
    found = _YES.search(answer.text)
    if found is None:
        raise SystemExit(f"forecasts: no share in {answer.text!r}")
    return float(found.group(1)) / 100


def _late(answer: Answer, item: Item) -> int:
    """Passages from after the cut-off."""
    return sum(str(hit.document.metadata["date"]) > item["cutoff"] for hit in answer.context.passages)


def _line(way: str, item: Item, p: float, *, tokens: float, seconds: float, late: int) -> Line:
    line = {"method": way, "set": "forecast", "qid": item["id"]}
    cost = {"tokens": round(tokens), "seconds": round(seconds, 3), "late": late}
    return {**line, "p": p, "true": item["resolved_to"], **cost}


def brier(line: Line) -> float:
    return float((line["p"] - line["true"]) ** 2)


def _lines(work: Work, way: str, items: Sequence[Item], model: str) -> list[Line]:
    known = {line["qid"]: line for line in work.latest(way, "forecast", settings_of(way, model))}
    return [known[item["id"]] for item in items if item["id"] in known]


def table(work: Work, items: Sequence[Item], model: str) -> Iterator[str]:
    """Markdown: Brier scores with 95% intervals, the difference to no news, and the cost. Lower is better."""
    yield "| way | n | Brier | to no news [95%] | later than the cut-off | tokens | s |"
    yield "| --- | ---: | --- | --- | ---: | ---: | ---: |"
    base = {line["qid"]: line for line in _lines(work, "no-news", items, model)}
    for way in WAYS:
        lines = _lines(work, way, items, model)
        if not lines:
            continue
        shared = [line for line in lines if line["qid"] in base and way != "no-news"]
        beside = difference_cell([brier(x) for x in shared], [brier(base[x["qid"]]) for x in shared], digits=3)
        yield (
            f"| {way} | {len(lines)} | {mean_cell([brier(line) for line in lines], digits=3)} | {beside} "
            f"| {sum(line['late'] for line in lines)} "
            f"| {cost_cells(lines, 'tokens', digits=0)} | {cost_cells(lines, 'seconds', digits=2)} |"
        )


def main() -> int:
    """Forecast what is missing, and print the table; 1 where a passage was later than its cut-off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=150)
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, items = Work(options.work, busy=options.busy), drawn()[: options.n]
    forecast_all(options.ways, items, work, options.model)
    print(*table(work, items, options.model), sep="\n")
    return int(any(line["late"] for way in WAYS for line in work.latest(way, "forecast")))


if __name__ == "__main__":
    sys.exit(main())
