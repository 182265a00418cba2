"""What sharing prefixes saves, and what scoring costs beside a plain forward pass, on SciFact, in one run.

First table: seconds per query of every reranker that asks the model, with what prompts begin with read once and read
for each; taking turns on the same queries. Only methods that score or choose share; those that write show no difference.
Second table: query likelihood and yes or no, nothing shared, against the model's own forward passes over the same
tokens in batches of the same size; at least 80% of that throughput is the aim, and with --strict less of it is exit code 1.
Both are printed as Markdown, row by row.

    RAGLINE_EVAL_DATA=... python -m benchmarks.sharing [--queries 2] [--depth 20] [--rounds 3]
        [--methods WORD ...] [--strict] [--record]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.first_stage import prepare
from benchmarks.methods_list import METHODS, Method
from benchmarks.methods_study import SMALL
from benchmarks.record import Record, record
from generators.llm.transformers import TransformersLLM
from rag.core.protocols import LLM, Reranker
from rag.core.types import Completion, Prompt, Ranking, SamplingParams
from rag.models.chat import encode_prompt, encode_text
from rerankers import RERANKERS

MODEL = SMALL.model
AIM = 0.8
_NOT_ASKING = ("rerank.attention", "rerank.icr", "rerank.cross_encoder", "rerank.self_consistency")
"""They read the weights themselves, or none of them; the last has another reranker ask."""
_POINTWISE = ("query likelihood", "yes or no")

Measure = Callable[[Method, TransformersLLM, Sequence[Ranking], int], dict[str, Any]]


class Recorder:
    """The model, with the rows of tokens kept that it is asked to read."""

    def __init__(self, llm: TransformersLLM) -> None:
        self._llm = llm
        self.rows: list[list[int]] = []

    @property
    def context_window(self) -> int:
        return self._llm.context_window

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return self._llm.count_tokens(prompts)

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        return self._llm.complete(prompts, params)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        with self._llm.weights() as lent:
            for prompt, text in zip(prompts, continuations, strict=True):
                self.rows.append(encode_prompt(lent.tokenizer, prompt) + encode_text(lent.tokenizer, text)[:-1])
        return self._llm.score(prompts, continuations)

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        with self._llm.weights() as lent:
            self.rows += [encode_prompt(lent.tokenizer, prompt) for prompt in prompts]
        return self._llm.choose(prompts, choices)


def asking(words: Sequence[str]) -> Iterator[Method]:
    """The table's rerankers that put prompts to the model."""
    for method in METHODS:
        wanted = not words or any(word in method.name for word in words)
        if method.stage == "rerank" and method.use not in _NOT_ASKING and wanted:
            yield method


def made(method: Method, llm: LLM) -> Reranker:
    reranker: Reranker = RERANKERS.get(method.use.partition(".")[2])(llm=llm, **method.params_on("scifact"))
    return reranker


def seconds_of(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def shared_or_not(method: Method, llm: TransformersLLM, rankings: Sequence[Ranking], rounds: int) -> dict[str, Any]:
    """Seconds per query both ways, tokens and cached tokens per query, and whether both found the same order."""
    reranker, k = made(method, llm), max(len(ranking.hits) for ranking in rankings)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    found: dict[bool, list[Ranking]] = {}
    for _ in range(rounds):
        for share in (True, False):
            llm.share_prefixes = share
            llm.forget_prefixes()  # of the round before, which asked the same
            started = time.perf_counter()
            found[share] = reranker.rerank(rankings, k=k)
            seconds[share].append((time.perf_counter() - started) / len(rankings))
    llm.share_prefixes = True
    usages = [ranking.usage for ranking in found[True]]
    shared, alone = (statistics.median(seconds[share]) for share in (True, False))
    return {
        "method": method.name,
        "shared_seconds": round(shared, 3),
        "alone_seconds": round(alone, 3),
        "ratio": round(alone / shared, 2),
        "prompt_tokens": round(statistics.fmean(usage.prompt_tokens for usage in usages)),
        "cached_tokens": round(statistics.fmean(usage.cached_tokens for usage in usages)),
        "same_order": [r.doc_ids for r in found[True]] == [r.doc_ids for r in found[False]],
    }


def forward_batches(rows: Sequence[Sequence[int]], tokens: int) -> list[list[Sequence[int]]]:
    """Rows of like length together, padding included at most `tokens` in each batch."""
    batches: list[list[Sequence[int]]] = []
    for row in sorted(rows, key=len, reverse=True):
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0]) <= tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def forward_seconds(llm: TransformersLLM, rows: Sequence[Sequence[int]]) -> float:
    """Seconds of the model alone: its forward passes over the rows, with logits at the last place of each."""
    import torch

    with llm.weights() as lent, torch.inference_mode():
        inputs = []
        for batch in forward_batches(rows, llm.max_batch_tokens):
            ids = [[0] * (len(batch[0]) - len(row)) + list(row) for row in batch]
            read = [[0] * (len(batch[0]) - len(row)) + [1] * len(row) for row in batch]
            where = lent.model.device
            inputs.append(
                {"input_ids": torch.tensor(ids, device=where), "attention_mask": torch.tensor(read, device=where)}
            )
        started = time.perf_counter()
        for given in inputs:
            logits = lent.model(**given, use_cache=False, logits_to_keep=1).logits
            logits[:, -1, 0].tolist()  # a GPU returns before it is done
        return time.perf_counter() - started


def throughput(method: Method, llm: TransformersLLM, rankings: Sequence[Ranking], rounds: int) -> dict[str, Any]:
    """Tokens per second of a pointwise reranker and of plain forward passes over the same rows, taking turns."""
    llm.share_prefixes = False
    recorder, k = Recorder(llm), max(len(ranking.hits) for ranking in rankings)
    made(method, recorder).rerank(rankings, k=k)
    rows, reranker = recorder.rows, made(method, llm)
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        times["plain"].append(forward_seconds(llm, rows))
        times["ours"].append(seconds_of(lambda: reranker.rerank(rankings, k=k)))
    llm.share_prefixes = True
    tokens = sum(map(len, rows))
    ours, plain = (statistics.median(times[who]) for who in ("ours", "plain"))
    return {
        "method": method.name,
        "rows": len(rows),
        "tokens": tokens,
        "tokens_per_second": round(tokens / ours),
        "plain_tokens_per_second": round(tokens / plain),
        "share_of_plain": round(plain / ours, 3),
    }


def row_of(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def table(titles: Sequence[str], rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> Iterator[str]:
    """Lines of a Markdown table, each as soon as its row is there."""
    yield row_of(titles)
    yield row_of(["---"] + ["---:"] * (len(titles) - 1))
    for row in rows:
        yield row_of(_shown(row[name]) for name in names)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


SHARING = {
    "method": "method",
    "s/query, shared": "shared_seconds",
    "s/query, not shared": "alone_seconds",
    "ratio": "ratio",
    "prompt tokens/query": "prompt_tokens",
    "of these shared": "cached_tokens",
    "same order": "same_order",
}
THROUGHPUT = {
    "method": "method",
    "rows": "rows",
    "tokens": "tokens",
    "tokens/s": "tokens_per_second",
    "tokens/s, forward pass alone": "plain_tokens_per_second",
    "share": "share_of_plain",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=2)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=[], metavar="WORD", help="only those with a word in their name")
    parser.add_argument("--strict", action="store_true", help=f"exit with 1 if a share of throughput is below {AIM}")
    parser.add_argument("--record", action=Record, help="append to results/sharing.jsonl")
    options = parser.parse_args(arguments)
    rankings = prepare("scifact", depth=options.depth, limit=options.queries).rankings
    llm = TransformersLLM(model=MODEL)
    llm.warm_up()
    common = {"set": "scifact", "queries": options.queries, "depth": options.depth, "rounds": options.rounds}
    below: list[str] = []

    def measured(words: Sequence[str], measure: Measure) -> Iterator[dict[str, Any]]:
        for method in asking(words):
            row = measure(method, llm, rankings, options.rounds)
            if row.get("share_of_plain", AIM) < AIM:
                below.append(row["method"])
            if options.record:
                record("sharing", {**common, **row})
            yield row

    for line in table([*SHARING], measured(options.methods, shared_or_not), [*SHARING.values()]):
        print(line, flush=True)
    print()
    for line in table([*THROUGHPUT], measured(_POINTWISE, throughput), [*THROUGHPUT.values()]):
        print(line, flush=True)
    if below:
        print(f"below {AIM:.0%} of the model's own throughput: {', '.join(below)}", file=sys.stderr)
    return int(options.strict and bool(below))


if __name__ == "__main__":
    sys.exit(main())
