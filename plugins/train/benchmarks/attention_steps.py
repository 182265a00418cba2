"""What each step from in-context reranking to `rerank.attention` gives: in quality and in seconds.

Quality: nDCG@10 of attention alone, against the best order of the candidates, mean over sets, each with heads that were
found on the others' judgements, and at last on queries of theirs that nobody judged; from the head scores that
`plugins.train.benchmarks.attention_heads` keeps (what is missing is computed). Seconds:
median per query on Cranfield, all steps taking turns in one process.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.attention_steps [--documents 40] [--queries 5] [--record]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.attention import WORDS
from benchmarks.attention_latency import seconds
from benchmarks.first_stage import prepare
from benchmarks.icr_cost import default_llm
from benchmarks.make_samples import JUDGEMENTS
from benchmarks.record import Record, record
from plugins.train.benchmarks.attention_heads import WORK, asked, asked_folder, judged, kept_scores, others
from rag.protocols import LocalLLM, Reranker
from rag.types import Ranking
from rag.writing import EveryHead
from ragline_train.heads.search_heads import CaseScores
from ragline_train.heads.weighings import Example, Method, fit, ndcg, scored
from rerankers.attention.icr.reranker import ICRReranker
from rerankers.attention.reranker import AttentionReranker

Examples = Mapping[str, Sequence[Example]]


def left_out(examples: Examples, method: Method, setting: float, *, found_on: Examples | None = None) -> float:
    """Mean over sets of nDCG@10 with heads that were found on the other sets, of `found_on` where it is given."""
    means = []
    for name, own in examples.items():
        weights, prior = fit(others(found_on or examples, name), method, setting)
        means.append(np.mean([ndcg(scored(each, weights, prior), each.grades) for each in own]))
    return float(np.mean(means))


def all_heads(examples: Examples) -> float:
    """The same with all heads alike, summed as they are: nothing to find."""
    sums = {name: [ndcg(each.scores.sum(0), each.grades) for each in some] for name, some in examples.items()}
    return float(np.mean([np.mean(values) for values in sums.values()]))


Scores = Mapping[str, Sequence[CaseScores]]


def quality(plan: EveryHead, scores: Scores, unjudged: Scores) -> dict[str, float]:
    def up_to(layer: int, *, strength: float = 0.0, of: Scores = scores) -> Examples:
        heads = slice(sum(at <= layer for at, _ in plan.names))
        return {name: [each.example(heads, strength) for each in some] for name, some in of.items()}

    last = max(layer for layer, _ in plan.names)
    return {
        f"all heads of layers 0-{last}, no null": all_heads(up_to(last)),
        "less the null": all_heads(up_to(last, strength=1.0)),
        "layers 0-9 alone": all_heads(up_to(9, strength=1.0)),
        "eight heads by CoRe": left_out(up_to(9, strength=1.0), "core", 8),
        "weights learned, L1": left_out(up_to(9, strength=1.0), "sparse", 0.05),
        "learned jointly with the prior": left_out(up_to(9), "joint", 0.05),
        f"the same up to layer {last}": left_out(up_to(last), "joint", 0.05),
        "on unjudged queries, up to layer 9": left_out(up_to(9), "joint", 0.02, found_on=up_to(9, of=unjudged)),
    }


def times(llm: LocalLLM, rankings: Sequence[Ranking]) -> dict[str, float]:
    deepest = int(_layers(llm)) - 1
    kept = AttentionReranker(llm=llm)
    steps: dict[str, Reranker] = {
        "rerank.icr": ICRReranker(llm=llm, max_words=WORDS),
        "documents as blocks, all layers": AttentionReranker(llm=llm, heads=f"{deepest}-0", keep="nowhere"),
        "layers 0-9 alone": AttentionReranker(llm=llm, keep="nowhere"),
        "states kept": kept,
    }
    kept.rerank(rankings, k=10)
    for step in steps.values():
        seconds(step, replace(rankings[0], hits=rankings[0].hits[:2]))
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for ranking in rankings:
        for name, step in steps.items():
            spent[name].append(seconds(step, ranking))
    return {name: statistics.median(each) for name, each in spent.items()}


def _layers(llm: LocalLLM) -> int:
    with llm.weights() as lent:
        return int(lent.model.get_decoder().config.num_hidden_layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--limit", type=int, default=40, help="queries per set, for quality")
    parser.add_argument("--sets", nargs="+", choices=list(JUDGEMENTS), default=list(JUDGEMENTS))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/attention_steps.jsonl")
    options = parser.parse_args()
    llm, scores, unjudged = default_llm(options.model), dict[str, list[CaseScores]](), dict[str, list[CaseScores]]()
    for name in options.sets:
        cases = judged(name, depth=options.documents, limit=options.limit)
        plan, scores[name] = kept_scores(llm, f"{name}-{options.documents}", cases, WORK)
        _, unjudged[name] = kept_scores(llm, asked_folder(name, 9), asked(name), WORK, last_layer=9)
    found = quality(plan, scores, unjudged)
    spent = times(llm, prepare("cranfield", depth=options.documents, limit=options.queries).rankings)
    for step, value in found.items():
        print(f"{value:7.4f}  {step}")
    for step, value in spent.items():
        print(f"{value:7.3f} s  {step}, {spent['rerank.icr'] / value:.1f} times as fast as rerank.icr")
    if options.record:
        settings = {"documents": options.documents, "queries": options.queries, "limit": options.limit}
        rounded = {name: {k: round(v, 4) for k, v in each.items()} for name, each in (("ndcg", found), ("s", spent))}
        record("attention_steps", {**settings, **rounded})


if __name__ == "__main__":
    main()
