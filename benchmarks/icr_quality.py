"""How well `rerank.icr` ranks: the committed samples, BM25's first hits in their order and shuffled, nDCG@10.

Faithful defaults (all heads and layers, null query, sum, best first-stage hit next to the query; IE
instruction for every set). Shuffled candidates show what the attention itself knows, since the prompt's order
leaks into it. Candidates are the library's BM25 over title and text; for trec-dl19-pool those that come with
the set. The first queries of each set also time one plain forward of the same kind of prompt. Every query's
result is kept in a work file, so a run that was stopped goes on where it was.

    RAGLINE_EVAL_DATA=... python -m benchmarks.icr_quality [SET ...] [--depth 20] [--limit 40] [--record]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.first_stage import Job, prepare, shuffled
from benchmarks.icr_cost import default_llm, plain_seconds
from benchmarks.make_samples import JUDGEMENTS
from benchmarks.record import Record, record
from rag.core.types import Ranking
from rag.evaluate.measures import evaluate
from rag.evaluate.significance import paired_randomisation
from rerankers.attention.icr.reranker import ICRReranker

ORDERS = ("first-stage", "shuffled")
WORK = Path("runs") / "icr_quality.jsonl"


def code_digest() -> str:
    """Changes with the code that results depend on, so that those of older code are not taken up again."""
    root = Path(__file__).resolve().parents[1]
    read = [root / "rerankers" / "attention" / folder for folder in ("icr", "reading", "heads")]
    files = [root / "rag" / "models" / "chat.py", *(file for folder in read for file in folder.glob("*.py"))]
    return sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:12]


class Work:
    """Results by (set, order, qid) and settings, one JSON line each, added as they come."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path, self._settings = path, dict(settings)
        self._done: dict[tuple[str, str, str], dict[str, Any]] = {}
        for line in self._lines():
            if line["settings"] == self._settings:
                self._done[line["set"], line["order"], line["qid"]] = line["result"]

    def get(self, name: str, order: str, qid: str) -> dict[str, Any] | None:
        return self._done.get((name, order, qid))

    def add(self, name: str, order: str, qid: str, result: dict[str, Any]) -> None:
        self._done[name, order, qid] = result
        line = {"set": name, "order": order, "qid": qid, "settings": self._settings, "result": result}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self._path.is_file():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except ValueError:
                continue  # the line that a kill cut off; its query is asked again


def rerank(reranker: ICRReranker, asked: Ranking) -> dict[str, Any]:
    started = time.perf_counter()
    (ranked,) = reranker.rerank([asked], k=max(1, len(asked.hits)))
    return {
        "doc_ids": list(ranked.doc_ids),
        "seconds": time.perf_counter() - started,
        "tokens": ranked.usage.prompt_tokens - ranked.usage.cached_tokens,
        "outcome": ranked.outcome.kind,
    }


def run(job: Job, llm: Any, work: Work, timed: int) -> None:
    """Ask what has not been asked yet."""
    reranker = ICRReranker(llm=llm)
    for at, ranking in enumerate(job.rankings):
        query, documents = ranking.query, [hit.document for hit in ranking.hits]
        for order in ORDERS:
            if work.get(job.name, order, query.qid) is None:
                given = ranking if order == "first-stage" else shuffled(ranking)
                work.add(job.name, order, query.qid, rerank(reranker, given))
        if at < timed and len(documents) > 1 and work.get(job.name, "plain", query.qid) is None:
            texts = [f"{d.title}\n{d.text}" if d.title else d.text for d in documents]
            seconds, tokens = plain_seconds(llm, query.text, texts)
            work.add(job.name, "plain", query.qid, {"seconds": seconds, "tokens": tokens})


def summary(job: Job, order: str, work: Work) -> dict[str, Any]:
    """nDCG@10 of one order, its 95% interval, and its difference from the first stage."""
    qids = [ranking.qid for ranking in job.rankings]
    results = {qid: work.get(job.name, order, qid) or {} for qid in qids}
    first = {ranking.qid: list(ranking.doc_ids) for ranking in job.rankings}
    ours, theirs = (
        evaluate(ranked, job.qrels, ["nDCG@10"])
        for ranked in ({qid: result["doc_ids"] for qid, result in results.items()}, first)
    )
    values, before = ([found.per_query["nDCG@10"][qid] for qid in qids] for found in (ours, theirs))
    spread = paired_randomisation(values, [0.0] * len(values))
    against = paired_randomisation(values, before)
    plain = [p["seconds"] for qid in qids if (p := work.get(job.name, "plain", qid))]
    return {
        "set": job.name,
        "order": order,
        "queries": len(qids),
        "nDCG@10": round(ours.measures["nDCG@10"], 4),
        "interval": [round(spread.low, 4), round(spread.high, 4)],
        "first_stage": round(theirs.measures["nDCG@10"], 4),
        "difference": round(against.difference, 4),
        "difference_interval": [round(against.low, 4), round(against.high, 4)],
        "p": round(against.p, 4),
        "seconds_per_query": round(statistics.median(r["seconds"] for r in results.values()), 3),
        "plain_seconds": round(statistics.median(plain), 3) if plain else None,
        "outcomes": dict(Counter(result["outcome"] for result in results.values())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(JUDGEMENTS)}; default: all")
    parser.add_argument("--depth", type=int, default=20, help="candidates per query")
    parser.add_argument("--limit", type=int, default=40, help="queries per set, the first of its sample")
    parser.add_argument("--timed", type=int, default=5, help="queries per set that also time a plain forward")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--work", type=Path, default=WORK, help="where results are kept between runs")
    parser.add_argument("--record", action=Record, help="append to benchmarks/results/icr_quality.jsonl")
    options = parser.parse_args()
    if unknown := set(options.sets) - set(JUDGEMENTS):
        parser.error(f"no set named {', '.join(sorted(unknown))}; there are {', '.join(JUDGEMENTS)}")
    settings = {"model": options.model, "depth": options.depth, "code": code_digest()}
    llm, work = default_llm(options.model), Work(options.work, settings)
    print(
        f"{'set':<16} {'order':<12} {'n':>3} {'nDCG@10':>8} {'95% interval':>16} {'BM25':>7} {'s/query':>8} {'plain s':>8}"
    )
    for name in options.sets or JUDGEMENTS:
        job = prepare(name, depth=options.depth, limit=options.limit)
        run(job, llm, work, options.timed)
        for order in ORDERS:
            row = summary(job, order, work)
            low, high = row["interval"]
            plain = f"{row['plain_seconds']:.2f}" if row["plain_seconds"] else "-"
            print(
                f"{name:<16} {order:<12} {row['queries']:>3} {row['nDCG@10']:>8.4f} [{low:.4f}, {high:.4f}] "
                f"{row['first_stage']:>7.4f} {row['seconds_per_query']:>8.2f} {plain:>8}"
            )
            if options.record:
                record("icr_quality", {**settings, **row})


if __name__ == "__main__":
    main()
