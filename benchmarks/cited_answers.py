"""Cited answers on 100 clapnq items: valid markers, the item's own passage, refusals; and what is known without passages.

The built-in graph `ask` over the set's passages. Half of the questions can be answered from their passage, half cannot; the
items are a committed list (benchmarks/samples/clapnq.json). `--split tune` takes 40 others, for choosing prompts. Shares and
means come with 95% bootstrap intervals. `--closed-book` also asks the same model the answerable ones without passages. With
`--enough` a GGUF file reads the passages once for both questions where `--batch` is 1. Every answer is kept in a
file as it comes, with what its graph is: the same command goes on where it was stopped. That does not know this code, so
after a change of it give another `--work`. `--curve` says of answers that were all written (`--least`
so low that nothing is declined) what every other `least` would have declined. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.cited_answers [--limit N] [--split report|tune] [--graph ask] [--prompt answer_cited]
        [--model NAME.gguf | --model NAME --vllm] [--passages N] [--markers auto|form|free] [--enough answer_enough]
        [--least X] [--curve] [--closed-book] [--record]
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.graphs import writer_part
from benchmarks.make_samples import SAMPLES, data_folder
from benchmarks.record import Record, record
from benchmarks.ways import cost_cells
from benchmarks.work_lines import Line, Setup, Work
from rag.core.types import Answer, Citation, Context, Outcome, Query
from rag.evaluate import evaluate_answers
from rag.evaluate.beir import Item, load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.graph.build import build
from rag.graph.load import load_spec
from rag.graph.spec import Node, Part, Spec
from rag.graph.writer import with_writer
from rag.pipeline import Pipeline
from retrievers.index_protocol import Index

SAMPLE = SAMPLES / "clapnq.json"
SEED, REPORT, TUNE = 20260, 50, 20
OVERLAP = ("EM", "F1", "ROUGE-L")
LEASTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)


def draw(items: Sequence[Item]) -> dict[str, list[str]]:
    """qids of the two splits: as many answerable as unanswerable ones in each, none in both."""
    chosen: dict[str, list[str]] = {"report": [], "tune": []}
    for answerable in (True, False):
        qids = sorted(item.qid for item in items if item.answerable is answerable)
        random.Random(f"{SEED}:clapnq:{answerable}").shuffle(qids)
        chosen["report"] += qids[:REPORT]
        chosen["tune"] += qids[REPORT : REPORT + TUNE]
    return {name: sorted(qids, key=lambda qid: (len(qid), qid)) for name, qids in chosen.items()}


def interval(values: Sequence[float]) -> dict[str, float]:
    """The mean of some values, with a 95% bootstrap interval."""
    if not len(values):
        return {"share": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    drawn = np.array(values, dtype=float)
    means = np.random.default_rng(0).choice(drawn, size=(5000, len(drawn))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"share": float(drawn.mean()), "low": float(low), "high": float(high), "n": len(drawn)}


def share(answers: Sequence[Answer], holds: Callable[[Answer], bool]) -> dict[str, float]:
    """How many answers it holds for, as a share with its interval."""
    return interval([float(holds(answer)) for answer in answers])


def cites(by: str) -> Callable[[Answer], bool]:
    return lambda answer: any(citation.by == by for citation in answer.citations)


def gold(items: dict[str, Item], by: str) -> Callable[[Answer], bool]:
    """Whether one of the cited passages is the item's own."""
    return lambda a: any(c.doc_id in items[a.qid].supporting for c in a.citations if c.by == by)


def counted(*names: str) -> Callable[[Answer], bool]:
    return lambda answer: any(answer.outcome.counts.get(name, 0) for name in names)


def changed(spec: Spec, use: str, **params: Any) -> Spec:
    """The graph with these parameters in all nodes of a component; those that are None stay as they are."""
    given = {name: value for name, value in params.items() if value is not None}
    nodes = {
        name: Node.model_validate({**node.model_dump(by_alias=True), "with": {**node.params, **given}})
        if node.use == use
        else node
        for name, node in spec.graph.nodes.items()
    }
    return spec.model_copy(update={"graph": spec.graph.model_copy(update={"nodes": nodes})})


def answer_lines(spec: Spec, index: Index | None, items: Sequence[Item], work: Work, given: Any) -> list[Line]:
    """One line per item, in order: those that are in the file, and those that are asked for now."""
    with Pipeline(build(spec, index=index), index=index) as pipeline:
        method, name = pipeline.graph.node(pipeline.graph.output).use, f"clapnq/{given.split}"
        setup = Setup.of(pipeline.graph, data=[data_folder() / "clapnq"])
        missing = [item for item in items if work.get(method, name, item.qid, setup) is None]
        for start in range(0, len(missing), given.batch):
            for line in asked(pipeline, [item.query for item in missing[start : start + given.batch]]):
                work.add({"method": method, "set": name, **line}, setup)
            print(f"  {method}: {min(start + given.batch, len(missing))} of {len(missing)}", flush=True)
    return [line for item in items if (line := work.get(method, name, item.qid, setup))]


def asked(pipeline: Pipeline, queries: Sequence[Query]) -> Iterator[Line]:
    result = pipeline.run(queries, batch=len(queries))
    if result.failures:
        raise SystemExit(f"cited_answers: {result.failures[0]}")
    yield from (line_of(answer, result.seconds / len(queries)) for answer in result.answers)


def line_of(answer: Answer, seconds: float) -> Line:
    return {
        "qid": answer.qid,
        "question": answer.query.text,
        "text": answer.text,
        "status": answer.status,
        "finish_reason": answer.finish_reason,
        "citations": [[c.marker, c.doc_id, c.start, c.end, c.by, c.similar] for c in answer.citations],
        "passages": [hit.doc_id for hit in answer.context.passages],
        "outcome": answer.outcome.kind,
        "counts": dict(answer.outcome.counts),
        "enough": answer.enough,
        "tokens": [answer.usage.prompt_tokens, answer.usage.new_tokens],
        "seconds": round(seconds, 3),
    }


def answer_of(line: Line) -> Answer:
    """The answer of a line, without its passages."""
    query = Query(qid=line["qid"], text=line["question"])
    names = ("marker", "doc_id", "start", "end", "by", "similar")
    return Answer(
        query=query,
        text=line["text"],
        context=Context(query=query),
        citations=tuple(Citation(**dict(zip(names, each, strict=True))) for each in line["citations"]),
        status=line["status"],
        finish_reason=line["finish_reason"],
        outcome=Outcome(kind=line["outcome"], counts=line["counts"]),
    )


def figures_of(lines: Sequence[Line], items: Mapping[str, Item]) -> dict[str, dict[str, float]]:
    answers = [answer_of(line) for line in lines]
    answered = [a for a in answers if a.status == "answered"]
    answerable = [a for a in answers if items[a.qid].answerable]
    unanswerable = [a for a in answers if not items[a.qid].answerable]
    refused = {
        "refused, answerable": share(answerable, lambda a: a.status == "no_answer"),
        "refused, unanswerable": share(unanswerable, lambda a: a.status == "no_answer"),
    }
    mended = {
        "loops left out": share(answers, counted("loops")),
        "echoes left out": share(answers, counted("echoes")),
        "half sentences left out": share(answers, counted("half_sentences")),
        "cut off at max_tokens": share(answers, lambda a: a.finish_reason == "length"),
        "failed": share(answers, lambda a: a.status == "failed"),
    }
    return (
        {"answered": share(answers, lambda a: a.status == "answered"), **refused, **mended}
        | overlap(answerable, items)
        | (cited(lines, answers, answered, items) if any(line["passages"] for line in lines) else {})
    )


def overlap(answerable: Sequence[Answer], items: Mapping[str, Item]) -> dict[str, dict[str, float]]:
    """Words in common with the reference, of answerable items; a refusal has none."""
    if not answerable:
        return {}
    values = evaluate_answers(answerable, [items[a.qid] for a in answerable], OVERLAP).per_query
    return {f"{name}, answerable": interval(list(values[name].values())) for name in OVERLAP}


def cited(
    lines: Sequence[Line], answers: Sequence[Answer], answered: Sequence[Answer], items: Mapping[str, Item]
) -> dict[str, dict[str, float]]:
    own = [a for a in answered if items[a.qid].answerable]
    read = [float(set(line["passages"]) & set(items[line["qid"]].supporting) != set()) for line in lines]
    found = [value for value, line in zip(read, lines, strict=True) if items[line["qid"]].answerable]
    marks = [c for a in answered for c in a.citations if c.by == "model"]
    return {
        "valid marker by the model, of answered": share(answered, cites("model")),
        "its own passage among them": share(own, gold(items, "model")),
        "the same, of all answerable": share([a for a in answers if items[a.qid].answerable], gold(items, "model")),
        "its own passage was read, answerable": interval(found),
        "markers with similar words": interval([float(c.similar) for c in marks]),
        "attributed, of answered": share(answered, cites("attribution")),
        "markers removed, of answers": share(answers, counted("removed_markers")),
    }


def in_vllm(spec: Spec, model: str) -> Spec:
    """The graph with this model run by vLLM in this process."""
    part = Part.model_validate(writer_part(model))
    models = {name: part for name, own in spec.graph.models.items() if own.params.get("model") == model}
    graph = spec.graph.model_copy(update={"models": {**spec.graph.models, **models}})
    return spec.model_copy(update={"graph": graph})


def curve(lines: Sequence[Line], items: Mapping[str, Item]) -> Iterator[str]:
    """What each `least` declines of answers that were all written, as a Markdown table."""
    yield "| least | refused, unanswerable | refused, answerable | its own passage cited, of all answerable |"
    yield "| ---: | --- | --- | --- |"
    kinds = [[line for line in lines if items[line["qid"]].answerable is kind] for kind in (False, True)]
    for least in LEASTS:
        told = [interval([float(_refused(line, least)) for line in kind]) for kind in kinds]
        cites = gold(dict(items), "model")
        told.append(interval([float(not _refused(line, least) and cites(answer_of(line))) for line in kinds[1]]))
        cells = " | ".join(f"{f['share']:.2f} [{f['low']:.2f}, {f['high']:.2f}]" for f in told)
        yield f"| {least:g} | {cells} |"


def _refused(line: Line, least: float) -> bool:
    return line["status"] == "no_answer" or (line["enough"] is not None and line["enough"] < least)


def shown(name: str, lines: Sequence[Line], figures: Mapping[str, Mapping[str, float]]) -> None:
    print(f"{name}: {len(lines)} items")
    for what, f in figures.items():
        print(f"  {what:<42} {f['share']:.3f} [{f['low']:.3f}, {f['high']:.3f}] of {f['n']:.0f}")
    counts = Counter[str]()
    for line in lines:
        counts.update(line["counts"])
    read, written = (sum(line["tokens"][side] for line in lines) / max(len(lines), 1) for side in (0, 1))
    print(
        f"  {dict(counts)}; an item takes {cost_cells(lines, 'seconds')} s, reads {read:.0f} tokens and writes {written:.0f}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--limit", type=int, help="only the first N items, as many answerable as not")
    arguments.add_argument("--split", choices=("report", "tune"), default="report")
    arguments.add_argument("--graph", default="ask")
    arguments.add_argument("--prompt", help="of the generator, in place of the graph's")
    arguments.add_argument("--model", help="that writes, in place of the graph's")
    arguments.add_argument("--vllm", action="store_true", help="run the model in vLLM")
    arguments.add_argument("--passages", type=int, help="most passages, in place of the graph's")
    arguments.add_argument("--markers", choices=("auto", "form", "free"))
    arguments.add_argument("--enough", help="prompt by which the model first says whether the passages are enough")
    arguments.add_argument("--least", type=float, help="log-odds of Yes from which on they are")
    arguments.add_argument("--curve", action="store_true", help="print what every `least` would have declined")
    arguments.add_argument("--closed-book", action="store_true", help="also ask the answerable ones without passages")
    arguments.add_argument("--batch", type=int, default=20)
    arguments.add_argument("--work", type=Path, default=Path("runs/cited_answers.jsonl"), help="where answers are kept")
    arguments.add_argument("--record", action=Record, help="append to results/cited_answers.jsonl")
    given = arguments.parse_args()
    if given.vllm and not given.model:
        arguments.error("--vllm: give --model NAME, the model that vLLM runs")
    dataset = load_beir(data_folder() / "clapnq")
    items = {item.qid: item for item in dataset.items()}
    if not SAMPLE.exists():
        drawn = {"set": "clapnq", "seed": f"{SEED}:clapnq", **draw(list(items.values()))}
        SAMPLE.write_text(json.dumps(drawn, indent=1) + "\n", encoding="utf-8")
    qids = json.loads(SAMPLE.read_text(encoding="utf-8"))[given.split]
    if given.limit:
        yes = [qid for qid in qids if items[qid].answerable]
        no = [qid for qid in qids if not items[qid].answerable]
        qids = [qid for pair in zip(yes, no, strict=True) for qid in pair][: given.limit]
    spec = with_writer(load_spec(given.graph), model=given.model)
    spec = changed(spec, "assemble.token_budget", max_passages=given.passages)
    written = {"prompt": given.prompt, "markers": given.markers, "enough": given.enough, "least": given.least}
    spec = changed(spec, "generate.cited", **written)
    index = cached_index(dataset, spec.graph, spec.graph.index)
    asked_for = {f"graph {given.graph}": (spec, index)}
    if given.closed_book:
        asked_for["closed book"] = (with_writer(load_spec("closed-book"), model=given.model), None)
    for name, (spec, over) in asked_for.items():
        graph = in_vllm(spec, given.model) if given.vllm else spec
        wanted = [items[qid] for qid in qids if over or items[qid].answerable]
        lines = answer_lines(graph, over, wanted, Work(given.work), given)
        figures = figures_of(lines, items)
        shown(f"clapnq, {given.split}, {name}, {given.model or 'its own model'}", lines, figures)
        if given.curve and over:
            print(*curve(lines, items), sep="\n")
        if given.record:
            made = {name: lines[0][name] for name in ("settings", "digests")}
            told = {"split": given.split, "graph": name, **made, "model": given.model}
            asked_with = {name: getattr(given, name) for name in ("prompt", "passages", "markers", "enough", "least")}
            record("cited_answers", {**told, **asked_with, "n": len(lines), "figures": figures})


if __name__ == "__main__":
    main()
