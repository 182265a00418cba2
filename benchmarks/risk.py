"""How many questions can be answered at a stated risk: five sets, about half of whose questions have no answer.

`answer` lets a model answer the questions of a set and keeps every answer in a file of lines (runs/risk.jsonl); it goes on
where it stopped. A pair of small passages is some 400 tokens: a model of 1.5 billion parameters takes 10 to 20 seconds of
one core. `table` fits and calibrates on the answers that are there and prints, for every set, what risk costs in coverage.
Needs the folder that RAGLINE_EVAL_DATA names, and xllamacpp (ragline[llama]).

    python -m benchmarks.risk answer xquad clapnq [--n 100] [--model qwen2.5-coder-1.5b-instruct]
    python -m benchmarks.risk table [--record]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.risk_sets import SETS, RiskSet
from benchmarks.work_lines import Line, Work
from rag.core.types import Answer
from rag.evaluate.beir import load_beir
from rag.evaluate.graph_evaluation import cached_index
from rag.graph.load import load_spec
from rag.pipeline import load_pipeline
from retrievers.index.protocol import Index

LINES = Path("runs/risk.jsonl")
CORPORA = Path("runs/risk_sets")
MODEL = "qwen2.5-coder-1.5b-instruct"
SETTINGS = "hybrid, first passages, answer_cited"
MOST_TOKENS = 64


def graph(one: RiskSet, model: str, *, threads: int = 1) -> dict[str, Any]:
    """Hybrid search, the first passages as they are, and a cited answer with the model's own likelihood."""
    llm = {"use": "llm.llama_cpp", "with": {"model": model, "context_window": 2048, "slots": 1, "threads": threads}}
    reads = {"llm": "writer", "max_tokens": 1200, "max_passages": one.passages}
    fused = {"norm": "z_score", "weights": {"bm25": 0.3, "dense": 0.7}}
    return {
        "version": 1,
        "index": {"analyzer": {"language": one.language}},
        "models": {"writer": llm},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 100},
            "dense": {"use": "retrieve.dense", "k": 100},
            "fused": {"use": "fuse.weighted", "in": ["bm25", "dense"], "k": 20, "with": fused},
            "context": {"use": "assemble.token_budget", "in": "fused", "with": reads},
            "answer": {
                "use": "generate.cited",
                "in": "context",
                "with": {"llm": "writer", "max_tokens": MOST_TOKENS, "likelihood": True},
            },
        },
        "output": "answer",
    }


def index_of(one: RiskSet, graph: dict[str, Any]) -> Index:
    """The index of a set's corpus, from the cache or built into it."""
    spec = load_spec(graph).graph
    return cached_index(load_beir(one.write(CORPORA / one.name)), spec, spec.index)


def answer_all(one: RiskSet, work: Work, model: str) -> None:
    """Answer what has no line yet, a question at a time."""
    spec = graph(one, model)
    with load_pipeline(spec, index=index_of(one, spec)) as pipeline:
        for place, asked in enumerate(one.asked, start=1):
            if work.get(model, one.name, asked.item.qid, SETTINGS) is not None:
                continue
            answer = pipeline.ask(asked.query)
            work.add(line_of(answer, model, one))
            print(
                f"{one.name} {place}/{len(one.asked)} {one.is_right(answer, asked.item)} {answer.text[:80]!r}",
                flush=True,
            )


def line_of(answer: Answer, model: str, one: RiskSet) -> Line:
    """What `answer_of` needs to make the answer again, and what it cost."""
    return {
        "method": model,
        "set": one.name,
        "qid": answer.qid,
        "settings": SETTINGS,
        "text": answer.text,
        "status": answer.status,
        "finish_reason": answer.finish_reason,
        "likelihood": answer.likelihood,
        "passages": [[hit.doc_id, hit.score] for hit in answer.context.passages],
        "citations": [[c.marker, c.doc_id, c.start, c.end, c.by, c.similar] for c in answer.citations],
        "prompt_tokens": answer.usage.prompt_tokens,
        "new_tokens": answer.usage.new_tokens,
        "seconds": round(answer.usage.seconds, 3),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    actions = arguments.add_subparsers(dest="action", required=True)
    answering = actions.add_parser("answer")
    answering.add_argument("sets", nargs="+", choices=tuple(SETS))
    for action in (answering,):
        action.add_argument("--n", type=int, default=100)
        action.add_argument("--model", default=MODEL)
        action.add_argument("--lines", type=Path, default=LINES)
    given = arguments.parse_args()
    work = Work(given.lines)
    for name in given.sets:
        answer_all(SETS[name](given.n), work, given.model)


if __name__ == "__main__":
    main()
