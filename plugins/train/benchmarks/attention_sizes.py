"""What a larger model's attention is worth over the hybrid: every head of several models on the same candidates.

Candidates are the built-in hybrid's first ones, for the queries of the committed samples. All heads of the first layers of
a model score them once; from these scores heads are learned on the other sets' judgements (method joint) and tried on
the set that was left out, alone and fused with the hybrid's score. The weight of the fusion is the best on the other sets
too; beside it stands the even weight of the built-in graph `ask`. Rows are told for heads up to a third, a half and two
thirds of the layers, so the curve shows what depth costs. Scores are kept in a work folder, so a run that was stopped goes
on where it was; queries are taken in turn from all sets, so a part of a run is a smaller sample of every set.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.attention_sizes --models MODEL ... [--depth 40 --report 20]
        [--limit 40] [--record]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.attention import MAX_TOKENS, WEIGHTS, best_weight
from benchmarks.first_stage import Job, prepare
from benchmarks.icr_cost import default_llm
from benchmarks.make_samples import JUDGEMENTS
from benchmarks.record import Record, record
from plugins.train.benchmarks.attention_heads import SHIPPED, others, read_scores
from rag.evaluate import Significance, evaluate, holm, paired_randomisation
from rag.protocols import LocalLLM
from rag.types import Ranking
from rag.writing import EveryHead
from ragline_train.heads.search_heads import CaseScores, choose_heads, score_cases, usual_depths
from ragline_train.heads.weighings import fit
from ragline_train.pseudo import Case
from rerankers.attention.reading.weigh import fused

WORK = Path("runs") / "attention_sizes"
PENALTY = 0.02
HALF = 0.5
"""The first stage's weight in the built-in graph `ask`; nothing is chosen with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query of a set: its candidates, in the hybrid's order, and what heads say of them."""

    ranking: Ranking
    scores: CaseScores
    qrels: Mapping[str, int]

    @property
    def can_teach(self) -> bool:
        return bool((self.scores.grades > 0).any())

    def ndcg(self, by: NDArray[np.float64] | None) -> float:
        """nDCG@10 of the candidates in this order; None is the hybrid's own."""
        ids = self.ranking.doc_ids
        order = range(len(ids)) if by is None else np.argsort(-by, kind="stable")
        run = {self.ranking.qid: [ids[place] for place in order]}
        return float(evaluate(run, {self.ranking.qid: self.qrels}, ["nDCG@10"]).measures["nDCG@10"])


def in_turn(jobs: Mapping[str, Job]) -> Iterator[tuple[Job, Ranking]]:
    """The first query of every set, then the second of every set, and so on."""
    for row in zip_longest(*([(job, ranking) for ranking in job.rankings] for job in jobs.values())):
        yield from (each for each in row if each is not None)


def scored_by(llm: LocalLLM, jobs: Mapping[str, Job], folder: Path, *, last_layer: int) -> EveryHead:
    """Score what is not scored yet; every head up to a layer on every candidate."""
    with llm.weights() as lent:
        plan, _ = score_cases(lent, [], last_layer=last_layer, max_tokens=MAX_TOKENS)
        for job, ranking in in_turn(jobs):
            path = path_of(folder, job, ranking)
            if path.is_file():
                continue
            documents = tuple(hit.document for hit in ranking.hits)
            case = Case(query=ranking.query.text, candidates=documents, grades=grades_of(job, ranking))
            _, [made] = score_cases(lent, [case], last_layer=last_layer, max_tokens=MAX_TOKENS)
            path.parent.mkdir(parents=True, exist_ok=True)
            halves = {"real": made.real.astype(np.float32), "null": made.null.astype(np.float32)}
            np.savez_compressed(path, **halves, grades=made.grades)
    return plan


def path_of(folder: Path, job: Job, ranking: Ranking) -> Path:
    return folder / job.name / f"{ranking.qid.replace('/', '_')}.npz"


def grades_of(job: Job, ranking: Ranking) -> tuple[float, ...]:
    return tuple(float(job.qrels[ranking.qid].get(doc_id, 0)) for doc_id in ranking.doc_ids)


def read(jobs: Mapping[str, Job], folder: Path) -> dict[str, list[Asked]]:
    """What is scored of every set."""
    return {
        name: [
            Asked(ranking=each, scores=read_scores(path), qrels=job.qrels[each.qid])
            for each in job.rankings
            if (path := path_of(folder, job, each)).is_file()
        ]
        for name, job in jobs.items()
    }


def attention_of(asked: Mapping[str, Sequence[Asked]], heads: slice) -> dict[str, list[NDArray[np.float64]]]:
    """Scores of every query's candidates by heads that were learned on the other sets."""
    found = dict[str, list[NDArray[np.float64]]]()
    for name, some in asked.items():
        teaching = [each.scores.example(heads) for each in others(asked, name) if each.can_teach]
        weights, prior = fit(teaching, "joint", PENALTY)
        found[name] = [heads_say(each, heads, weights, prior) for each in some]
    return found


def heads_say(
    asked: Asked, heads: slice, weights: NDArray[np.float64], prior: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    real, null = asked.scores.real[heads], asked.scores.null[heads]
    taken = 0.0 if prior is None else prior @ null
    result: NDArray[np.float64] = weights @ real - taken
    return result


def by_weight(some: Sequence[Asked], attention: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """nDCG@10 [n_queries, n_weights] of attention fused with the hybrid."""
    rows = []
    for each, said in zip(some, attention, strict=True):
        first = np.array([hit.score for hit in each.ranking.hits])
        rows.append([each.ndcg(fused(said, first, weight=weight)) for weight in WEIGHTS])
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--sets", nargs="+", choices=list(JUDGEMENTS), default=list(JUDGEMENTS))
    parser.add_argument("--depth", type=int, default=20, help="candidates that are scored")
    parser.add_argument("--report", type=int, nargs="*", default=[], help="tell of the first so many too")
    parser.add_argument("--limit", type=int, default=40, help="queries per set, the first of its sample")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--record", action=Record, help="append to results/attention_sizes.jsonl")
    parser.add_argument("--ship", action="store_true", help="write the heads into the package")
    given = parser.parse_args()
    jobs = {name: prepare(name, depth=given.depth, limit=given.limit, stage="hybrid") for name in given.sets}
    for model in given.models:
        llm = default_llm(model)
        with llm.weights() as lent:
            layers = usual_depths(int(lent.model.get_decoder().config.num_hidden_layers))
        folder = given.work / f"{model.replace('/', '_')}-{given.depth}"
        plan = scored_by(llm, jobs, folder, last_layer=layers[-1])
        asked = read(jobs, folder)
        for depth in sorted({*given.report, given.depth}):
            rows = table(plan, shortened(asked, depth), layers)
            for told in rows:
                show(told | {"model": model, "depth": depth})
                if given.record:
                    record("attention_sizes", told | {"model": model, "depth": depth})
        if given.ship:
            best = max(rows, key=lambda row: row["half"]["mean"])["layer"]
            ship(llm, plan, asked, model, layer=best)


def table(plan: EveryHead, asked: Mapping[str, Sequence[Asked]], layers: Sequence[int]) -> list[dict[str, Any]]:
    """A row for heads up to each of these layers: means over sets of nDCG@10, and what fusing adds to the hybrid."""
    own = {name: np.array([each.ndcg(None) for each in some]) for name, some in asked.items()}
    before = np.concatenate([*own.values()])
    rows, tests, halves = [], [], []
    for layer in layers:
        attention = attention_of(asked, slice(sum(at <= layer for at, _ in plan.names)))
        alone = {n: np.array([a.ndcg(s) for a, s in zip(asked[n], attention[n], strict=True)]) for n in asked}
        weighed = {name: by_weight(asked[name], attention[name]) for name in asked}
        means = {name: values.mean(axis=0) for name, values in weighed.items()}
        weights = {name: best_weight([means[o] for o in asked if o != name]) for name in asked}
        fusion = {name: weighed[name][:, WEIGHTS.index(weights[name])] for name in asked}
        half = {name: weighed[name][:, WEIGHTS.index(HALF)] for name in asked}
        tests.append(paired_randomisation(np.concatenate([*fusion.values()]), before))
        halves.append(paired_randomisation(np.concatenate([*half.values()]), before))
        rows.append(
            {
                "layer": layer,
                "queries": sum(map(len, asked.values())),
                "hybrid": over_sets(own),
                "alone": over_sets(alone),
                "fused": over_sets(fusion),
                "gain": over_sets(fusion) - over_sets(own),
                "weights": weights,
                "half": {"mean": over_sets(half)},
                "best": float(np.mean([each.max() for each in means.values()])),
                "sets": {
                    n: {
                        "hybrid": own[n].mean(),
                        "alone": alone[n].mean(),
                        "fused": fusion[n].mean(),
                        "half": half[n].mean(),
                    }
                    for n in own
                },
            }
        )
    of_learned, of_half = (_told(some) for some in (tests, halves))
    return [
        row | learned | {"half": row["half"] | even}
        for row, learned, even in zip(rows, of_learned, of_half, strict=True)
    ]


def _told(tests: Sequence[Significance]) -> list[dict[str, float]]:
    """Differences with intervals; p is corrected over all of these."""
    corrected = holm([test.p for test in tests])
    return [
        {"difference": test.difference, "low": test.low, "high": test.high, "p": p}
        for test, p in zip(tests, corrected, strict=True)
    ]


def over_sets(values: Mapping[str, NDArray[np.float64]]) -> float:
    return float(np.mean([some.mean() for some in values.values()]))


def show(told: Mapping[str, Any]) -> None:
    sets = "  ".join(
        f"{name} {one['fused'] - one['hybrid']:+.3f} {one['half'] - one['hybrid']:+.3f}"
        for name, one in told["sets"].items()
    )
    print(
        f"{told['model']}, {told['queries']} queries, hybrid's first {told['depth']}: {told['hybrid']:.4f}; "
        f"layers 0-{told['layer']}: alone {told['alone']:.4f}, fused {told['fused']:.4f}, {told['gain']:+.4f}; "
        f"of queries {told['difference']:+.4f} [{told['low']:+.4f}, {told['high']:+.4f}] p {told['p']:.4f}; "
        f"half and half {told['half']['mean']:.4f}, {told['half']['difference']:+.4f} [{told['half']['low']:+.4f}, "
        f"{told['half']['high']:+.4f}] p {told['half']['p']:.4f}; each set's own best weight {told['best']:.4f}   "
        f"by set, learned and half: {sets}",
        flush=True,
    )


def shortened(asked: Mapping[str, Sequence[Asked]], depth: int) -> dict[str, list[Asked]]:
    """The first candidates alone. A document is read by itself, so its scores are what they would have been."""
    return {
        name: [
            replace(
                each,
                ranking=replace(each.ranking, hits=each.ranking.hits[:depth]),
                scores=replace(
                    each.scores,
                    real=each.scores.real[:, :depth],
                    null=each.scores.null[:, :depth],
                    grades=each.scores.grades[:depth],
                ),
            )
            for each in some
        ]
        for name, some in asked.items()
    }


def ship(llm: LocalLLM, plan: EveryHead, asked: Mapping[str, Sequence[Asked]], model: str, *, layer: int) -> None:
    """Heads up to a layer from the judgements of all sets, into the package."""
    scores = [each.scores for some in asked.values() for each in some if each.can_teach]
    found_on = f"{len(scores)} judged queries of {', '.join(asked)}"
    search = choose_heads(llm, plan, scores, model=model, found_on=found_on, methods=["joint"], depths=[layer])
    search.heads.save(SHIPPED / f"{model}.json")
    print(f"{model}: {search.heads.method}; {', '.join(search.heads.weights)}")


if __name__ == "__main__":
    main()
