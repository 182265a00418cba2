"""What order and company of the candidates change in `rerank.attention`'s scores, in float32 and in bfloat16.

The same candidates are read as they come, reversed, shuffled, and five at a time; nothing is kept in between. Scores are
standard deviations, so a change can be read as it is. Printed and recorded: the largest change of a score, and the pairs
of documents that swap ranks.

    RAGLINE_EVAL_DATA=... python -m benchmarks.attention_invariance [--documents 40] [--queries 5] [--record]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import combinations

from benchmarks.attention import backwards, same
from benchmarks.first_stage import prepare, shuffled
from benchmarks.record import Record, record
from generators.llm import LLMS
from rag.core.types import Ranking
from rerankers.attention.reranker import AttentionReranker

NEVER = 1e9  # a lead that no document has: reading goes on to the end, five at a time


def scores(reranker: AttentionReranker, ranking: Ranking) -> dict[str, float]:
    [found] = reranker.rerank([ranking], k=len(ranking.hits))
    return {hit.doc_id: hit.score for hit in found.hits}


def swaps(before: dict[str, float], after: dict[str, float]) -> int:
    """Pairs of documents whose order differs."""
    return sum((before[a] - before[b]) * (after[a] - after[b]) < 0 for a, b in combinations(before, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/attention_invariance.jsonl")
    options = parser.parse_args()
    rankings = prepare("cranfield", depth=options.documents, limit=options.queries).rankings
    for dtype in ("float32", "bfloat16"):
        llm = LLMS.get("transformers")(model=options.model, dtype=dtype)
        whole = AttentionReranker(llm=llm, keep="nowhere")
        in_fives = AttentionReranker(llm=llm, keep="nowhere", step=5, margin=NEVER)
        base = [scores(whole, ranking) for ranking in rankings]
        ways: dict[str, tuple[AttentionReranker, Callable[[Ranking], Ranking]]] = {
            "reversed": (whole, backwards),
            "shuffled": (whole, shuffled),
            "five at a time": (in_fives, same),
        }
        for way, (reranker, order) in ways.items():
            again = [scores(reranker, order(ranking)) for ranking in rankings]
            pairs = list(zip(base, again, strict=True))
            largest = max(abs(before[doc_id] - after[doc_id]) for before, after in pairs for doc_id in before)
            swapped = sum(swaps(before, after) for before, after in pairs)
            of = sum(len(before) * (len(before) - 1) // 2 for before in base)
            print(
                f"{dtype:<9} {way:<15} largest change {largest:.2e}, {swapped} of {of:,} pairs swap ranks", flush=True
            )
            if options.record:
                found = {"dtype": dtype, "way": way, "largest_change": largest, "swapped_pairs": swapped, "pairs": of}
                settings = {"documents": options.documents, "queries": options.queries, "model": options.model}
                record("attention_invariance", {**settings, **found})


if __name__ == "__main__":
    main()
