"""What `rerank.attention` gains and costs: the committed samples, BM25's first forty, nDCG@10 beside the baselines.

Heads of a set are those found without it, on queries of the other sets that nobody judged, where nothing else is said
(`benchmarks/heads`, written by `plugins.train.benchmarks.attention_heads`); the weight of a fusion is the one that is best on
the other sets. Every result is one line in a work file under `benchmarks/results`, by method, set and query, so a run that was
stopped, on this machine or another, goes on where it was; a line counts only for the reranker and head set that made it.

    identity            the first stage itself
    alone               attention scores only, candidates in first-stage order
    alone-shuffled      the same, candidates shuffled
    alone-reversed      the same, candidates reversed
    fused               attention and BM25's score, both standardised, weighed as is best on the other sets
    alone-int8          alone, with document states kept as int8
    alone-compiled      alone, with compiled layers
    alone-judged        alone, with heads found on the other sets' judgements
    fused-judged        these fused
    alone-free          alone, with heads found on the set's own corpus, without any query
    fused-free          these fused, with the same weight as fused
    icr, icr-shuffled   rerank.icr with the paper's defaults
    cosine              MiniLM's cosine
    yes-no              rerank.yes_no
    listwise            rerank.listwise, windows of 20
    hybrid              the built-in hybrid retrieval itself; what follows is compared with it
    hybrid-alone        attention scores only, over its candidates
    hybrid-fused        these and its score, weighed as is best on the other sets

    RAGLINE_EVAL_DATA=... python -m benchmarks.attention [METHOD ...] [--limit 40] [--depth 40]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.first_stage import Job, first_stage, hybrid_stage, prepare, shuffled
from benchmarks.graphs import llm_part
from benchmarks.icr_cost import default_llm
from benchmarks.make_samples import HEADS, JUDGEMENTS, data_folder, read_sample
from benchmarks.record import RESULTS
from benchmarks.work_lines import Component, Setup, Work
from rag.core.protocols import LocalLLM, Reranker
from rag.core.types import Ranking
from rag.evaluate.measures import evaluate
from rag.evaluate.significance import holm, paired_randomisation
from rerankers import RERANKERS
from rerankers.attention.reading.weigh import fused

WORK = RESULTS / "attention_queries.jsonl"
MAX_TOKENS = 128
"""Of a document, as the reranker reads it and as heads are found."""
WORDS = 85  # about MAX_TOKENS: what baselines that count words are shown of a document
BASELINES = ("identity", "icr", "icr-shuffled", "hybrid")
"""What all others of the same first stage are compared with."""
TOGETHER = {"yes-no": 4, "listwise": 8}
"""Queries that a method takes at a time, where that is not one: what writes is much faster with full batches."""


def backwards(ranking: Ranking) -> Ranking:
    return replace(ranking, hits=ranking.hits[::-1])


def same(ranking: Ranking) -> Ranking:
    return ranking


Order = Callable[[Ranking], Ranking]
Made = Callable[[str], Component]
"""Set -> its reranker."""

FUSED = {"fused": "alone", "fused-judged": "alone-judged", "fused-free": "alone", "hybrid-fused": "hybrid-alone"}
"""What is fused with the first stage -> the method whose scores the weight is chosen by."""
WEIGHTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def methods(model: str, weight_for: Callable[[str, str], float]) -> dict[str, tuple[Order, Made]]:
    """Name -> how candidates are ordered, and set -> reranker. `weight_for`: method and set -> the first stage's weight."""
    llm = llm_part(model, "transformers")

    def attention(heads: str, *, fuse: str = "", **more: Any) -> Made:
        def made(name: str) -> Component:
            weight = {"first_stage_weight": weight_for(fuse, name)} if fuse else {}
            # On disk, so that variants of one method read what another has encoded.
            common = {"llm": llm, "max_tokens": MAX_TOKENS, "keep": "disk", "keep_mb": 8192}
            heads_file = HEADS / heads.format(set=name)
            return Component(RERANKERS.get("attention"), heads=heads_file, **common, **more, **weight)

        return made

    def other(use: str, **settings: Any) -> Made:
        shared = {} if use in ("identity", "cosine") else {"llm": llm}
        component = Component(RERANKERS.get(use), **shared, **settings)
        return lambda name: component

    return {
        "identity": (same, other("identity")),
        "alone": (same, attention("{set}.json")),
        "alone-shuffled": (shuffled, attention("{set}.json")),
        "alone-reversed": (backwards, attention("{set}.json")),
        "fused": (same, attention("{set}.json", fuse="fused")),
        "alone-int8": (same, attention("{set}.json", keep_as="int8")),
        "alone-compiled": (same, attention("{set}.json", compiled=True)),
        "alone-judged": (same, attention("{set}.judged.json")),
        "fused-judged": (same, attention("{set}.judged.json", fuse="fused-judged")),
        "alone-free": (same, attention("{set}.free.json")),
        "fused-free": (same, attention("{set}.free.json", fuse="fused-free")),
        "cosine": (same, other("cosine", model="all-minilm-l6-v2", depth=None, first_stage_weight=0.0)),
        "icr": (same, other("icr", max_words=WORDS)),
        "icr-shuffled": (shuffled, other("icr", max_words=WORDS)),
        "yes-no": (same, other("yes_no", max_words=WORDS)),
        "listwise": (same, other("listwise", window=20, stride=10, max_words=WORDS)),
        "hybrid": (same, other("identity")),
        "hybrid-alone": (same, attention("{set}.json")),
        "hybrid-fused": (same, attention("{set}.json", fuse="hybrid-fused")),
    }


def ndcg_by_weight(job: Job, scores: Mapping[str, Sequence[float]], weights: Sequence[float]) -> NDArray[np.float64]:
    """Mean nDCG@10 of a set under each weight of its first stage. `scores`: qid -> those of attention, as candidates stand."""
    values = np.empty((len(job.rankings), len(weights)))
    for row, ranking in enumerate(job.rankings):
        attention, first = (np.array(each) for each in (scores[ranking.qid], [hit.score for hit in ranking.hits]))
        for at, weight in enumerate(weights):
            # At 1 the first stage's own order, ties included, and not that of its scores.
            mixed = -np.arange(len(first)) if weight == 1 else fused(attention, first, weight=weight)
            ids = [ranking.doc_ids[i] for i in np.argsort(-mixed, kind="stable")]
            measured = evaluate({ranking.qid: ids}, {ranking.qid: job.qrels[ranking.qid]}, ["nDCG@10"])
            values[row, at] = measured.measures["nDCG@10"]
    result: NDArray[np.float64] = values.mean(axis=0)
    return result


def best_weight(others: Sequence[NDArray[np.float64]]) -> float:
    """The one of WEIGHTS that ranks other sets best, mean over sets; of equals the middle one, without sets a half.

    others: for each set, nDCG@10 under each of WEIGHTS.
    """
    if not others:
        return 0.5
    means = np.mean(others, axis=0).round(6)
    best = [weight for weight, value in zip(WEIGHTS, means, strict=True) if value == means.max()]
    return best[len(best) // 2]


def first_stage_of(method: str) -> str:
    """The method that only passes on what `method` is given to rerank."""
    return "hybrid" if method.startswith("hybrid") else "identity"


def needed(method: str) -> tuple[str, ...]:
    """Methods whose results this one's need, or are compared with."""
    alone = FUSED.get(method)
    return (first_stage_of(method), *([] if alone is None else [alone]))


def run(method: str, job: Job, work: Work, made: Made, order: Order, llm: LocalLLM, depth: int) -> Setup:
    """Ask what has not been asked yet. Returns the setup under which results are kept."""
    component = made(job.name)
    stage = hybrid_stage if first_stage_of(method) == "hybrid" else first_stage
    settings = f"{component} depth {depth}"
    setup = Setup.of(component, order, stage, data=[data_folder() / job.name], settings=settings)
    missing = [each for each in job.rankings if work.get(method, job.name, each.qid, setup) is None]
    reranker: Reranker = component.make(**({"llm": llm} if "llm" in component.params else {}))
    size = TOGETHER.get(method, 1)
    for some in (missing[first : first + size] for first in range(0, len(missing), size)):
        started = time.perf_counter()
        found = reranker.rerank([order(ranking) for ranking in some], k=max(1, *(len(r.hits) for r in some)))
        seconds = (time.perf_counter() - started) / len(some)
        for asked, each in zip(some, found, strict=True):
            measured = evaluate({each.qid: each.doc_ids}, {each.qid: job.qrels[each.qid]}, ["nDCG@10"])
            work.add(
                {
                    "method": method,
                    "set": job.name,
                    "qid": each.qid,
                    "nDCG@10": measured.measures["nDCG@10"],
                    "seconds": round(seconds, 4),
                    "read": each.usage.prompt_tokens - each.usage.cached_tokens,
                    "outcome": each.outcome.kind,
                    **({"scores": in_order(each, asked)} if method in FUSED.values() else {}),
                },
                setup,
            )
    return setup


def in_order(reranked: Ranking, candidates: Ranking) -> list[float]:
    """Scores in the candidates' order."""
    scores = {hit.doc_id: hit.score for hit in reranked.hits}
    return [round(scores[doc_id], 5) for doc_id in candidates.doc_ids]


def table(values: Mapping[tuple[str, str], Mapping[str, float]], sets: Sequence[str], baseline: str) -> list[str]:
    """Markdown: one line per method, nDCG@10 per set over the queries that it shares with the baseline."""
    lines = [
        f"| method | {' | '.join(sets)} | mean | against {baseline} | 95% interval | p (Holm) |",
        "|" + " --- |" * (len(sets) + 5),
    ]
    rows, ps = list[tuple[str, list[str], float, Any, str]](), list[float]()
    for method in dict.fromkeys(method for method, _ in values):
        cells, means, ours, theirs = list[str](), list[float](), list[float](), list[float]()
        for name in sets:
            mine, base = values.get((method, name), {}), values.get((baseline, name), {})
            qids = [qid for qid in base if qid in mine]
            if not qids:
                cells.append("-")
                continue
            means.append(float(np.mean([mine[qid] for qid in qids])))
            cells.append(f"{means[-1]:.4f}")
            ours += [mine[qid] for qid in qids]
            theirs += [base[qid] for qid in qids]
        if method == baseline or not means:
            rows.append((method, cells, float(np.mean(means)) if means else float("nan"), None, ""))
            continue
        against = paired_randomisation(ours, theirs)
        ps.append(against.p)
        rows.append((method, cells, float(np.mean(means)), against, f"n {len(ours)}"))
    corrected = iter(holm(ps))
    for method, cells, mean, against, n in rows:
        if against is None:
            lines.append(f"| {method} | {' | '.join(cells)} | {mean:.4f} | | | |")
        else:
            told = (
                f"{against.difference:+.4f} | [{against.low:+.4f}, {against.high:+.4f}] | {next(corrected):.4f} ({n})"
            )
            lines.append(f"| {method} | {' | '.join(cells)} | {mean:.4f} | {told} |")
    return lines


def by_set(values: Mapping[tuple[str, str], Mapping[str, float]], sets: Sequence[str], baseline: str) -> list[str]:
    """One line per method: its difference to the baseline on every set, with p corrected over the sets (Holm)."""
    lines = []
    for method in dict.fromkeys(method for method, _ in values if method != baseline):
        shared = {name: sorted(set(values[method, name]) & set(values[baseline, name])) for name in sets}
        found = {
            name: paired_randomisation(
                [values[method, name][qid] for qid in qids], [values[baseline, name][qid] for qid in qids]
            )
            for name, qids in shared.items()
        }
        corrected = holm([each.p for each in found.values()])
        told = (
            f"{name} {each.difference:+.3f} ({p:.2f})" for (name, each), p in zip(found.items(), corrected, strict=True)
        )
        lines.append(f"{method}: {', '.join(told)}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "methods", nargs="*", metavar="METHOD", default=["identity", "alone", "alone-shuffled", "fused"]
    )
    parser.add_argument("--sets", nargs="+", choices=list(JUDGEMENTS), default=list(JUDGEMENTS))
    parser.add_argument("--depth", type=int, default=40)
    parser.add_argument("--limit", type=int, default=40, help="queries per set, the first of its sample")
    parser.add_argument("--all", action="store_true", help="all judged queries of the sets instead")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--work", type=Path, default=WORK)
    options = parser.parse_args()
    llm, work = default_llm(options.model), Work(options.work)
    jobs, setups = dict[tuple[str, str], Job](), dict[tuple[str, str], Setup]()

    @cache
    def by_weight(alone: str, name: str) -> NDArray[np.float64]:
        job, lines = jobs[first_stage_of(alone), name], work.of(alone, name, setups[alone, name])
        # With --all too, so that its weight is the one that the sample is told with.
        sample = set(read_sample(name)[: options.limit])
        job = replace(job, rankings=[each for each in job.rankings if each.query.qid in sample])
        return ndcg_by_weight(job, {line["qid"]: line["scores"] for line in lines}, WEIGHTS)

    def weight_for(method: str, name: str) -> float:
        return best_weight([by_weight(FUSED[method], other) for other in options.sets if other != name])

    known = methods(options.model, weight_for)
    if unknown := set(options.methods) - set(known):
        parser.error(f"no method {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    limit = None if options.all else options.limit
    asked = list(dict.fromkeys(each for method in options.methods for each in (*needed(method), method)))
    for name in options.sets:
        for stage in dict.fromkeys(map(first_stage_of, asked)):
            kind: Literal["hybrid", "bm25"] = "hybrid" if stage == "hybrid" else "bm25"
            jobs[stage, name] = prepare(name, depth=options.depth, limit=limit, stage=kind)
    values = dict[tuple[str, str], dict[str, float]]()
    outcomes = dict[str, dict[str, int]]()
    for method in asked:
        order, made = known[method]
        for name in options.sets:
            job = jobs[first_stage_of(method), name]
            setup = setups[method, name] = run(method, job, work, made, order, llm, options.depth)
            found = {r.qid: work.get(method, name, r.qid, setup) or {} for r in job.rankings}
            values[method, name] = {qid: line["nDCG@10"] for qid, line in found.items()}
            for line in found.values():
                counts = outcomes.setdefault(method, {})
                counts[line["outcome"]] = counts.get(line["outcome"], 0) + 1
            mean = float(np.mean(list(values[method, name].values())))
            print(f"{method:<16} {name:<16} {mean:.4f}  {setup.settings}", flush=True)
    print()
    for baseline in (each for each in asked if each in BASELINES):
        rows = {key: found for key, found in values.items() if first_stage_of(key[0]) == first_stage_of(baseline)}
        print(*table(rows, options.sets, baseline), "", *by_set(rows, options.sets, baseline), "", sep="\n")
    print("outcomes:", json.dumps(outcomes))


if __name__ == "__main__":
    main()
