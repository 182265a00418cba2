"""Questions about many documents: `generate.tally` beside plain hybrid retrieval and answering, one model.

    plain   hybrid search, the first three passages, `generate.cited`
    tally   a plan by the model, carried out; without one the same as `plain`

The questions are of six forms, from templates (`benchmarks.counting_questions`); `text` needs documents read. Right is: the
number where it is the first one of the answer (count), the documents that the answer cites where they are all and none else
(list), one of those at the end and no other cited (first or last), every value beside its number (group). F1 is of the cited
documents where the answer is a list or an end. A plan is right where operation, field and the documents that its filter lets
through are those of the question; of `text` its filter has to be the month alone, and its condition is not judged.

Every answer is a line of a work file, so a run that was stopped goes on where it was. The model runs in vLLM, so this wants
its Python; `--engine llama_cpp` runs it without.

    RAGLINE_EVAL_DATA=... python -m benchmarks.counting [WAY ...] [--forms FORM ...] [--n N] [--model NAME]
    python -m benchmarks.counting --table
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from benchmarks.counting_questions import CORPORA, FORMS, Corpus, Question, questions
from benchmarks.graphs import ENGINES, hybrid_nodes, llm_part, plain_nodes
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, costs, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Line, Setup, Work
from rag.core.filters import matches, parse_where
from rag.core.types import Answer, Query
from rag.evaluate.beir import load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.graph.load import load_spec
from rag.pipeline import load_pipeline

WORK = RESULTS / "counting.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
WAYS = ("plain", "tally")
TOGETHER = 8
MOST = 160
"""Passages that are read for a condition, at most."""

_NUMBER = re.compile(r"\d[\d,]*")


def graph(way: str, corpus: Corpus, model: str, engine: str) -> dict[str, Any]:
    """The graph of a way over a corpus."""
    plain = plain_nodes()
    made: dict[str, Any] = {"version": 1, "models": {"writer": llm_part(model, engine)}}
    if way == "plain":
        return {**made, "nodes": plain, "output": "answer"}
    deep = hybrid_nodes(1000)
    for leg in ("bm25", "dense"):
        deep[leg] = {**deep[leg], "k": 1000}
    inner = {"search": {"nodes": deep, "output": "fused"}, "plain": {"nodes": plain, "output": "answer"}}
    params = {"llm": "writer", "inner": "search", "answers": "plain", "fields": list(corpus.fields), "most": MOST}
    nodes = {"answer": {"use": "generate.tally", "with": params}}
    return {**made, "graphs": inner, "nodes": nodes, "output": "answer"}


def answer_all(way: str, corpus: Corpus, asked: Sequence[Question], work: Work, *, model: str, engine: str) -> None:
    """Answer what has no line yet."""
    spec = load_spec(graph(way, corpus, model, engine)).graph
    folder = data_folder() / corpus.folder
    index = cached_index(load_beir(folder), load_spec("hybrid").graph, spec.index)
    with load_pipeline(spec, index=index) as pipeline:
        setup = Setup.of(pipeline.graph, data=[folder])
        missing = [one for one in asked if work.get(way, corpus.name, one.qid, setup) is None]
        for start in range(0, len(missing), TOGETHER):
            some = missing[start : start + TOGETHER]
            result = pipeline.run([Query(qid=one.qid, text=one.text) for one in some])
            if result.failures:
                raise SystemExit(f"counting: {result.failures[0]}")
            cost = costs([report.usage for report in result.nodes], result.seconds, len(some))
            for one, answer in zip(some, result.answers, strict=True):
                work.add(line_of(way, corpus, one, answer) | cost, setup)
                print(f"{way} {one.qid}: {answer.text.splitlines()[0][:80] if answer.text else ''!r}", flush=True)
        pipeline.release()


def line_of(way: str, corpus: Corpus, one: Question, answer: Answer) -> Line:
    """An answer's line."""
    parents = {hit.doc_id: hit.document.parent for hit in answer.context.passages}
    cited = {parents[citation.doc_id] for citation in answer.citations}
    return {
        "method": way,
        "set": corpus.name,
        "qid": one.qid,
        "form": one.form,
        "right": right(one, answer.text, cited),
        "f1": f1(wanted(one), cited) if one.operation in ("list", "earliest", "latest") else None,
        "plan_right": plan_right(one, corpus, answer) if way == "tally" else None,
        "status": answer.status,
        "outcome": answer.outcome.kind,
        "counts": dict(answer.outcome.counts),
        "text": answer.text[:500],
        "detail": answer.outcome.detail[:500],
    }


def wanted(one: Question) -> frozenset[str]:
    """The documents that an answer has to name."""
    return one.ends or one.gold


def right(one: Question, text: str, cited: set[str]) -> bool:
    """Whether an answer is right, whoever wrote it."""
    if one.operation == "count":
        first = _NUMBER.search(text)
        return first is not None and int(first.group().replace(",", "")) == len(one.gold)
    if one.operation == "list":
        return cited == one.gold
    if one.operation == "group":
        return all(re.search(rf"{re.escape(value)}\W+{n:,}\b", text) is not None for value, n in one.values.items())
    return bool(cited) and cited <= one.ends


def f1(gold: frozenset[str], cited: set[str]) -> float:
    """Of two sets of documents."""
    return 2 * len(gold & cited) / (len(gold) + len(cited))


def plan_right(one: Question, corpus: Corpus, answer: Answer) -> bool:
    """Whether the plan that an outcome tells is that of the question."""
    detail = answer.outcome.detail
    if not detail.startswith("plan: "):
        return False
    plan, _ = json.JSONDecoder().raw_decode(detail.removeprefix("plan: "))
    where = parse_where(plan.get("where"))
    passing = {each["_id"] for each in records(f"{corpus.folder}/corpus") if where is None or matches(where, each)}
    return (
        plan["operation"] == one.operation
        and plan.get("field", "") == one.by
        and passing == one.visible
        and bool(plan.get("text")) == (one.form == "text")
    )


def table(work: Work, asked: Sequence[Question]) -> Iterator[str]:
    """Markdown: a line a form and way, with 95% intervals and the difference to `plain`."""
    yield "| form | way | n | right | to plain [95%] | plan right | F1 | no plan | calls | tokens | s |"
    yield "| --- | --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    latest = {way: {line["qid"]: line for corpus in CORPORA for line in work.latest(way, corpus)} for way in WAYS}
    for form in (*FORMS, "all"):
        qids = [one.qid for one in asked if form in (one.form, "all")]
        for way in WAYS:
            lines = [latest[way][qid] for qid in qids if qid in latest[way]]
            if lines:
                yield _row(form, way, lines, latest["plain"])


def _row(form: str, way: str, lines: Sequence[Line], plain: dict[str, Line]) -> str:
    shared = [line for line in lines if line["qid"] in plain and way != "plain"]
    beside = difference_cell(
        [float(line["right"]) for line in shared], [float(plain[line["qid"]]["right"]) for line in shared]
    )
    listed = [line["f1"] for line in lines if line["f1"] is not None]
    plans = [float(line["plan_right"]) for line in lines if line["plan_right"] is not None]
    none = sum(line["outcome"] == "fallback" for line in lines) if way == "tally" else ""
    return (
        f"| {form} | {way} | {len(lines)} | {mean_cell([float(line['right']) for line in lines])} | {beside} "
        f"| {f'{fmean(plans):.2f}' if plans else ''} | {f'{fmean(listed):.2f}' if listed else ''} | {none} "
        f"| {cost_cells(lines, 'calls', 'tokens', 'seconds')} |"
    )


def main() -> None:
    """Answer what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--n", type=int, default=1000, help="questions of each form, at most")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, everything = Work(options.work, busy=options.busy), questions()
    asked = [one for form in options.forms for one in [each for each in everything if each.form == form][: options.n]]
    for corpus in () if options.table else CORPORA.values():
        for way in options.ways:
            mine = [one for one in asked if one.corpus == corpus.name]
            if mine:
                answer_all(way, corpus, mine, work, model=options.model, engine=options.engine)
    print(*table(work, asked), sep="\n")


if __name__ == "__main__":
    main()
