"""What a reranker is worth over the built-in hybrid, and what it costs: nDCG@10 of the committed samples, seconds a question.

Each reranker scores the hybrid's first forty documents; those that are asked of a model document by document, its first ten.
Told are its own order, and its scores fused with the hybrid's, both standardised: half and half, for which nothing was
chosen, and weighed as is best on the other sets. Every row is compared with the hybrid by a paired randomisation test,
corrected over all rows (Holm); beside nDCG@10 stands how often a relevant document is among the first four, which is what an
answer is written from. A question whose scores are kept is not asked again, so a run that was stopped goes on. `--all` asks
all judged questions. `--time` asks the first question of each set, with nothing kept of documents, and tells the median: run
it alone. `--picture` draws what was recorded last: what each gains half and half, and its seconds.

Heads of attention are those that the package ships. They were found on judgements of these sets, the smallest model's on
questions of the other sets that nobody judged; what the larger ones are worth on a set left out tells
`plugins.train.benchmarks.attention_sizes`.

    RAGLINE_EVAL_DATA=... python -m benchmarks.which_reranker [NAME ...] [--sets SET ...] [--limit 40 | --all] [--time] [--record]
    python -m benchmarks.which_reranker --picture docs/reference/which_reranker.svg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.attention import HEADS, MAX_TOKENS, WEIGHTS, WORDS, best_weight, in_order
from benchmarks.first_stage import Job, hybrid_stage, prepare
from benchmarks.graphs import llm_part
from benchmarks.legs import SETS
from benchmarks.make_samples import JUDGEMENTS, data_folder
from benchmarks.methods_plot import Point, plot
from benchmarks.record import Record, record, recorded
from benchmarks.work_lines import Component, Setup, Work
from generators.llm import LLMS
from rag.core.protocols import Reranker
from rag.core.ranking import ranked
from rag.core.types import Query, Ranking, ScoredDocument
from rag.evaluate import Significance, evaluate, holm, paired_randomisation
from rag.evaluate.beir import load_beir
from ragline_recipes.promptreps.encoder import PromptRepsEncoder, Representations
from rerankers import RERANKERS
from rerankers.attention.reading.weigh import fused

WORK = Path("runs") / "which_reranker.jsonl"
FIRST = "hybrid"
DEPTH = 40
PROMPTED = 10
"""Documents that a model is asked about one by one: more takes minutes a question."""
HALF = 0.5
SHOWN = 4
"""Documents that an answer is written from."""
MEASURE = "nDCG@10"


class PromptReps:
    """Documents by half of each of PromptReps' scores, vectors and words, both from 0 to 1 over the candidates."""

    def __init__(self, *, model: str) -> None:
        self._encoder = PromptRepsEncoder(LLMS.get("transformers")(model=model))

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        return [_reordered(ranking, self._scores(ranking), k) for ranking in rankings]

    def _scores(self, ranking: Ranking) -> NDArray[np.float64]:
        asked = self._encoder.encode([ranking.query.text], role="query")
        read = self._encoder.encode([hit.document.full_text for hit in ranking.hits], role="document")
        halves = (read.dense @ asked.dense[0], np.array([_shared(asked, read, row) for row in range(len(read.dense))]))
        return sum((_from_0_to_1(half) for half in halves), start=np.zeros(len(read.dense)))


def _shared(asked: Representations, read: Representations, row: int) -> float:
    """Weights of the tokens that a question and a document share, multiplied."""
    theirs = read.weights(row)
    return float(sum(weight * theirs.get(token, 0) for token, weight in asked.weights(0).items()))


def _from_0_to_1(values: NDArray[Any]) -> NDArray[np.float64]:
    spread = float(np.ptp(values))
    return (values - values.min()) / spread if spread else np.zeros(len(values))


def _reordered(ranking: Ranking, scores: NDArray[Any], k: int) -> Ranking:
    scored = (
        ScoredDocument(document=hit.document, score=float(score))
        for hit, score in zip(ranking.hits, scores, strict=True)
    )
    return replace(ranking, hits=ranked(scored, k=k))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A reranker of the table. `by_set`: its heads are a set's own file."""

    component: Component
    depth: int = DEPTH
    by_set: bool = False

    def of(self, name: str, **more: Any) -> Component:
        own = {"heads": HEADS / f"{name}.json"} if self.by_set else {}
        return Component(self.component.kind, **self.component.params, **own, **more)


def _attention(model: str, *, by_set: bool = False) -> Row:
    llm = llm_part(model, "transformers")
    return Row(component=Component(RERANKERS.get("attention"), llm=llm, max_tokens=MAX_TOKENS), by_set=by_set)


def _cosine(model: str) -> Row:
    # alone, for shares are tried afterwards
    return Row(component=Component(RERANKERS.get("cosine"), model=model, depth=None, first_stage_weight=0.0))


def _prompted(use: str, **settings: Any) -> Row:
    llm = llm_part("qwen2.5-coder-1.5b-instruct", "llama_cpp")
    return Row(component=Component(RERANKERS.get(use), llm=llm, max_words=WORDS, **settings), depth=PROMPTED)


ROWS = {
    "attention, 135M": _attention("smollm2-135m-instruct", by_set=True),
    "attention, 0.5B": _attention("qwen2.5-coder-0.5b-instruct"),
    "attention, 1.5B": _attention("qwen2.5-coder-1.5b-instruct"),
    "late interaction, MiniLM": Row(component=Component(RERANKERS.get("late_interaction"), model="all-minilm-l6-v2")),
    "late interaction, E5": Row(component=Component(RERANKERS.get("late_interaction"), model="multilingual-e5-small")),
    "cosine, MiniLM": _cosine("all-minilm-l6-v2"),
    "cosine, E5": _cosine("multilingual-e5-small"),
    "PromptReps, 0.5B": Row(component=Component(PromptReps, model="qwen2.5-coder-0.5b-instruct")),
    "yes or no, 1.5B": _prompted("yes_no"),
    "setwise, 1.5B": _prompted("setwise"),
}


def asked(name: str, row: Row, job: Job, work: Work) -> dict[str, list[float]]:
    """qid -> scores of its candidates, in the hybrid's order; what is not kept is asked."""
    component = row.of(job.name)
    settings = f"{component} depth {row.depth}"
    setup = Setup.of(component, hybrid_stage, data=[data_folder() / job.name], settings=settings)
    reranker: Reranker | None = None
    found = dict[str, list[float]]()
    for ranking in job.rankings:
        line = work.get(name, job.name, ranking.query.qid, setup)
        if line is None:
            reranker = reranker or component.make()
            [given] = reranker.rerank([_cut(ranking, row.depth)], k=row.depth)
            line = {"method": name, "set": job.name, "qid": ranking.query.qid, "outcome": given.outcome.kind}
            line["scores"] = in_order(given, _cut(ranking, row.depth))
            work.add(line, setup)
        found[ranking.query.qid] = line["scores"]
    return found


def _cut(ranking: Ranking, depth: int) -> Ranking:
    return replace(ranking, hits=ranking.hits[:depth])


def job_of(name: str, limit: int | None) -> Job:
    """Candidates of a set's sample, or of all its judged questions; of sets without a sample, of the first ones."""
    if name in JUDGEMENTS:
        return prepare(name, depth=DEPTH, limit=limit, stage="hybrid")
    dataset = load_beir(data_folder() / name)
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)[:limit]
    found = hybrid_stage(dataset, queries, DEPTH)
    return Job(name=name, rankings=found, qrels={query.qid: qrels[query.qid] for query in queries})


def worth(job: Job, scores: Mapping[str, Sequence[float]], share: float) -> NDArray[np.float64]:
    """nDCG@10 and whether a relevant document is among the first four, of every question [n, 2].

    share: the hybrid's; 0 is the reranker's own order, 1 the hybrid's.
    """
    values = []
    for ranking in job.rankings:
        qid = ranking.query.qid
        said = np.array(scores[qid]) if qid in scores else np.zeros(len(ranking.hits))
        first = np.array([hit.score for hit in ranking.hits[: len(said)]])
        mixed = -np.arange(len(first)) if share == 1 else fused(said, first, weight=share)
        order = np.argsort(-mixed, kind="stable").tolist()
        ids = [ranking.doc_ids[place] for place in [*order, *range(len(order), len(ranking.hits))]]
        seen = any(job.qrels[qid].get(doc_id, 0) > 0 for doc_id in ids[:SHOWN])
        values.append((evaluate({qid: ids}, {qid: job.qrels[qid]}, [MEASURE]).measures[MEASURE], float(seen)))
    return np.array(values)


def told(jobs: Mapping[str, Job], rows: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> list[dict[str, Any]]:
    """A line for the hybrid and three for every reranker: means by set, and against the hybrid."""
    before = {name: worth(job, {}, 1) for name, job in jobs.items()}
    lines: list[dict[str, Any]] = [_line(FIRST, "", before)]
    tests = list[Significance]()
    for reranker, scores in rows.items():
        by_share = {
            name: np.array([worth(job, scores[name], share)[:, 0].mean() for share in WEIGHTS])
            for name, job in jobs.items()
        }
        best = {name: best_weight([by_share[other] for other in jobs if other != name]) for name in jobs}
        for form, shares in {
            "alone": dict.fromkeys(jobs, 0.0),
            "half": dict.fromkeys(jobs, HALF),
            "fused": best,
        }.items():
            after = {name: worth(job, scores[name], shares[name]) for name, job in jobs.items()}
            pairs = [np.concatenate([each[:, 0] for each in some.values()]) for some in (after, before)]
            tests.append(paired_randomisation(*pairs))
            lines.append(_line(reranker, form, after) | {"hybrid_share": shares})
    for line, test, p in zip(lines[1:], tests, holm([test.p for test in tests]), strict=True):
        line["to_hybrid"] = {"by": test.difference, "low": test.low, "high": test.high, "p": p}
    return lines


def _line(reranker: str, form: str, values: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    sets = {name: float(each[:, 0].mean()) for name, each in values.items()}
    return {
        "reranker": reranker,
        "form": form,
        "queries": sum(map(len, values.values())),
        "sets": sets,
        "mean": float(np.mean([*sets.values()])),
        "first_four": float(np.concatenate([*values.values()])[:, 1].mean()),
    }


def seconds(row: Row, jobs: Mapping[str, Job]) -> dict[str, Any]:
    """The median over sets of what the first question takes; the model is loaded before, and nothing of a document is kept."""
    some = [(job.name, _cut(job.rankings[0], row.depth)) for job in jobs.values()]
    name, first = some[0]
    reranker: Reranker = row.of(name).make()
    reranker.rerank([_cut(replace(first, query=Query(qid="warm", text="warm")), 2)], k=2)
    taken = []
    for _, ranking in some:
        started = perf_counter()
        reranker.rerank([ranking], k=row.depth)
        taken.append(perf_counter() - started)
    return {"seconds": round(median(taken), 3), "most": round(max(taken), 3), "depth": row.depth}


def pictured(lines: Sequence[Mapping[str, Any]]) -> str:
    """The last lines of each reranker as a picture; those that have no seconds or no fusion are left out. Half and half."""
    took = {line["reranker"]: line["seconds"] for line in lines if "seconds" in line}
    gains = {line["reranker"]: line["to_hybrid"] for line in lines if line.get("form") == "half"}
    return plot(
        [
            Point(name=name, kind="rerank", seconds=took[name], gain=to["by"], low=to["low"], high=to["high"])
            for name, to in gains.items()
            if name in took
        ]
    )


def show(line: Mapping[str, Any]) -> None:
    if "seconds" in line:
        print(
            f"{line['reranker']:26} {line['seconds']:8.3f} s  at most {line['most']:.3f} s  {line['depth']} documents",
            flush=True,
        )
        return
    to = line.get("to_hybrid")
    against = f"{to['by']:+.4f} [{to['low']:+.4f}, {to['high']:+.4f}] p {to['p']:.3f}" if to else ""
    sets = "  ".join(f"{name} {value:.3f}" for name, value in line["sets"].items())
    four = f"{line['first_four']:.3f} among {SHOWN}"
    print(f"{line['reranker']:26} {line['form']:6} {line['mean']:.4f}  {against}  {four}  {sets}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every row of the table, or what each takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)}; all when left out")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(JUDGEMENTS))
    parser.add_argument("--limit", type=int, default=40, help="questions of each set, the first of its sample")
    parser.add_argument("--all", action="store_true", help="all judged questions of the sets instead")
    parser.add_argument("--time", action="store_true", help="tell what a question takes instead")
    parser.add_argument("--picture", type=Path, help="draw what was recorded into this file, and ask nothing")
    parser.add_argument("--work", type=Path, default=WORK, help="where scores are kept")
    parser.add_argument("--record", action=Record, help="append to results/which_reranker.jsonl")
    options = parser.parse_args(arguments)
    if options.picture:
        options.picture.write_text(pictured(recorded("which_reranker")), encoding="utf-8")
        return 0
    if unknown := set(options.names) - set(ROWS):
        parser.error(f"no reranker {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    rows = {name: row for name, row in ROWS.items() if not options.names or name in options.names}
    jobs = {name: job_of(name, None if options.all else options.limit) for name in options.sets}
    if options.time:
        lines = ({"reranker": name} | seconds(row, jobs) for name, row in rows.items())
    else:
        work = Work(options.work)
        scores = {name: {each: asked(name, row, job, work) for each, job in jobs.items()} for name, row in rows.items()}
        lines = iter(told(jobs, scores))
    for line in lines:
        show(line)
        if options.record:
            record("which_reranker", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
