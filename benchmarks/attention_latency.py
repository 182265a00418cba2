"""Seconds of `rerank.attention` beside `rerank.icr`, same model, candidates and words: cold, warm, and as depth grows.

Cranfield queries, BM25's first hits, documents of at most 128 tokens. Cold: nothing is kept. Warm: all states are in
memory from an earlier query. All take turns in one process; medians, and their ratios. With --baselines, one query each:
`rerank.listwise` in windows of 20 by 10, and a plain forward with eager attention over ICR's prompt that keeps the
attention of all layers (`output_attentions`), at the depth that memory allows.

    RAGLINE_EVAL_DATA=... python -m benchmarks.attention_latency [--documents 40] [--queries 3] [--growth 20 80 320]
    [--baselines] [--record]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.attention import WORDS
from benchmarks.first_stage import prepare
from benchmarks.icr_cost import default_llm, prompt_ids
from benchmarks.record import Record, record
from rag.core.protocols import LocalLLM, Reranker
from rag.core.types import Ranking
from rag.core.words import first_words
from rerankers.attention.icr.reranker import ICRReranker
from rerankers.attention.reranker import AttentionReranker
from rerankers.listwise import ListwiseReranker


def seconds(reranker: Reranker, ranking: Ranking) -> float:
    started = time.perf_counter()
    reranker.rerank([ranking], k=10)
    return time.perf_counter() - started


def median_of(reranker: Reranker, rankings: Sequence[Ranking]) -> float:
    return statistics.median(seconds(reranker, ranking) for ranking in rankings)


def eager_seconds(llm: LocalLLM, ranking: Ranking) -> float:
    """Seconds of one forward with eager attention over the prompt that ICR reads, all layers' attention kept."""
    import torch

    texts = [first_words(hit.document.full_text, WORDS) for hit in ranking.hits]
    with llm.weights() as lent:
        ids = prompt_ids(lent, ranking.query.text, texts)
        decoder = lent.model.get_decoder()
        before = decoder.config._attn_implementation
        decoder.config._attn_implementation = "eager"
        try:
            started = time.perf_counter()
            with torch.no_grad():
                kept = decoder(input_ids=ids, use_cache=False, output_attentions=True).attentions
            spent = time.perf_counter() - started
        finally:
            decoder.config._attn_implementation = before
    assert len(kept) == decoder.config.num_hidden_layers
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--queries", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="*", default=[20, 80, 320], help="depths to time, cold")
    parser.add_argument("--baselines", action="store_true", help="also time listwise and eager attention")
    parser.add_argument("--eager", type=int, default=20, help="documents that eager attention reads")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/attention_latency.jsonl")
    options = parser.parse_args()
    llm = default_llm(options.model)
    rankings = prepare("cranfield", depth=max([options.documents, *options.growth]), limit=options.queries).rankings
    some = [replace(ranking, hits=ranking.hits[: options.documents]) for ranking in rankings]
    icr = ICRReranker(llm=llm, max_words=WORDS)
    cold, warm = AttentionReranker(llm=llm, keep="nowhere"), AttentionReranker(llm=llm)
    few = replace(some[0], hits=some[0].hits[:2])
    for reranker in (icr, cold, warm):
        seconds(reranker, few)  # loads, and fills what is computed once
    warm.rerank(some, k=10)
    at_few: dict[str, float] = {}
    times = {"icr": median_of(icr, some), "cold": median_of(cold, some), "warm": median_of(warm, some)}
    if options.baselines:
        few = replace(some[0], hits=some[0].hits[: options.eager])
        listwise = ListwiseReranker(llm=llm, window=20, stride=10, max_words=WORDS)
        times["listwise"] = seconds(listwise, some[0])
        at_few = {"eager": eager_seconds(llm, few)} | {
            name: median_of(one, [few] * 3) for name, one in (("icr", icr), ("cold", cold), ("warm", warm))
        }
        print(f"{options.eager} documents:", {name: round(spent, 3) for name, spent in at_few.items()})
        print(f"cold is {at_few['eager'] / at_few['cold']:.1f} times as fast as eager there")
    for name, spent in times.items():
        print(f"{name:<8} {spent:8.3f} s   {times['icr'] / spent:7.1f} times as fast as icr")
    growth = {n: median_of(cold, [replace(r, hits=r.hits[:n]) for r in rankings[:1]]) for n in options.growth}
    exponent = None
    if len(growth) > 1:
        (n, first), (m, last) = min(growth.items()), max(growth.items())
        exponent = math.log(last / first) / math.log(m / n)
        print("cold seconds by depth:", {n: round(s, 3) for n, s in growth.items()}, f"exponent {exponent:.2f}")
    if options.record:
        rounded = {name: round(spent, 4) for name, spent in times.items()}
        by_depth = {str(n): round(s, 4) for n, s in growth.items()}
        settings = {"documents": options.documents, "queries": options.queries, "model": options.model}
        eager = {"eager_documents": options.eager, "at_eager": {n: round(s, 4) for n, s in at_few.items()}}
        measured = {"seconds": rounded, "by_depth": by_depth, "exponent": exponent}
        record("attention_latency", {**settings, **measured, **(eager if at_few else {})})


if __name__ == "__main__":
    main()
