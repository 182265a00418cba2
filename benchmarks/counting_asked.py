"""Counting in an answer: which questions are taken for counting, and how many of those are answered right, by one model.

The questions of `benchmarks.counting` are to be told from 200 others, drawn with a seed from sets whose questions ask for what
passages say: 100 as they come, and 100 that have the form of counting ("how many", "the first"). Each of the others is asked of
every collection. No model tells them. With one, `assemble.counts` then answers the questions of counting; `settled` are those
that it answers, and right is what `benchmarks.counting` counts as right. Every answer is a line in a work file, so a run that
was stopped goes on where it was.

    RAGLINE_EVAL_DATA=... python -m benchmarks.counting_asked [--model NAME] [--url URL] [--limit N] [--work FILE] [--record]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.counting import right
from benchmarks.counting_questions import CORPORA, Corpus, Question, questions
from benchmarks.graphs import llm_part
from benchmarks.make_samples import data_folder, records
from benchmarks.model_server import add_model
from benchmarks.record import RESULTS, Record, record
from benchmarks.work_lines import Setup, Work
from generators.tally_question import Known, has_form, read_question
from rag.core.types import Context, Document, Query
from rag.evaluate.beir import load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.graph.load import load_spec
from rag.pipeline import load_pipeline
from retrievers.index.fields import fields_of

SEED = 31
WORK = RESULTS / "counting_answered.jsonl"
OTHERS = (
    *("scifact/queries", "cosqa/queries", "medquad/queries", "docs-manpages/queries", "clapnq/queries"),
    *("bioasq-snippets/queries", "hotpotqa-100/queries", "toollens/queries", "cranfield/queries"),
)
HALF = 100


def known_of(corpus: Corpus) -> Known:
    """What questions can name of a collection."""
    documents = [
        Document(doc_id=str(each["_id"]), text="", metadata={key: each[key] for key in corpus.fields if key in each})
        for each in records(f"{corpus.folder}/corpus")
    ]
    return Known(fields_of(documents), len(documents))


def others() -> list[str]:
    """Questions that ask for no number of documents: as they come, and those of such a form."""
    asked = sorted({str(each["text"]) for name in OTHERS for each in records(name)})
    chance = random.Random(SEED)
    any_of_them = chance.sample(asked, HALF)
    formed = chance.sample([text for text in asked if has_form(text) and text not in any_of_them], HALF)
    return any_of_them + formed


def told(asked: Sequence[Question], none: Sequence[str], known: dict[str, Known]) -> dict[str, Any]:
    """How many of either kind are taken for counting, and which go wrong."""
    missed = [one.text for one in asked if read_question(one.text, known[one.corpus]) is None]
    wrong = [text for text in none for each in known.values() if read_question(text, each) is not None]
    return {
        "counting": len(asked),
        "sent": len(asked) - len(missed),
        "others": len(none) * len(known),
        "wrongly_sent": len(wrong),
        "missed": missed,
        "wrong": sorted(set(wrong)),
    }


def answered(asked: Iterable[Question], model: str, work: Work) -> dict[str, dict[str, int]]:
    """Answer what has no line yet. Of each form: how many were asked, settled and right."""
    by_form: dict[str, Counter[str]] = {}
    for corpus in CORPORA.values():
        own = [one for one in asked if one.corpus == corpus.name]
        graph = {
            "version": 1,
            "models": {"writer": llm_part(model, "llama_cpp")},
            "nodes": {
                "found": {"use": "retrieve.bm25", "in": "query", "k": 4},
                "context": {"use": "assemble.token_budget", "in": "found", "with": {"llm": "writer"}},
                "counted": {
                    "use": "assemble.counts",
                    "in": "context",
                    "with": {"llm": "writer", "fields": list(corpus.fields), "shown": 20},
                },
            },
            "output": "counted",
        }
        spec = load_spec(graph).graph
        index = cached_index(load_beir(data_folder() / corpus.folder), spec, spec.index)
        with load_pipeline(spec, index=index) as pipeline:
            setup = Setup.of(pipeline.graph, data=[data_folder() / corpus.folder])
            for one in own:
                line = work.get("counts", corpus.name, one.qid, setup)
                if line is None:
                    [context] = pipeline.run([Query(qid=one.qid, text=one.text)]).outputs
                    told = {"settled": context.settled is not None, "right": _is_right(one, context)}
                    line = {"method": "counts", "set": corpus.name, "qid": one.qid, "form": one.form, **told}
                    work.add({**line, "detail": context.outcome.detail[:500]}, setup)
                    print(f"{one.qid}: {context.outcome.detail[:100]}", flush=True)
                by_form.setdefault(one.form, Counter()).update(n=1, settled=line["settled"], right=line["right"])
            pipeline.release()
    return {form: dict(counts) for form, counts in by_form.items()}


def _is_right(one: Question, context: Context) -> bool:
    if context.settled is None:
        return False
    parents = {hit.doc_id: hit.document.parent for hit in context.passages}
    return right(one, context.settled.text, {parents[each.doc_id] for each in context.settled.citations})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was told, and what was answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser, default=None, help="also answer, by this model; unset tells questions alone")
    parser.add_argument("--work", type=Path, default=WORK, help="where answers are kept")
    parser.add_argument("--limit", type=int, help="questions of counting, at most")
    parser.add_argument("--record", action=Record, help="append to results/counting_asked.jsonl")
    options = parser.parse_args(arguments)
    asked = questions()[: options.limit]
    line = told(asked, others(), {name: known_of(corpus) for name, corpus in CORPORA.items()})
    print(f"{line['sent']} of {line['counting']} questions of counting are sent to a plan")
    print(f"{line['wrongly_sent']} of {line['others']:,} decisions on other questions are wrong")
    for text in (*line["missed"], *line["wrong"]):
        print(f"  {text}")
    if options.model:
        line["forms"] = answered(asked, options.model, Work(options.work))
        for form, counts in line["forms"].items():
            print(f"{form}: {counts}")
        line["model"] = options.model
    if options.record:
        record("counting_asked", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
