"""Persuasion with checked claims (PersuaBot) on dialogues of PersuasionForGood, over a page of what they say of the charity,
the same page with wrong numbers, places and names, and hundreds of passages beside (`plugins.recipes.benchmarks.neighbours`).

    draft   what the model writes out of its own head, as `generate.persuade` begins
    reply   what `generate.persuade` makes of it

A case is a dialogue up to a turn of the person who is to be persuaded. Of the sentences with content words are told: backed,
the share whose words some passage has (`check.words`, whose verdict is similar and no proof), one search a sentence; by the
page, the share of which the page itself has them; misled, the rest of those backed: only a passage that is wrong, or of
something else, says so. The reply was also mended by the first of these means. Kept: the share of sections whose strategy is in
the reply's parts, as they were or with new facts. How persuasive a text is takes people, and is not measured.

    refuting  no reply: whether a check tells a sentence of a passage from the same with another number or place, held
              against that passage; those of the page first. By words, and by the model, which may say that a passage says otherwise

Every result is a line in a work file. The model runs in vLLM; a .gguf file in llama.cpp.

    RAGLINE_EVAL_DATA=... python -m plugins.recipes.benchmarks.persuasion [WAY ...] [--n 50] [--turn 3] [--model NAME] [--url URL]
    python -m plugins.recipes.benchmarks.persuasion --cases
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby
from statistics import fmean
from typing import Any

from benchmarks.graphs import hybrid_nodes, writer, writer_part
from benchmarks.make_samples import data_folder, records
from benchmarks.record import RESULTS
from benchmarks.ways import cost_cells, difference_cell, mean_cell, parsed
from benchmarks.work_lines import Component, Line, Setup, Work
from plugins.recipes.benchmarks.neighbours import PAGE, Pair, corpus, pairs, passages, swapped
from rag import load_pipeline
from rag.evaluate import cached_index, load_beir
from rag.graphs import load_spec
from rag.ranking import in_this_order
from rag.stages import CHECKERS
from rag.types import Answer, Context, Document, Message, Query, Ranking
from rag.writing import sentences
from ragline_recipes.persuade import PersuadeGenerator

WORK = RESULTS / "persuasion.jsonl"
MODEL = "qwen2.5-coder-1.5b-instruct"
REPLIES = ("draft", "reply")
WAYS = (*REPLIES, "refuting")
CHECKS = ("words", "model")
GOAL = "that they give a part of their payment for this task to the charity Save the Children"
SET, PAIRS = "persuasion", "page and wrong"
SEED, TOGETHER, PASSAGES = 20269, 2, 3
Item = dict[str, Any]


def cases(n: int, turn: int) -> list[Query]:
    """Dialogues up to what is said to the persuader in a turn, in a fixed random order; shorter ones are left out."""
    dialogues = records(f"{SET}/dialogues")
    random.Random(SEED).shuffle(dialogues)
    made = (_case(dialogue, turn) for dialogue in dialogues)
    return [query for query in made if query is not None][:n]


def _case(dialogue: Item, turn: int) -> Query | None:
    said = [
        Message(role="assistant" if role == "persuader" else "user", content=" ".join(unit["text"] for unit in units))
        for (number, role), units in groupby(dialogue["units"], key=lambda unit: (unit["turn"], unit["role"]))
        if number <= turn
    ]
    if not said or said[-1].role != "user" or dialogue["units"][-1]["turn"] <= turn:
        return None
    return Query(qid=dialogue["id"], text=said[-1].content, history=tuple(said[:-1]))


class Search:
    """Hybrid search over all passages, as a retriever."""

    def __init__(self) -> None:
        spec = load_spec({"version": 1, "nodes": hybrid_nodes(PASSAGES), "output": "fused"})
        index = cached_index(load_beir(corpus()), spec.graph, spec.graph.index)
        self.pipeline = load_pipeline(spec.graph, index=index)

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, under its filter; several queries may have one qid."""
        numbered = [Query(qid=str(number), text=query.text, where=query.where) for number, query in enumerate(queries)]
        found = self.pipeline.run(numbered, k=k).rankings if numbered else []
        return [Ranking(query=query, hits=ranking.hits) for query, ranking in zip(queries, found, strict=True)]


def component(model: str, **sizes: int) -> Component:
    """What writes drafts and replies."""
    return Component(PersuadeGenerator, llm=writer_part(model), goal=GOAL, passages=PASSAGES, **sizes)


@cache
def setup_of(model: str, **sizes: int) -> Setup:
    """What the lines of both ways are made with."""
    data = [PAGE, data_folder() / SET, data_folder() / "medquad" / "corpus.jsonl.gz"]
    return Setup.of(component(model, **sizes), Search, passages, hybrid_nodes(PASSAGES), data=data)


def persuade_all(ways: Sequence[str], some: Sequence[Query], work: Work, model: str, **sizes: int) -> None:
    """Write what has no line yet."""
    setup, asked = setup_of(model, **sizes), [way for way in REPLIES if way in ways]
    missing = {way: [query for query in some if work.get(way, SET, query.qid, setup) is None] for way in asked}
    if not any(missing.values()):
        return
    search, llm = Search(), writer(model)
    generator = component(model, **sizes).make(llm=llm, evidence=search, facts=search)
    for way, queries in missing.items():
        for start in range(0, len(queries), TOGETHER):
            batch = queries[start : start + TOGETHER]
            for line in lines_of(way, generator, batch):
                work.add(line, setup)
            print(f"{way}: {min(start + TOGETHER, len(queries))} of {len(queries)}", flush=True)
    search.pipeline.close()
    llm.release()


def lines_of(way: str, generator: PersuadeGenerator, batch: Sequence[Query]) -> Iterator[Line]:
    """The lines of a few cases."""
    counts, evidence = ([dict[str, int]() for _ in batch] for _ in range(2))
    if way == "draft":
        texts, costs = generator.drafts(batch), [(1, 0.0)] * len(batch)
    else:
        answers = generator.generate(batch)
        texts = [answer.text if answer.status == "answered" else "" for answer in answers]
        counts = [dict(answer.outcome.counts) for answer in answers]
        evidence = [
            dict(Counter(str(hit.document.metadata["kind"]) for hit in answer.context.passages)) for answer in answers
        ]
        costs = [(answer.usage.calls, answer.usage.seconds) for answer in answers]
    for query, text, counted, kinds, (calls, seconds) in zip(batch, texts, counts, evidence, costs, strict=True):
        said = [text[start:end] for start, end in sentences(text)]
        by_page = generator.backed([(replace(query, where={"kind": "page"}), one) for one in said])
        by_any = generator.backed([(query, one) for one in said])
        judged = [(bool(any_), bool(page)) for any_, page in zip(by_any, by_page, strict=True) if any_ is not None]
        stood = counted.get("kept", 0) + counted.get("replaced", 0)
        yield {
            "method": way,
            "set": SET,
            "qid": query.qid,
            "text": text,
            "sentences": len(judged),
            "backed": fmean(any_ or page for any_, page in judged) if judged else None,
            "by_page": fmean(page for _, page in judged) if judged else None,
            "misled": fmean(any_ and not page for any_, page in judged) if judged else None,
            "evidence": kinds,
            "strategies_kept": stood / counted["sections"] if counted.get("sections") else None,
            "counts": counted,
            "calls": calls,
            "seconds": round(seconds, 3),
        }


def refute_all(some: Sequence[Pair], work: Work, model: str) -> None:
    """Hold each sentence, and the same that is wrong, against its passage by every check, where there is no line yet."""
    for name in CHECKS:
        setup, checker = checking(name, model), None
        for pair in some:
            if work.get(f"check {name}", PAIRS, pair.name, setup) is not None:
                continue
            checker = checker or checker_of(name, model).make()
            document = Document(doc_id=pair.name, text=pair.passage)
            context = Context(query=Query(qid=pair.name, text=""), passages=in_this_order([document]))
            said = [Answer(query=context.query, text=text, context=context) for text in (pair.right, pair.wrong)]
            right, wrong = ([verdict.kind for verdict in answer.verdicts] for answer in checker.check(said))
            line = {"method": f"check {name}", "set": PAIRS, "qid": pair.name}
            work.add({**line, **_told("right", right), **_told("wrong", wrong), "wrong": pair.wrong}, setup)


def checker_of(name: str, model: str) -> Component:
    """What says of a sentence what its passage says of it."""
    params = {} if name == "words" else {"llm": writer_part(model), "trusted": True}
    return Component(CHECKERS.get(name), **params)


@cache
def checking(name: str, model: str) -> Setup:
    """What the lines of a check are made with."""
    return Setup.of(checker_of(name, model), pairs, swapped, data=[PAGE])


def _told(which: str, kinds: Sequence[str]) -> Line:
    backed = bool(kinds) and all(kind in ("supported", "similar") for kind in kinds)
    return {f"{which}_backed": backed, f"{which}_refuted": "contradicted" in kinds}


def refuting_table(work: Work, some: Sequence[Pair], model: str) -> Iterator[str]:
    """Markdown: what each check says of sentences as they are, and of the same with another number or place."""
    yield "| check | n | backed, of right ones | of wrong ones | refuted, of right ones | of wrong ones |"
    yield "| --- | ---: | --- | --- | --- | --- |"
    for name in CHECKS:
        setup = checking(name, model)
        lines = [line for pair in some if (line := work.get(f"check {name}", PAIRS, pair.name, setup))]
        if lines:
            keys = ("right_backed", "wrong_backed", "right_refuted", "wrong_refuted")
            cells = (mean_cell([float(line[key]) for line in lines]) for key in keys)
            yield f"| {name} | {len(lines)} | {' | '.join(cells)} |"


def table(work: Work, some: Sequence[Query], setup: Setup) -> Iterator[str]:
    """Markdown: shares of backed sentences with 95% intervals, the difference to drafts, and what became of sections."""
    yield (
        "| way | n | empty | sentences | backed | by the page | to draft [95%] | misled | strategies kept "
        "| kept, replaced, dropped | claims backed | calls | s |"
    )
    yield "| --- | ---: | ---: | ---: | --- | --- | --- | --- | --- | --- | --- | ---: | ---: |"
    base = {line["qid"]: line for line in work.of("draft", SET, setup) if line["by_page"] is not None}
    for way in REPLIES:
        lines = [line for query in some if (line := work.get(way, SET, query.qid, setup))]
        told = [line for line in lines if line["backed"] is not None]
        if not told:
            continue
        shared = [line for line in told if line["qid"] in base and way != "draft"]
        beside = difference_cell([x["by_page"] for x in shared], [base[x["qid"]]["by_page"] for x in shared])
        shares = [mean_cell([line[of] for line in told]) for of in ("backed", "by_page", "misled")]
        became = ", ".join(str(sum(x["counts"].get(of, 0) for x in lines)) for of in ("kept", "replaced", "dropped"))
        kept = [line["strategies_kept"] for line in lines if line["strategies_kept"] is not None]
        claims, right = (sum(x["counts"].get(name, 0) for x in lines) for name in ("claims", "claims_backed"))
        yield (
            f"| {way} | {len(lines)} | {len(lines) - len(told)} | {fmean(line['sentences'] for line in told):.1f} "
            f"| {shares[0]} | {shares[1]} | {beside} | {shares[2]} | {mean_cell(kept) if kept else ''} "
            f"| {became if kept else ''} | {f'{right} of {claims}' if claims else ''} | {cost_cells(lines, 'calls', 'seconds')} |"
        )


def main() -> None:
    """Write what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--turn", type=int, default=3, help="the turn that is to be answered, from 0")
    parser.add_argument("--sections", type=int, default=6, help="sentences of a draft that are used")
    parser.add_argument("--max-tokens", type=int, default=256, help="of a draft and of a reply")
    parser.add_argument("--pairs", type=int, default=50, help="sentences that checks are held to")
    parser.add_argument("--cases", action="store_true", help="only say how many cases there are")
    options = parsed(parser, WAYS, model=MODEL, work=WORK)
    some = cases(options.n, options.turn)
    if options.cases:
        print(f"{len(some)} cases, {fmean(len(query.history) for query in some):.1f} turns before each")
        return
    work, sizes = (
        Work(options.work, busy=options.busy),
        {"sections": options.sections, "max_tokens": options.max_tokens},
    )
    known = list(pairs())[: options.pairs]
    if "refuting" in options.ways:
        refute_all(known, work, options.model)
    persuade_all(options.ways, some, work, options.model, **sizes)
    print(*table(work, some, setup_of(options.model, **sizes)), sep="\n")
    print("", *refuting_table(work, known, options.model), sep="\n")


if __name__ == "__main__":
    main()
