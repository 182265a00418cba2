"""Filters read from questions: how often one is read where none is meant, which are read where one is, and what that is worth.

Five sets whose documents have fields. Rules were chosen on the first two, and are told on the others:

    cacm       authors and years, from the last lines of each text; articles of 1958 to 1979
    medquad    sources: nine sites of health
    forecast   dates and outlets: news of 2025 and 2026
    versions   programs, versions and dates of release
    openstax-medical   books

    judged     the set's own questions over its own index: which are read as a filter, and nDCG@10 with it and without
    others     questions of other sets, asked of this index: how many are read as a filter; none is meant
    made       questions made by a seeded script: a judged question, and an author, a source, a year or such of a document that
               answers it, in one of some wordings. Relevant is what the judgements say, and passes the filter that was meant.
               `right` of what is read is a filter that passes the same documents; plain is the same words without filters

`asked` questions, `read` filters and `dropped` ones: those that no document passes. nDCG@10 is of BM25, and with `--hybrid` of
words and vectors as the graph `hybrid-filtered` fuses them; differences by paired randomisation, p of one test.
With `--model` the filters are read by a model (`by: model`) of the first questions of each set.

Needs the folder that RAGLINE_EVAL_DATA names.

    python -m plugins.recipes.benchmarks.filters_read [SET ...] [--limit N] [--hybrid] [--model NAME] [--record]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.graphs import llm_part
from benchmarks.make_samples import data_folder, records, take_sets
from benchmarks.record import Record, for_folder, record
from rag import build_index, load_pipeline
from rag.evaluate import compare_runs, evaluate, load_beir
from rag.filters import Filter, both, parse_where
from rag.indexes import Index
from rag.types import Query, Ranking

CHOSEN_ON = ("cacm", "medquad")
TOLD_ON = ("forecast", "versions", "openstax-medical")
OTHERS = {
    "chosen": (
        *(
            "cranfield/queries",
            "scifact/queries",
            "clapnq/queries",
            "time/queries",
            "hotpotqa-100/queries",
            "nq-open/qa",
        ),
        *("musique-100/queries", "cacm/queries", "medquad/queries"),
    ),
    "told": (
        *("forecast/questions", "pubmedqa/queries", "xquad/en/queries", "xquad/de/queries", "toollens/queries"),
        *("cosqa/queries", "codebase-chunks/queries", "ramdocs/qa", "bioasq-snippets/queries", "docs-manpages/queries"),
        *("openstax-medical/queries", "versions/queries"),
    ),
    "fresh": ("backtracing-news/queries", "raguard-claims/claims", "wice/claims", "medqa/qa", "adi/queries"),
}
"""Questions of other sets: those that the rules were chosen on, those that they were told on first, and those that they were told
on after that had mended them. None means a filter."""

ENGINE = "llama_cpp"
MEASURE, DEPTH, SEED = "nDCG@10", 100, 20267
MADE = 150
"""Questions that are made of a set."""
_CACM = re.compile(r"CACM\s+\w+,?\s+(19\d\d)(.*?)\bCA\d{6}", re.DOTALL)
_PERSON = re.compile(r"[A-Z][\w'-]+(?: [A-Z][\w'-]+)*, (?:[A-Z]\. ?)+")
_LONGEST = 25
"""Words of a judged question that a made one begins with."""

AUTHOR = {
    "chosen": ("papers by {name} on this: {topic}", "what did {name} write about this? {topic}"),
    "told": ("{topic} I look for articles that {name} wrote.", "In which of {name}'s papers is this told: {topic}"),
}
YEAR = {
    "chosen": ("articles published since {since} on this: {topic}", "papers from before {before}: {topic}"),
    "told": ("{topic} Only reports dated {since} or later.", "Which publications after {after} say this: {topic}"),
}
SOURCE = {
    "chosen": ("articles from {name}: {topic}", "{topic} according to {name}"),
    "told": ("What did {name} publish on this: {topic}", "{topic} I mean articles in {name}."),
}
NAMED = {
    "chosen": ("{topic} (in the {field} {name})", "{field} {name}: {topic}"),
    "told": ("{topic} I only want what is in the {field} {name}.", "As the {field} {name} has it: {topic}"),
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A question that was made, and the filters that are meant by it: field -> filter."""

    query: Query
    meant: Mapping[str, Filter]
    grades: Mapping[str, int]


def corpus_of(name: str, work: Path) -> Path:
    """The documents of a set as a file that can be indexed; those of cacm with fields of their own."""
    if name != "cacm":
        return data_folder() / name / "corpus.jsonl.gz"
    path = work / "cacm.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(_with_fields(each)) + "\n" for each in records("cacm/corpus")), encoding="utf-8")
    return path


def _with_fields(document: dict[str, Any]) -> dict[str, Any]:
    told = _CACM.search(document["text"])
    people = [name.strip() for name in _PERSON.findall(told[2])] if told else []
    return {**document, **({"year": int(told[1])} if told else {}), **({"author": people} if people else {})}


def opened(name: str, work: Path, legs: Sequence[str]) -> Path:
    """An index of the set, made where there is none yet."""
    folder = work / "-".join((name, *legs))
    build_index(corpus_of(name, work), folder, legs=tuple(legs))
    return folder


def graph_of(leg: str, reading: Mapping[str, Any] | None, model: str) -> dict[str, Any]:
    """BM25, or the built-in hybrid, behind the node that reads filters where there is one."""
    source = "query" if reading is None else "filters"
    nodes: dict[str, Any] = (
        {} if reading is None else {"filters": {"use": "reformulate.filters", "with": dict(reading)}}
    )
    nodes["bm25"] = {"use": "retrieve.bm25", "in": source, "k": DEPTH}
    if leg == "hybrid":
        nodes["dense"] = {"use": "retrieve.dense", "in": source, "k": DEPTH}
        weighted = {"norm": "corpus", "weights": {"bm25": 0.3, "dense": 0.7}}
        nodes["fused"] = {"use": "fuse.weighted", "in": ["bm25", "dense"], "k": DEPTH, "with": weighted}
    output = "fused" if leg == "hybrid" else "bm25"
    models = {"models": {"reader": llm_part(model, ENGINE)}} if model and reading is not None else {}
    return {"version": 1, **models, "nodes": nodes, "output": output}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of some questions: their rankings, and the queries as they were searched."""

    rankings: list[Ranking]
    read: list[Query]


def ran(folder: Path, leg: str, queries: Sequence[Query], *, read: bool, model: str = "") -> Ran:
    """Questions over an index, with filters read from them or without."""
    reading = ({"by": "model", "llm": "reader"} if model else {}) if read else None
    with load_pipeline(graph_of(leg, reading, model), index=folder) as pipeline:
        result = pipeline.run(list(queries))
    if result.failures:
        raise SystemExit(f"a question failed: {result.failures[0].error}")
    return Ran(rankings=result.rankings, read=list(result.records.get("filters", queries)))


def counted(read: Sequence[Query]) -> dict[str, int]:
    """Filters of some questions that were read and set, and those that were dropped, and questions with one of either."""
    counts: Counter[str] = Counter()
    for query in read:
        for name in ("read", "dropped", "invented", "unknown", "malformed"):
            counts[name] += query.outcome.counts.get(name, 0)
        counts["questions_read"] += query.outcome.counts.get("read", 0) + query.outcome.counts.get("dropped", 0) > 0
    return {name: n for name, n in counts.items() if n or name in ("read", "dropped", "questions_read")}


def difference(
    plain: Sequence[Ranking], other: Sequence[Ranking], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """nDCG@10 of both, and how far they are apart."""
    one, two = (evaluate(list(run), qrels, [MEASURE]) for run in (plain, other))
    [compared] = compare_runs(one, {"read": two}, measures=[MEASURE])["read"]
    test = compared.test
    found = {"plain": one.measures[MEASURE], MEASURE: two.measures[MEASURE], "to_plain": test.difference}
    return {**found, "low": test.low, "high": test.high, "p": test.p}


def topics(name: str) -> tuple[list[Query], dict[str, dict[str, int]]]:
    """The judged questions of a set, and their judgements."""
    dataset = load_beir(data_folder() / name)
    qrels = {qid: dict(grades) for qid, grades in dataset.qrels().items()}
    queries = dataset.queries_of(qrels)
    return queries, {query.qid: qrels[query.qid] for query in queries}


def made_questions(name: str, documents: Mapping[str, Mapping[str, Any]], index: Index, limit: int) -> list[Made]:
    """Questions with a filter that they mean, from judged ones and the fields of documents that answer them."""
    chance = random.Random(SEED)
    wordings = "chosen" if name in CHOSEN_ON else "told"
    queries, qrels = topics(name)
    found = list[Made]()
    for query in chance.sample(queries, len(queries)):
        answering = sorted(doc_id for doc_id, grade in qrels[query.qid].items() if grade > 0 and doc_id in documents)
        if not answering or len(query.text.split()) > _LONGEST:
            continue
        made = asked_with(name, query.text, documents[chance.choice(answering)], wordings, chance)
        if made is None:
            continue
        text, meant = made
        where: Filter | None = None
        for each in meant.values():
            where = both(where, each)
        passing = {index.documents[int(row)].parent for row in index.rows(where)}
        grades = {doc_id: grade for doc_id, grade in qrels[query.qid].items() if doc_id in passing}
        if any(grade > 0 for grade in grades.values()):
            found.append(Made(query=replace(query, text=text), meant=meant, grades=grades))
        if len(found) == limit:
            break
    return found


def asked_with(
    name: str, topic: str, document: Mapping[str, Any], wordings: str, chance: random.Random
) -> tuple[str, dict[str, Filter]] | None:
    """A question and what is meant by it, from the fields of a document; None where it lacks them."""
    topic = " ".join(topic.split())
    if name == "cacm" and document.get("author") and chance.random() < 0.5:
        person = chance.choice(document["author"])
        family, given = (part.strip() for part in person.split(",", 1))
        called = chance.choice([family, f"{given[:2]} {family}"])
        meant = {"author": parse_where({"author": _alike(family, given if called != family else "")})}
        return chance.choice(AUTHOR[wordings]).format(name=called, topic=topic), _filters(meant)
    if name == "cacm":
        return None if "year" not in document else _of_year("year", int(document["year"]), topic, wordings, chance)
    if name == "medquad" or (name == "forecast" and document.get("sources") and chance.random() < 0.5):
        value = document["source"] if name == "medquad" else chance.choice(document["sources"])
        text = chance.choice(SOURCE[wordings]).format(name=value, topic=topic)
        field = "source_" if name == "medquad" else "sources"  # `source` is the file that a passage is from
        return text, _filters({field: parse_where({field: value})})
    if name == "forecast":
        return _of_month("date", document["date"], topic, wordings, chance)
    field = chance.choice(["program", "version"]) if name == "versions" else "book"
    value = document[field]
    text = chance.choice(NAMED[wordings]).format(field=field, name=value, topic=topic)
    return text, _filters({field: parse_where({field: value})})


_PEOPLE: dict[str, set[str]] = {}


def _alike(family: str, given: str) -> list[str]:
    """All authors of cacm with this family name; with these initials, where some are given."""
    if not _PEOPLE:
        for document in records("cacm/corpus"):
            for person in _with_fields(document).get("author", ()):
                _PEOPLE.setdefault(person.split(",")[0].strip(), set()).add(person)
    return sorted(person for person in _PEOPLE[family] if not given or person.split(",", 1)[1].strip()[0] == given[0])


def _of_year(field: str, year: int, topic: str, wordings: str, chance: random.Random) -> tuple[str, dict[str, Filter]]:
    text = chance.choice(YEAR[wordings])
    if "{before}" in text:
        return text.format(before=year + 1, topic=topic), _filters({field: parse_where({field: {"lt": year + 1}})})
    shown = {"since": year, "after": year - 1}
    return text.format(**shown, topic=topic), _filters({field: parse_where({field: {"gte": year}})})


def _of_month(field: str, day: str, topic: str, wordings: str, chance: random.Random) -> tuple[str, dict[str, Filter]]:
    names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
    year, month = int(day[:4]), int(day[5:7])
    before = f"{names[month - 2]} {year - (month == 1)}"
    text = chance.choice(YEAR[wordings]).format(
        since=f"{names[month - 1]} {year}", after=before, before="", topic=topic
    )
    return text, _filters({field: parse_where({field: {"gte": f"{year}-{month:02}-01"}})})


def _filters(meant: Mapping[str, Filter | None]) -> dict[str, Filter]:
    return {field: where for field, where in meant.items() if where is not None}


def of_judged(name: str, folder: Path, legs: Sequence[str], model: str, limit: int | None) -> Iterator[dict[str, Any]]:
    """The set's own questions."""
    queries, qrels = topics(name)
    queries = queries[:limit]
    judged = {query.qid: qrels[query.qid] for query in queries}
    for leg in legs:
        plain, read = (ran(folder, leg, queries, read=read, model=model) for read in (False, True))
        line = {"set": name, "part": "judged", "leg": leg, "asked": len(queries), **counted(read.read)}
        yield line | difference(plain.rankings, read.rankings, judged)


def of_made(name: str, folder: Path, legs: Sequence[str], model: str, limit: int | None) -> Iterator[dict[str, Any]]:
    """Questions that mean a filter."""
    documents = {each["_id"]: _with_fields(each) if name == "cacm" else each for each in records(f"{name}/corpus")}
    with load_pipeline(graph_of("bm25", None, ""), index=folder) as pipeline:
        index = pipeline.index
        assert index is not None
        made = made_questions(name, documents, index, min(limit or MADE, MADE))
        if not made:  # a small copy of a set may answer no question that has a filter
            return
        asked = [each.query for each in made]
        judged = {each.query.qid: each.grades for each in made}
        for leg in legs:
            plain, read = (ran(folder, leg, asked, read=read, model=model) for read in (False, True))
            right = sum(_right(each, query, index) for each, query in zip(made, read.read, strict=True))
            line = {"set": name, "part": "made", "leg": leg, "asked": len(asked), **counted(read.read)}
            line |= {"meant": sum(len(each.meant) for each in made), "right": right}
            yield line | difference(plain.rankings, read.rankings, judged)


def _right(made: Made, read: Query, index: Index) -> int:
    """Whether what was read passes the documents that were meant: 1, or 0. Each made question means one filter."""
    [meant] = made.meant.values()
    return int(read.where is not None and bool(index.rows(read.where).tolist() == index.rows(meant).tolist()))


def of_others(name: str, folder: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    """Questions of other sets, by rules: no filter is meant."""
    groups = ("chosen",) if name in CHOSEN_ON else ("told", "fresh")
    for source in (each for group in groups for each in OTHERS[group]):
        if source.startswith(f"{name}/"):
            continue
        texts = [str(each.get("text") or each.get("question") or each.get("claim") or "") for each in records(source)][
            :limit
        ]
        queries = [Query(qid=str(n), text=text) for n, text in enumerate(filter(str.strip, texts))]
        nodes = {"filters": {"use": "reformulate.filters"}, "bm25": {"use": "retrieve.bm25", "in": "filters", "k": 1}}
        with load_pipeline({"version": 1, "nodes": nodes, "output": "bm25"}, index=folder) as pipeline:
            read = pipeline.run(queries, to="filters").records["filters"]
        yield {"set": name, "part": "others", "of": source, "asked": len(queries), **counted(read)}


def show(line: Mapping[str, Any]) -> None:
    """A line in words."""
    head = f"{line['set']:16} {line['part']:7} {line.get('leg', line.get('of', '')):24} asked {line['asked']:5}"
    told = f"{head} read {line['read']:4} dropped {line['dropped']:3} of {line['questions_read']:4} questions"
    if "right" in line:
        told += f"  right {line['right']} of {line['meant']} meant"
    if "to_plain" in line:
        gain = f"{line['to_plain']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.3f}"
        told += f"  {line['plain']:.4f} -> {line[MEASURE]:.4f} {gain}"
    more = {name: line[name] for name in ("invented", "unknown", "malformed") if name in line}
    print(told, more or "", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, (*CHOSEN_ON, *TOLD_ON))
    parser.add_argument("--limit", type=int, help="only the first N questions of each part")
    parser.add_argument("--hybrid", action="store_true", help="also words and vectors")
    parser.add_argument("--model", default="", help="reads the filters, in the place of rules; scripted reads none")
    parser.add_argument(
        "--parts", nargs="+", choices=("judged", "made", "others"), default=("judged", "made", "others")
    )
    parser.add_argument("--work", type=for_folder, default=Path("build/filters_read"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/filters_read.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or (*CHOSEN_ON, *TOLD_ON):
        folder = opened(name, options.work, ("lexical", "dense") if options.hybrid else ("lexical",))
        legs = ("bm25", "hybrid") if options.hybrid else ("bm25",)
        parts = {
            "judged": lambda: of_judged(name, folder, legs, options.model, options.limit),  # noqa: B023
            "made": lambda: of_made(name, folder, legs, options.model, options.limit),  # noqa: B023
            "others": lambda: of_others(name, folder, options.limit),  # noqa: B023
        }
        for part in options.parts:
            if part == "others" and options.model:
                continue
            for line in parts[part]():
                show(line)
                if options.record:
                    record("filters_read", line | {"by": options.model or "rules", "limit": options.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
