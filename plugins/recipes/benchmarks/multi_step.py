"""Questions that take several steps: follow-up questions, chains and strides, beside plain retrieval and the closed book.

    closed-book  `generate.closed_book`
    plain        hybrid search, the first three passages, `generate.cited`
    follow-up    `generate.follow_up` in two rounds of two questions, each answered as `plain` answers
    chain        `generate.chain` in at most four steps, each answered from the same passages in a few words
    stride       `generate.stride`: its three passages are exchanged after every sixteen tokens
    once         the same with the passages of its first search alone

One writer answers in every way.

Right is: the option (medqa, over medquad and openstax-medical) or the verdict (pubmedqa) that the answer names, or a reference
answer in it (hotpotqa-100, musique-100). An answer that names none is wrong, and counted as unread. Every answer is one
line in a work file, so a run that was stopped goes on where it was. Models run in vLLM, so this wants its Python.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.multi_step [WAY ...] [--sets SET ...] [--n 100] [--model NAME]
    python -m plugins.recipes.benchmarks.multi_step --table
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.graphs import hybrid_nodes, plain_nodes, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, costs, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Line, Setup, Work
from rag import Answer, Query
from rag.evaluate import cached_index, holds, load_beir, words_of
from rag.files import records as records_of
from rag.graph.build import build
from rag.graphs import Made, Pipeline, RunResult, Spec, load_spec
from rag.indexes import Index

WORK = RESULTS / "multi_step.jsonl"
SEED = 20262
TOGETHER = 16
MODEL, WRITER = "qwen2.5-coder-1.5b-instruct", "models.writer"
CORPORA = Path("runs/multi_step")
ALTERNATIVES = {"pubmedqa": {"yes": "yes", "no": "no", "maybe": "maybe"}}
_LETTER = re.compile(r"(?:^|\b(?:option|answer is|choose)\s*:?\s*|\()([A-D])(?=[).:,]|\s*$)", re.IGNORECASE)

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Set:
    """Questions and the sets whose passages are searched. `told`: what the writer is told of the form of an answer."""

    name: str
    corpora: tuple[str, ...]
    told: Callable[[Item], str]

    def items(self, n: int) -> list[Item]:
        """The first n of a fixed random order."""
        items = records(f"{self.name}/qa")
        random.Random(f"{SEED}:{self.name}").shuffle(items)
        return items[:n]

    def folder(self) -> Path:
        """A BEIR folder with all passages; ids of several sets are kept apart."""
        if len(self.corpora) == 1:
            return data_folder() / self.corpora[0]
        folder = CORPORA / self.name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "corpus.jsonl").open("w", encoding="utf-8") as out:
            for name in self.corpora:
                for _, record in records_of(data_folder() / name / "corpus.jsonl.gz"):
                    line = {"_id": f"{name}/{record['_id']}", "title": record.get("title", ""), "text": record["text"]}
                    out.write(json.dumps(line) + "\n")
        return folder


def _options(item: Item) -> str:
    listed = "\n".join(f"{letter}. {text}" for letter, text in item["options"].items())
    return f"\n{listed}\nName the letter of the right option."


SETS = {
    one.name: one
    for one in (
        Set(name="medqa", corpora=("medquad", "openstax-medical"), told=_options),
        Set(name="pubmedqa", corpora=("pubmedqa",), told=lambda item: " Answer yes, no or maybe."),
        Set(name="hotpotqa-100", corpora=("hotpotqa-100",), told=lambda item: ""),
        Set(name="musique-100", corpora=("musique-100",), told=lambda item: ""),
    )
}


def graph(way: str, model: str) -> dict[str, Any]:
    """The graph of a way."""
    plain = plain_nodes()
    follow_up = {
        "answer": {
            "use": "generate.follow_up",
            "with": {"llm": "writer", "answers": "one", "rounds": 2, "questions": 2, "max_tokens": 96},
        }
    }
    chain = {
        "answer": {
            "use": "generate.chain",
            "with": {"llm": "writer", "answers": "one", "steps": 4, "max_tokens": 96},
        }
    }
    short = {**plain["answer"]["with"], "prompt": "answer_short", "max_tokens": 32}
    step = {**plain, "answer": {**plain["answer"], "with": short}}
    closed = {"answer": {"use": "generate.closed_book", "with": {"llm": "writer", "max_tokens": 96}}}
    growing = {"llm": "writer", "inner": "one", "passages": 3, "max_tokens": 96, "stride": STRIDES.get(way)}
    stride = {"answer": {"use": "generate.stride", "with": growing}}
    nodes = {"closed-book": closed, "plain": plain, "follow-up": follow_up, "chain": chain}.get(way, stride)
    asked = {"follow-up": plain, "chain": step, **dict.fromkeys(STRIDES, hybrid_nodes(10))}.get(way)
    inner = {"graphs": {"one": {"nodes": asked, "output": [*asked][-1]}}} if asked else {}
    return {"version": 1, "models": {"writer": writer_part(model)}, **inner, "nodes": nodes, "output": "answer"}


STRIDES = {"stride": 16, "once": 96}
"""Tokens between two searches; as many as an answer has: one search."""
WAYS = ("closed-book", "plain", "follow-up", "chain", *STRIDES)


def chosen(text: str, options: Mapping[str, str]) -> str | None:
    """The option that a text names: by its words where it has those of one alone, else by the first letter that stands as one."""
    named = [letter for letter, option in options.items() if holds(text, option)]
    if len(named) == 1:
        return named[0]
    found = _LETTER.search(text.strip())
    return found.group(1).upper() if found else None


def judged(item: Item, name: str, answer: Answer) -> tuple[bool, bool]:
    """Whether an answer is right, and whether it could be read."""
    text = words_of(answer)
    options = item.get("options") or ALTERNATIVES.get(name)
    if options is None:
        return any(holds(text, each) for each in item["answers"]), bool(text)
    told = chosen(text, options)
    return told is not None and told == item.get("answer", item["answers"][0]), told is not None


def answer_all(
    one: Set, ways: Sequence[str], items: Sequence[Item], work: Work, model: str, kept: dict[str, Made]
) -> None:
    """Answer what has no line yet. `kept`: the model, for the graphs to come: an engine is started once for all."""
    queries = {item["id"]: Query(qid=item["id"], text=item["question"] + one.told(item)) for item in items}
    for way in ways:
        spec = load_spec(graph(way, model))
        index = _index(one, spec)
        with Pipeline(build(spec, index=index, kept=kept), index=index) as pipeline:
            kept[WRITER] = pipeline.graph.facts[WRITER]
            setup = Setup.of(pipeline.graph, data=[data_folder() / name for name in {one.name, *one.corpora}])
            missing = [item for item in items if work.get(way, one.name, item["id"], setup) is None]
            for start in range(0, len(missing), TOGETHER):
                some = missing[start : start + TOGETHER]
                result = pipeline.run([queries[item["id"]] for item in some])
                if result.failures:
                    raise SystemExit(f"multi_step: {result.failures[0]}")
                for item, line in zip(some, _lines(one, way, some, result), strict=True):
                    work.add(line, setup)
                    print(f"{one.name} {way} {line['right']} {item['id']} {line['text'][:70]!r}", flush=True)


def _index(one: Set, spec: Spec) -> Index | None:
    if not spec.graph.graphs and "bm25" not in spec.graph.nodes:
        return None
    return cached_index(load_beir(one.folder()), spec.graph, spec.graph.index)


def _lines(one: Set, way: str, items: Sequence[Item], result: RunResult) -> Iterator[Line]:
    cost = costs([report.usage for report in result.nodes], result.seconds, len(items))
    for item, answer in zip(items, result.answers, strict=True):
        right, read = judged(item, one.name, answer)
        yield {
            "method": way,
            "set": one.name,
            "qid": item["id"],
            "right": right,
            "read": read,
            "status": answer.status,
            "text": answer.text,
            "cited": [citation.doc_id for citation in answer.citations],
            **cost,
        }


def table(work: Work) -> Iterator[str]:
    """Markdown: shares of right answers with 95% intervals, the difference to `plain`, and the cost."""
    yield "| set | way | n | right | to plain [95%] | refused | unread | calls | tokens | s |"
    yield "| --- | --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for name in SETS:
        plain = {line["qid"]: line for line in work.latest("plain", name)}
        for way in WAYS:
            lines = work.latest(way, name)
            if not lines:
                continue
            shared = [line for line in lines if line["qid"] in plain and way != "plain"]
            beside = difference_cell(
                [float(line["right"]) for line in shared], [float(plain[line["qid"]]["right"]) for line in shared]
            )
            refused = fmean(line["status"] != "answered" for line in lines)
            unread = fmean(not line["read"] and line["status"] == "answered" for line in lines)
            yield (
                f"| {name} | {way} | {len(lines)} | {mean_cell([float(line['right']) for line in lines])} | {beside} "
                f"| {refused:.2f} | {unread:.2f} | {cost_cells(lines, 'calls', 'tokens', 'seconds')} |"
            )


def main() -> None:
    """Answer what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--n", type=int, default=100, help="questions of each set")
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work = Work(options.work, busy=options.busy)
    kept: dict[str, Made] = {}
    for name in () if options.table else options.sets:
        answer_all(SETS[name], options.ways, SETS[name].items(options.n), work, options.model, kept)
    print(*table(work), sep="\n")


if __name__ == "__main__":
    main()
