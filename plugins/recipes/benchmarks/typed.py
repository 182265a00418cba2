"""Answers of the four types of BioASQ, and yes, no or maybe on PubMedQA, by `generate.typed`.

bioasq-snippets has no answers. So what is checked is the form: what the track would take. The content is printed as not
scored, but for one thing: whether the model names the type of the question right, which the set does hold.

    form       the exact answer by the question's own type and a summary, from five passages of hybrid search
    auto       the same with the type named by the model
    rules      no model and no answer: whether rules name the type right, of every other question, the others having been read
               while the rules were written

pubmedqa, 1,000 questions with the abstract that they were made from:

    majority   the most frequent answer of the questions that are not asked
    zero       from the question's own abstract, without shots
    two        with the two shots of yes_no that come with ragline
    ten        with ten shots from questions that are not asked, in a file
    found      the same from three passages of hybrid search over all abstracts

Every result is a line in a work file. The model runs in vLLM, so this wants its Python.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.typed [WAY ...] [--n 100] [--model NAME]
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from benchmarks.graphs import hybrid_nodes, writer, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from rag import Answer, Context, Document, Query, ScoredDocument, load_pipeline
from rag.evaluate import cached_index, load_beir
from rag.graphs import load_spec
from rag.writing import first_words, in_one_line
from ragline_recipes.question_type import kind_of
from ragline_recipes.typed import LONGEST_ENTRY, MOST_ENTRIES, MOST_WORDS, TypedGenerator, entries_of

WORK = RESULTS / "typed.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
SEED, TOGETHER, SHOTS = 20268, 16, 10
FORMS, ACCURACY = ("form", "auto"), ("majority", "zero", "two", "ten", "found")
WAYS = (*FORMS, "rules", *ACCURACY)
KINDS: Mapping[str, Literal["yes_no", "factoid", "list", "summary"]] = {
    "yesno": "yes_no",
    "factoid": "factoid",
    "list": "list",
    "summary": "summary",
}
"""The track's name of a type -> ours."""

CHOICES = ("yes", "no", "maybe")
SHOTS_FILE = Path("runs/typed/shots.yaml")
Item = dict[str, Any]


def shuffled(name: str) -> list[Item]:
    """All questions of a set in a fixed random order."""
    items = records(f"{name}/qa")
    random.Random(f"{SEED}:{name}").shuffle(items)
    return items


def track_form(item: Item, exact: Answer, ideal: Answer) -> dict[str, Any]:
    """A question's answers as the track takes them. An exact answer that was declined is an empty list."""
    form: dict[str, Any] = {"id": item["id"], "type": item["type"], "ideal_answer": ideal.text}
    if item["type"] == "yesno":
        form["exact_answer"] = exact.text
    elif item["type"] != "summary":
        form["exact_answer"] = [[entry] for entry in entries_of(exact)]
    return form


def problems(form: Mapping[str, Any]) -> Iterator[str]:
    """What the track would not take of a question's answers."""
    words = len(form["ideal_answer"].split())
    if not 1 <= words <= MOST_WORDS:
        yield f"ideal answer of {words} words"
    exact, kind = form.get("exact_answer"), KINDS[form["type"]]
    if kind == "yes_no" and exact not in ("yes", "no"):
        yield "neither yes nor no"
    if kind in MOST_ENTRIES:
        if not isinstance(exact, list) or not 1 <= len(exact) <= MOST_ENTRIES[kind]:
            yield "no entry, or too many"
        elif not all(len(names) >= 1 and all(1 <= len(name) <= LONGEST_ENTRY for name in names) for names in exact):
            yield "an entry that is empty or too long"


def contexts(name: str, items: Sequence[Item], k: int) -> list[Context]:
    """The first k passages of hybrid search for each question."""
    spec = load_spec({"version": 1, "nodes": hybrid_nodes(k), "output": "fused"})
    index = cached_index(load_beir(data_folder() / name), spec.graph, spec.graph.index)
    with load_pipeline(spec.graph, index=index) as pipeline:
        result = pipeline.run([Query(qid=item["id"], text=item["question"]) for item in items], k=k)
        return [Context(query=ranking.query, passages=ranking.hits) for ranking in result.rankings]


def own_abstract(item: Item, texts: Mapping[str, str]) -> Context:
    """The question with the abstract that it was made from."""
    document = Document(doc_id=item["id"], text=texts[item["id"]])
    hits = (ScoredDocument(document=document, score=1.0),)
    return Context(query=Query(qid=item["id"], text=item["question"]), passages=hits)


@cache
def texts_of(name: str) -> Mapping[str, str]:
    return {each["_id"]: each["text"] for each in records(f"{name}/corpus")}


@cache
def write_shots(n: int) -> Path:
    """A file of yes_no shots from questions that are not among the first n."""
    import yaml

    texts = texts_of("pubmedqa")
    shots = [
        {
            "kind": "yes_no",
            "question": item["question"],
            "passages": f"[1] {in_one_line(first_words(texts[item['id']], 120))}",
            "reply": item["answers"][0],
        }
        for item in shuffled("pubmedqa")[n:][:SHOTS]
    ]
    SHOTS_FILE.parent.mkdir(parents=True, exist_ok=True)
    SHOTS_FILE.write_text(yaml.safe_dump({"shots": shots}, allow_unicode=True, width=10_000), encoding="utf-8")
    return SHOTS_FILE


def classifier(way: str, n: int, model: str) -> Component:
    """What answers the first n questions of PubMedQA."""
    shots = {"zero": None, "two": "typed"}[way] if way in ("zero", "two") else write_shots(n)
    llm = writer_part(model)
    return Component(TypedGenerator, llm=llm, kind="yes_no", choices=CHOICES, shots=shots, max_words=300)


@cache
def setup_of(way: str, n: int, model: str) -> Setup:
    """What the lines of a way are made with, n questions asked."""
    data = [data_folder() / ("pubmedqa" if way in ACCURACY else "bioasq-snippets")]
    if way == "rules":
        return Setup.of(kind_of, data=data, settings="no model, every other question")
    if way == "majority":
        return Setup.of(data=data, settings=f"no model, {n} left out")
    if way in ACCURACY:
        return Setup.of(classifier(way, n, model), *([hybrid_nodes(3)] if way == "found" else []), data=data)
    kinds = ("auto", "summary") if way == "auto" else KINDS.values()
    made = [Component(TypedGenerator, llm=writer_part(model), kind=kind) for kind in kinds]
    return Setup.of(*made, hybrid_nodes(5), data=data)


def forms(ways: Sequence[str], n: int, work: Work, model: str, llm: Any) -> None:
    """Answer the questions of the track that have no line yet, and check the form."""
    items = shuffled("bioasq-snippets")[:n]
    given = {each.qid: each for each in contexts("bioasq-snippets", items, 5)}
    for way in ways:
        setup = setup_of(way, n, model)
        missing = [item for item in items if work.get(way, "bioasq-snippets", item["id"], setup) is None]
        for start in range(0, len(missing), TOGETHER):
            some = missing[start : start + TOGETHER]
            asked = [given[item["id"]] for item in some]
            ideal = TypedGenerator(llm=llm, kind="summary").generate(asked)
            for item, exact, summary in zip(some, exact_answers(way, llm, some, asked), ideal, strict=True):
                work.add(form_line(way, item, exact, summary), setup)
            print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)


def exact_answers(way: str, llm: Any, items: Sequence[Item], asked: Sequence[Context]) -> list[Answer]:
    """An answer to each by the type that the set or the model names."""
    if way == "auto":
        return TypedGenerator(llm=llm, kind="auto").generate(asked)
    answers: dict[str, Answer] = {}
    for kind in KINDS:
        some = [each for item, each in zip(items, asked, strict=True) if item["type"] == kind]
        answers |= {answer.qid: answer for answer in TypedGenerator(llm=llm, kind=KINDS[kind]).generate(some)}
    return [answers[item["id"]] for item in items]


def by_rules(work: Work, n: int, model: str) -> list[Line]:
    """Whether rules name the type of a question right, of those that were not looked at."""
    setup, name = setup_of("rules", n, model), "bioasq-snippets"
    for item in sorted(records(f"{name}/qa"), key=lambda item: str(item["id"]))[1::2]:
        if work.get("rules", name, item["id"], setup) is None:
            right = kind_of(item["question"]) == KINDS[item["type"]]
            told = {"type": item["type"], "kind_right": right, "calls": 0, "tokens": 0, "seconds": 0.0}
            work.add({"method": "rules", "set": name, "qid": item["id"], **told}, setup)
    return work.of("rules", name, setup)


def form_line(way: str, item: Item, exact: Answer, ideal: Answer) -> Line:
    form, counts = track_form(item, exact, ideal), exact.outcome.counts
    cost = exact.usage + ideal.usage
    return {
        "method": way,
        "set": "bioasq-snippets",
        "qid": item["id"],
        "type": item["type"],
        "kind_right": KINDS[item["type"]] in counts,
        "status": exact.status,
        "problems": list(problems(form)),
        "form": form,
        "dropped": sum(counts.get(name, 0) for name in ("repeated", "too_long", "too_many")),
        "unread": counts.get("unread", 0),
        "calls": cost.calls,
        "tokens": cost.prompt_tokens + cost.new_tokens,
        "seconds": round(cost.seconds, 3),
    }


def accuracy(ways: Sequence[str], n: int, work: Work, model: str, llm: Any) -> None:
    """Answer the questions of PubMedQA that have no line yet."""
    everything = shuffled("pubmedqa")
    items, others = everything[:n], everything[n:]
    most = Counter(item["answers"][0] for item in others).most_common(1)[0][0]
    for way in ways:
        setup = setup_of(way, n, model)
        missing = [item for item in items if work.get(way, "pubmedqa", item["id"], setup) is None]
        if not missing:
            continue
        if way == "majority":
            for item in missing:
                work.add(line_of(way, item, most, calls=0, tokens=0, seconds=0.0), setup)
            continue
        own = [own_abstract(item, texts_of("pubmedqa")) for item in missing]
        asked = contexts("pubmedqa", missing, 3) if way == "found" else own
        generator = classifier(way, n, model).make(llm=llm)
        for start in range(0, len(missing), TOGETHER):
            for item, answer in zip(
                missing[start : start + TOGETHER], generator.generate(asked[start : start + TOGETHER]), strict=True
            ):
                cost = answer.usage
                told = {"calls": cost.calls, "tokens": cost.prompt_tokens, "seconds": round(cost.seconds, 3)}
                work.add(line_of(way, item, answer.text, **told), setup)
            print(f"{way}: {min(start + TOGETHER, len(missing))} of {len(missing)}", flush=True)


def line_of(way: str, item: Item, told: str, **cost: float) -> Line:
    line = {"method": way, "set": "pubmedqa", "qid": item["id"]}
    return {**line, "told": told, "right": told == item["answers"][0], **cost}


def form_table(work: Work, n: int, model: str) -> Iterator[str]:
    """Markdown: what the track would take, by type. The content is not scored."""
    yield "| way | type | n | in form | declined or failed | dropped entries | unread | type named right | calls | tokens | s |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    items = shuffled("bioasq-snippets")[:n]
    for way in FORMS:
        for kind in KINDS:
            lines = [
                line
                for item in items
                if item["type"] == kind
                and (line := work.get(way, "bioasq-snippets", item["id"], setup_of(way, n, model)))
            ]
            if lines:
                right = f"{fmean(line['kind_right'] for line in lines):.2f}" if way == "auto" else ""
                costs = cost_cells(lines, "calls", "tokens", "seconds")
                yield (
                    f"| {way} | {kind} | {len(lines)} | {fmean(not line['problems'] for line in lines):.2f} "
                    f"| {sum(line['status'] != 'answered' for line in lines)} | {sum(x['dropped'] for x in lines)} "
                    f"| {sum(line['unread'] for line in lines)} | {right} | {costs} |"
                )
    yield "\nThe content of these answers is not scored: the set has no answers."


def accuracy_table(work: Work, n: int, model: str) -> Iterator[str]:
    """Markdown: accuracy with 95% intervals, the difference to `majority`, what was said, and the cost of a question."""
    yield "| way | n | accuracy | to majority [95%] | said yes, no, maybe | calls | tokens | s |"
    yield "| --- | ---: | --- | --- | --- | ---: | ---: | ---: |"
    items = shuffled("pubmedqa")[:n]
    base = {line["qid"]: line for line in work.of("majority", "pubmedqa", setup_of("majority", n, model))}
    for way in ACCURACY:
        lines = [line for item in items if (line := work.get(way, "pubmedqa", item["id"], setup_of(way, n, model)))]
        if not lines:
            continue
        shared = [line for line in lines if line["qid"] in base and way != "majority"]
        beside = difference_cell([float(x["right"]) for x in shared], [float(base[x["qid"]]["right"]) for x in shared])
        said = ", ".join(str(sum(line["told"] == choice for line in lines)) for choice in CHOICES)
        costs = cost_cells(lines, "calls", "tokens", "seconds", digits=2)
        yield (
            f"| {way} | {len(lines)} | {mean_cell([float(line['right']) for line in lines])} | {beside} | {said} "
            f"| {costs} |"
        )


def main() -> None:
    """Answer what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="questions of each set")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    work, ways = Work(options.work, busy=options.busy), options.ways
    llm = writer(options.model) if set(ways) - {"majority", "rules"} else None
    if "rules" in ways:
        lines = by_rules(work, options.n, options.model)
        for kind in ("", *KINDS):
            some = [float(line["kind_right"]) for line in lines if kind in ("", line["type"])]
            print(f"rules name the type of {kind or 'all'} right: {mean_cell(some)} of {len(some)}")
    if checked := [way for way in ways if way in FORMS]:
        forms(checked, options.n, work, options.model, llm)
    if asked := [way for way in ways if way in ACCURACY]:
        accuracy(asked, options.n, work, options.model, llm)
    if llm is not None:
        llm.release()
    print(*form_table(work, options.n, options.model), "", *accuracy_table(work, options.n, options.model), sep="\n")


if __name__ == "__main__":
    main()
