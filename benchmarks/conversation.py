"""A follow-up question in a conversation: as it came, rewritten to stand alone, both fused, and with the history before it.

    raw        the follow-up alone
    appended   all turns before it and the follow-up as one query; no model
    rewritten  what `reformulate.conversation` writes, alone
    fused      the follow-up and what was written, fused, as the built-in `chat` does it
    resolved   the follow-up with what its pronoun stands for put in: the line above

The conversations are made, since no set at hand has any: out of the steps of musique-100. A step that refers to the answer of
the step before it, and to no other, is the follow-up: a pronoun stands where it refers. The turns before it are the steps
before, each with its answer. Steps that are a relation ("Brand >> author") are put into one of two wordings, drawn with a
seed. What is right is the passage that the step rests on, so the questions and passages are real, and the pronouns are not.

nDCG@10 and R@10 over the search of `hybrid`, by paired randomisation against `raw`, and p corrected over the ways (Holm).
Every follow-up is a line of a work file, so a run that was stopped goes on where it was. The model runs in vLLM, so this wants
its Python; `--engine llama_cpp` runs it without.

    RAGLINE_EVAL_DATA=... python -m benchmarks.conversation [WAY ...] [--n N] [--model NAME]
    python -m benchmarks.conversation --table
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.graphs import ENGINES, hybrid_nodes, llm_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, costs, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Line, Setup, Work
from rag.core.types import Message, Query, Ranking
from rag.evaluate.beir import load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.evaluate.measures import evaluate
from rag.evaluate.significance import holm, paired_randomisation
from rag.graph.load import load_spec
from rag.pipeline import load_pipeline

WORK = RESULTS / "conversation.jsonl"
SET = "musique-100"
MODEL = "qwen2.5-coder-1.5b-instruct"
SEED = 20265
TOGETHER = 16
WAYS = ("raw", "appended", "rewritten", "fused", "resolved")
MEASURES = ("nDCG@10", "R@10")

_REFERENCE = re.compile(r"#(\d+)(\s*'s\b)?")
_PERSON = re.compile(
    r"\bwhom?\b|(?:performer|composer|author|producer|father|mother|spouse|director|creator)\b", re.IGNORECASE
)
_WORDINGS = ("What is the {relation} of {thing}?", "Tell me the {relation} of {thing}.")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A follow-up: the turns before it, the same with its pronoun resolved, and the passage that it rests on."""

    qid: str
    history: tuple[Message, ...]
    text: str
    resolved: str
    doc_id: str


def turns() -> list[Turn]:
    """All follow-ups, in the order of the set. The same every time."""
    return [turn for item in records(f"{SET}/qa") for turn in _of(item)]


def _of(item: Mapping[str, Any]) -> Iterator[Turn]:
    steps: Sequence[Mapping[str, str]] = item["decomposition"]
    questions = [_worded(step["question"], f"{item['id']} {place}") for place, step in enumerate(steps)]
    answers = [step["answer"] for step in steps]
    whole = [_filled(question, answers) for question in questions]
    for place in range(1, len(steps)):
        if {int(number) for number, _ in _REFERENCE.findall(questions[place])} != {place}:
            continue  # it refers to nothing, or to more than the answer just given
        history = [
            message
            for before in range(place)
            for message in (
                Message(role="user", content=whole[before]),
                Message(role="assistant", content=answers[before]),
            )
        ]
        yield Turn(
            qid=f"{item['id']}-{place + 1}",
            history=tuple(history),
            text=_with_pronoun(questions[place], person=bool(_PERSON.search(questions[place - 1]))),
            resolved=whole[place],
            doc_id=steps[place]["context_id"],
        )


def _worded(question: str, seed: str) -> str:
    """A step as a question; one that is a relation gets words."""
    thing, arrow, relation = question.partition(" >> ")
    if not arrow:
        return question
    return random.Random(f"{SEED}:{seed}").choice(_WORDINGS).format(relation=relation.strip(), thing=thing.strip())


def _filled(question: str, answers: Sequence[str]) -> str:
    return _REFERENCE.sub(lambda found: answers[int(found[1]) - 1] + ("'s" if found[2] else ""), question)


def _with_pronoun(question: str, *, person: bool) -> str:
    bare, own = ("that person", "that person's") if person else ("it", "its")
    return _REFERENCE.sub(lambda found: own if found[2] else bare, question)


def query(way: str, turn: Turn) -> Query:
    """What a way is asked."""
    if way == "resolved":
        return Query(qid=turn.qid, text=turn.resolved)
    if way == "appended":
        return Query(qid=turn.qid, text=" ".join([*(message.content for message in turn.history), turn.text]))
    return Query(qid=turn.qid, text=turn.text, history=turn.history if way in ("rewritten", "fused") else ())


def graph(way: str, model: str, engine: str) -> dict[str, Any]:
    """The graph of a way."""
    nodes, made = hybrid_nodes(100), dict[str, Any](version=1, output="fused")
    if way in ("rewritten", "fused"):
        made["models"] = {"writer": llm_part(model, engine)}
        # The pronoun is known to be there, so no question is left alone for looking as if it stood alone.
        params = {"llm": "writer", "keep_original": way == "fused", "skip_self_contained": False}
        asked = {"asked": {"use": "reformulate.conversation", "with": params}}
        nodes = {**asked, **{name: {**node, "in": node.get("in", "asked")} for name, node in nodes.items()}}
    return {**made, "nodes": nodes}


def search_all(way: str, asked: Sequence[Turn], work: Work, *, model: str, engine: str) -> None:
    """Search what has no line yet."""
    spec = load_spec(graph(way, model, engine)).graph
    index = cached_index(load_beir(data_folder() / SET), load_spec("hybrid").graph, spec.index)
    with load_pipeline(spec, index=index) as pipeline:
        setup = Setup.of(pipeline.graph, data=[data_folder() / SET])
        missing = [turn for turn in asked if work.get(way, SET, turn.qid, setup) is None]
        for start in range(0, len(missing), TOGETHER):
            some = missing[start : start + TOGETHER]
            result = pipeline.run([query(way, turn) for turn in some], k=100)
            if result.failures:
                raise SystemExit(f"conversation: {result.failures[0]}")
            usages = [report.usage for report in result.nodes if report.name == "asked"]
            cost = costs(usages, result.seconds, len(some))
            for turn, ranking in zip(some, result.rankings, strict=True):
                work.add(line_of(way, turn, ranking) | cost, setup)
            print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)
        pipeline.release()


def line_of(way: str, turn: Turn, ranking: Ranking) -> Line:
    """A follow-up's line."""
    found = evaluate([ranking], {turn.qid: {turn.doc_id: 1}}, MEASURES)
    return {
        "method": way,
        "set": SET,
        "qid": turn.qid,
        "asked": turn.text,
        "searched": ranking.query.text,
        **{measure: found.measures[measure] for measure in MEASURES},
    }


def table(work: Work) -> Iterator[str]:
    """Markdown: a line a way, with 95% intervals and the paired differences of nDCG@10 to `raw` and to two others."""
    yield "| way | n | nDCG@10 | R@10 | nDCG@10 to raw [95%] | p | to appended | to rewritten | calls | tokens |"
    yield "| --- | ---: | --- | --- | --- | ---: | --- | --- | ---: | ---: |"
    raw = {line["qid"]: line for line in work.latest("raw", SET)}
    ways = {way: lines for way in WAYS if (lines := work.latest(way, SET))}
    tests = {}
    for way, lines in ways.items():
        shared = [line for line in lines if line["qid"] in raw]
        if way not in ("raw", "resolved") and shared:
            mine, others = (
                [each[MEASURES[0]] for each in side] for side in (shared, [raw[line["qid"]] for line in shared])
            )
            tests[way] = paired_randomisation(mine, others)
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    for way, lines in ways.items():
        beside = " | "
        if way in tests:
            test = tests[way]
            beside = f"{test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}] | {corrected[way]:.4f}"
        others = " | ".join(_difference(lines, ways.get(other, ())) for other in ("appended", "rewritten"))
        means = " | ".join(mean_cell([line[measure] for line in lines], digits=3) for measure in MEASURES)
        yield f"| {way} | {len(lines)} | {means} | {beside} | {others} | {cost_cells(lines, 'calls', 'tokens')} |"


def _difference(lines: Sequence[Line], others: Sequence[Line]) -> str:
    """Of the follow-ups that both have; empty beside itself."""
    known = {line["qid"]: line[MEASURES[0]] for line in others}
    shared = [line for line in lines if line["qid"] in known and lines is not others]
    return difference_cell([line[MEASURES[0]] for line in shared], [known[line["qid"]] for line in shared], digits=3)


def main() -> None:
    """Search what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="follow-ups, at most")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, asked = Work(options.work, busy=options.busy), [] if options.table else turns()[: options.n]
    for way in () if options.table else options.ways:
        search_all(way, asked, work, model=options.model, engine=options.engine)
    print(*table(work), sep="\n")


if __name__ == "__main__":
    main()
