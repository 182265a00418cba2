"""Misleading evidence: what defences gain and cost on ramdocs, whose questions come with right, wrong and empty documents.

Each question has its documents as context, ordered by the default encoder's cosine. The settings of RAGuard (arXiv
2502.16101), by name, in answers of `SHORT` tokens at most:

    closed          without documents
    oracle          `generate.cited`, from the right documents alone: what the others cost
    misleading      the same, from the misleading documents alone
    vote-misleading each of the misleading documents a vote, and no other document
    mixed           from all documents
    RAG-1, RAG-5    from the first and the first five documents that a hybrid search over those of all questions finds

Ways to defend it, answers of any length, and what a search alone brings:

    found-1, found-5  no answer and no model: whether these are a misleading document of the question, or have one among them
    vote            `generate.vote`: each document alone, one vote each
    vote-relevance  the same, weighed by the cosine
    vote-agreement  the same as vote, refused where fewer than half of the votes agree

An answer is right where it holds one of the set's answers and none of its wrong ones, and misled where it holds a wrong
one; the rest is refused, or says neither. Questions are drawn once, two of three with a misleading document. Every result
is one line in a work file, so a run that was stopped goes on where it was. A .gguf file answers in llama.cpp, any other
model in vLLM. Questions are asked one after the other in every way, so a run that is stopped has as many of each.

    RAGLINE_EVAL_DATA=... python -m benchmarks.misleading [WAY ...] [--limit 60] [--misled] [--minutes N] [--model NAME] [--url URL]
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any

from benchmarks.graphs import hybrid_nodes, writer_part
from benchmarks.make_samples import SEED, data_folder, records
from benchmarks.model_server import add_model
from benchmarks.record import RESULTS
from benchmarks.remembering import Remembering
from benchmarks.ways import add_busy, cost_cells, mean_cell, require_ways
from benchmarks.work_lines import Component, Setup, Work, kind_of
from generators import GENERATORS
from rag.core.ranking import ranked
from rag.core.types import Answer, Context, Document, Query, ScoredDocument
from rag.evaluate import Dataset, cached_index
from rag.evaluate.text_overlap import holds
from rag.graph.load import load_spec
from rag.models import GGUF
from rag.pipeline import load_pipeline

WORK = RESULTS / "misleading.jsonl"
SHORT: dict[str, Any] = {"max_tokens": 48}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "closed": ("closed_book", SHORT),
    "oracle": ("cited", SHORT),
    "misleading": ("cited", SHORT),
    "mixed": ("cited", SHORT),
    "RAG-1": ("cited", SHORT),
    "RAG-5": ("cited", SHORT),
    "vote-misleading": ("vote", SHORT),
    "vote": ("vote", {}),
    "vote-relevance": ("vote", {"weigh": "relevance"}),
    "vote-agreement": ("vote", {"agreement": 0.5}),
}
FOUND = ("found-1", "found-5")
MISLEADING = ("misleading", "vote-misleading")
KINDS = {"oracle": ("correct",), **dict.fromkeys(MISLEADING, ("misinfo",))}
TOGETHER = 10
"""Questions that vLLM is asked at a time; llama.cpp one."""
Item = dict[str, Any]


@cache
def component(way: str, model: str) -> Component:
    """What answers."""
    use, params = WAYS[way]
    return Component(GENERATORS.get(use), llm=writer_part(model), **params)


@cache
def setup_of(way: str, model: str) -> Setup:
    """What the lines of a way are made with."""
    return Setup.of(component(way, model), context_of, data=[data_folder() / "ramdocs"])


def items(limit: int) -> list[Item]:
    """Two with a misleading document, then one without, and so on."""
    everything = records("ramdocs/qa")
    random.Random(f"{SEED}:ramdocs").shuffle(everything)
    misled = iter([each for each in everything if has(each, "misinfo") and has(each, "correct")])
    others = iter([each for each in everything if not has(each, "misinfo") and has(each, "correct")])
    return [next(others if place % 3 == 2 else misled) for place in range(limit)]


def has(item: Item, kind: str) -> bool:
    return any(document["type"] == kind for document in item["documents"])


@cache
def encoder() -> Any:
    from retrievers.encoders.sentence_encoder import SentenceEncoder

    return SentenceEncoder(model="all-minilm-l6-v2")


def context_of(item: Item, *, kinds: Sequence[str] = ("correct", "misinfo", "noise")) -> Context:
    """The question and its documents of these kinds, the most similar first."""
    documents = [Document(doc_id=d["id"], text=d["text"]) for d in item["documents"] if d["type"] in kinds]
    [query] = encoder().encode([item["question"]], role="query")
    cosines = encoder().encode([each.text for each in documents], role="document") @ query
    hits = [ScoredDocument(document=d, score=float(s)) for d, s in zip(documents, cosines, strict=True)]
    return Context(query=Query(qid=item["id"], text=item["question"]), passages=ranked(hits))


@cache
def searched() -> Any:
    """Hybrid search over the documents of all questions."""
    folder = Path("runs/misleading")
    documents = {d["id"]: d["text"] for item in records("ramdocs/qa") for d in item["documents"]}
    corpus = folder / "corpus.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    corpus.write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in documents.items()))
    spec = load_spec({"version": 1, "nodes": hybrid_nodes(5), "output": "fused"})
    index = cached_index(Dataset(name="ramdocs", folder=folder, corpus=(corpus,)), spec.graph, spec.graph.index)
    return load_pipeline(spec.graph, index=index)


def found(item: Item, k: int) -> Context:
    """What that search finds for a question."""
    query = Query(qid=item["id"], text=item["question"])
    return Context(query=query, passages=searched().search(query, k=k).hits)


def find_all(work: Work, ways: Sequence[str], items: Sequence[Item]) -> None:
    """Whether a search brings a misleading document, where there is no line yet."""
    for way in ways:
        setup = Setup.of(found, hybrid_nodes(5), data=[data_folder() / "ramdocs"], settings="no model, hybrid search")
        for item in items:
            if work.get(way, "ramdocs", item["id"], setup):
                continue
            wrong = {d["id"] for d in item["documents"] if d["type"] == "misinfo"}
            right = {d["id"] for d in item["documents"] if d["type"] == "correct"}
            hits = {hit.doc_id for hit in found(item, int(way[-1])).passages}
            line = {"method": way, "set": "ramdocs", "qid": item["id"], "misleading": bool(wrong)}
            work.add({**line, "finds_misleading": bool(hits & wrong), "finds_right": bool(hits & right)}, setup)
        lines = work.of(way, "ramdocs", setup)
        told = {key: mean_cell([float(line[key]) for line in lines]) for key in ("finds_misleading", "finds_right")}
        print(
            f"{way}: of {len(lines)} questions {told['finds_misleading']} find a misleading one, {told['finds_right']} a right"
        )


def verdict(answer: Answer, item: Item) -> str:
    if answer.status != "answered":
        return "refused"
    if any(holds(answer.text, wrong) for wrong in item["wrong_answers"] if wrong not in item["answers"]):
        return "misled"
    return "right" if any(holds(answer.text, each) for each in item["answers"]) else "other"


def answered(way: str, some: Sequence[Item], model: str, llm: Any) -> list[Answer]:
    generator = component(way, model).make(llm=llm)
    kinds = {"kinds": KINDS[way]} if way in KINDS else {}
    contexts = [found(item, int(way[-1])) if way.startswith("RAG-") else context_of(item, **kinds) for item in some]
    answers: list[Answer] = generator.generate([context.query if way == "closed" else context for context in contexts])
    return answers


def rows(work: Work, ways: Sequence[str], drawn: Sequence[Item], model: str) -> Iterator[str]:
    """Markdown: shares with 95% intervals, of questions with a misleading document and without."""
    yield "| way | misleading documents: right | misled | refused | without: right | refused | tokens read | seconds |"
    yield "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |"
    for way in ways:
        lines = [line for item in drawn if (line := work.get(way, "ramdocs", item["id"], setup_of(way, model)))]
        some, others = ([line for line in lines if line["misleading"] is kind] for kind in (True, False))
        if not some:
            continue
        yield (
            f"| {way} | {share(some, 'right')} | {share(some, 'misled', bare=True)} | {share(some, 'refused', bare=True)} "
            f"| {share(others, 'right') if others else ''} | {share(others, 'refused', bare=True) if others else ''} "
            f"| {cost_cells(lines, 'tokens', digits=0)} | {cost_cells(lines, 'seconds')} |"
        )


def share(lines: Sequence[dict[str, Any]], kind: str, *, bare: bool = False) -> str:
    values = [float(line["verdict"] == kind) for line in lines]
    return f"{fmean(values):.2f}" if bare else f"{mean_cell(values)} of {len(values)}"


def ask(work: Work, way: str, some: Sequence[Item], model: str, llm: Remembering) -> None:
    """Answers and their lines, where there are none yet. Only who has misleading documents is asked from these alone."""
    setup = setup_of(way, model)
    some = [item for item in some if way not in MISLEADING or has(item, "misinfo")]
    missing = [item for item in some if not work.get(way, "ramdocs", item["id"], setup)]
    llm.seconds = 0.0
    for item, answer in zip(missing, answered(way, missing, model, llm) if missing else [], strict=True):
        line = {"method": way, "set": "ramdocs", "qid": item["id"], "model": model.removesuffix(GGUF)}
        cost = {"tokens": answer.usage.prompt_tokens, "seconds": round(llm.seconds / len(missing), 2)}
        said = {"verdict": verdict(answer, item), "misleading": has(item, "misinfo"), "answer": answer.text}
        work.add({**line, **said, **cost}, setup)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", default=[*WAYS, *FOUND])
    parser.add_argument("--limit", type=int, default=60, help="questions that are drawn")
    parser.add_argument("--misled", action="store_true", help="of these only those with a misleading document")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no question after this time")
    parser.add_argument("--threads", type=int, help="of llama.cpp; default: the cores that it may use")
    add_model(parser, default="qwen2.5-coder-1.5b-instruct.gguf")
    parser.add_argument("--work", type=Path, default=WORK)
    add_busy(parser)
    given = parser.parse_args()
    require_ways(parser, given.ways, [*WAYS, *FOUND])
    work, model, until = Work(given.work, busy=given.busy), given.model, monotonic() + 60 * given.minutes
    drawn = [item for item in items(given.limit) if has(item, "misinfo") or not given.misled]
    find_all(work, [way for way in given.ways if way in FOUND], records("ramdocs/qa"))
    given.ways = [way for way in given.ways if way in WAYS]
    if not given.ways:
        return
    engine = writer_part(model)
    in_llama = engine["use"] == "llm.llama_cpp"
    threads = {"threads": given.threads} if in_llama and given.threads else {}
    llm = Remembering(kind_of(engine["use"])(**engine["with"], **threads))
    together = 1 if in_llama else TOGETHER
    for start in range(0, len(drawn), together):
        if monotonic() > until:
            print(f"time is up after {start} questions", flush=True)
            break
        for way in given.ways:
            ask(work, way, drawn[start : start + together], model, llm)
    print(*rows(work, given.ways, drawn, model), sep="\n")


if __name__ == "__main__":
    main()
