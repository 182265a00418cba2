"""Head sets for the attention reranker's figures, each found without the set that it is tried on.

Every head of the first layers scores candidates of queries, BM25's first ones. What heads are then chosen on:

    asked   queries of the other sets that are in no sample; nobody judges them, the two legs of their index grade what
            is found (`benchmarks/heads/SET.json`, and `all.json` on those of all sets, which is what ships)
    judged  judgements of the other sets' samples (`SET.judged.json`)
    free    pseudo-queries of the set's own corpus, graded by the two legs of its index (`SET.free.json`)

Scores are kept in a work folder, so a run that was stopped goes on where it was.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.attention_heads [--on asked judged free] [--layers 9 18] [--ship]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.attention import MAX_TOKENS
from benchmarks.first_stage import hybrid_index, prepare
from benchmarks.icr_cost import default_llm
from benchmarks.make_samples import HEADS, JUDGEMENTS, SEED, load, read_sample
from benchmarks.record import Record, record
from rag.protocols import LocalLLM
from rag.writing import EveryHead, HeadSet
from ragline_train.heads.search_heads import CaseScores, choose_heads, score_cases
from ragline_train.heads.weighings import METHODS
from ragline_train.pseudo import Case, pseudo_cases, unjudged_cases
from ragline_train.taught import taught

T = TypeVar("T")
SHIPPED = Path(__file__).parents[3] / "rerankers" / "attention" / "heads" / "sets"
WORK = Path("runs") / "attention_scores"
LAST_LAYER = 19
CASES, CANDIDATES = 120, 20
"""Queries of a set that nobody judges, and candidates of each: what `rag heads find` does by itself, less some queries."""
SOURCES = ("asked", "judged", "free")
_TOGETHER = 10
"""Cases that are scored before any is kept."""


def judged(name: str, *, depth: int, limit: int) -> Iterator[tuple[str, Case]]:
    """(qid, case) for the queries of a sample with a relevant candidate."""
    job = prepare(name, depth=depth, limit=limit)
    for ranking in job.rankings:
        grades = tuple(float(job.qrels[ranking.qid].get(doc_id, 0)) for doc_id in ranking.doc_ids)
        if len(ranking.hits) > 1 and max(grades) > 0:
            yield (
                ranking.qid,
                Case(query=ranking.query.text, candidates=tuple(h.document for h in ranking.hits), grades=grades),
            )


def asked(name: str) -> Iterator[tuple[str, Case]]:
    """(number, case) from queries of a set that are not in its sample, graded by its index."""
    dataset, sample = load(name)[0], set(read_sample(name))
    queries = [query for query in dataset.queries if query.qid not in sample]
    drawn = random.Random(SEED).sample(queries, min(CASES, len(queries)))
    with hybrid_index(dataset) as index:
        cases = taught(index, unjudged_cases(index, drawn, depth=CANDIDATES))
    yield from ((f"asked-{number}", case) for number, case in enumerate(cases))


def free(name: str) -> Iterator[tuple[str, Case]]:
    """(number, case) from a set's corpus alone, graded by its index."""
    with hybrid_index(load(name)[0]) as index:
        cases = taught(index, pseudo_cases(index, n=CASES, depth=CANDIDATES))
    yield from ((f"free-{number}", case) for number, case in enumerate(cases))


def kept_scores(
    llm: LocalLLM, name: str, cases: Iterator[tuple[str, Case]], work: Path, *, last_layer: int = LAST_LAYER
) -> tuple[EveryHead, list[CaseScores]]:
    """Scores of all heads up to a layer, from the work folder where they are."""
    with llm.weights() as lent:
        plan, _ = score_cases(lent, [], last_layer=last_layer, max_tokens=MAX_TOKENS)
        paths = {work / name / f"{key.replace('/', '_')}.npz": case for key, case in cases}
        missing = iter([path for path in paths if not path.is_file()])
        while some := list(islice(missing, _TOGETHER)):
            _, made = score_cases(lent, [paths[path] for path in some], last_layer=last_layer, max_tokens=MAX_TOKENS)
            for path, one in zip(some, made, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                halves = {"real": one.real.astype(np.float32), "null": one.null.astype(np.float32)}
                np.savez_compressed(path, **halves, grades=one.grades, taught=one.taught)
    return plan, [read_scores(path) for path in paths]


def read_scores(path: Path) -> CaseScores:
    """What `kept_scores` has written for one case."""
    with np.load(path) as kept:
        real, null = (kept[part].astype(np.float64) for part in ("real", "null"))
        was_taught = "taught" in kept and bool(kept["taught"])
        return CaseScores(real=real, null=null, grades=kept["grades"], taught=was_taught)


class Finder:
    """Chooses heads on scores, saves them, prints and records what was found."""

    def __init__(self, llm: LocalLLM, options: argparse.Namespace) -> None:
        self.llm, self._options = llm, options

    def __call__(self, plan: EveryHead, scores: Sequence[CaseScores], found_on: str, name: str) -> HeadSet:
        given = self._options
        settings: dict[str, Any] = {"model": given.model, "methods": given.method, "depths": given.layers}
        search = choose_heads(self.llm, plan, scores, found_on=found_on, **settings)
        search.heads.save(HEADS / name)
        told = f"{search.heads.method:<52} null {search.heads.null_strength:<5} {', '.join(search.heads.weights)}"
        print(f"{name:<28} {told}", flush=True)
        if given.record:
            by_depth = {
                str(d): {"ndcg": round(f.ndcg, 4), "error": round(f.error, 4)} for d, f in search.by_depth.items()
            }
            asked = {"limit": given.limit, "depth": given.depth, "queries": len(scores), "methods": given.method}
            record("attention_heads", {"heads": name, "found_on": found_on, "by_depth": by_depth, **asked})
        return search.heads


def find_asked(finder: Finder, work: Path, *, last_layer: int) -> HeadSet:
    """For each set from the other sets' unjudged queries, and from those of all sets, which are returned."""
    by_set = dict[str, list[CaseScores]]()
    for name in JUDGEMENTS:
        folder = asked_folder(name, last_layer)
        plan, by_set[name] = kept_scores(finder.llm, folder, asked(name), work, last_layer=last_layer)
    graded = "that nobody judged, graded by their indexes' lexical and dense leg"
    for name in JUDGEMENTS:
        some = others(by_set, name)
        finder(plan, some, f"{len(some)} queries of the other sets {graded}", f"{name}.json")
    everything = [each for scores in by_set.values() for each in scores]
    return finder(plan, everything, f"{len(everything)} queries of {', '.join(by_set)} {graded}", "all.json")


def find_judged(finder: Finder, work: Path, *, depth: int, limit: int) -> None:
    """For each set from the judgements of the others' samples."""
    by_set = dict[str, list[CaseScores]]()
    for name in JUDGEMENTS:
        cases = judged(name, depth=depth, limit=limit)
        plan, by_set[name] = kept_scores(finder.llm, f"{name}-{depth}", cases, work)
    for name in JUDGEMENTS:
        some = others(by_set, name)
        finder(plan, some, f"{len(some)} judged queries of the other sets", f"{name}.judged.json")


def find_free(finder: Finder, work: Path, *, last_layer: int) -> None:
    """For each set from its corpus alone."""
    for name in JUDGEMENTS:
        plan, scores = kept_scores(finder.llm, free_folder(name, last_layer), free(name), work, last_layer=last_layer)
        found_on = f"{len(scores)} pseudo-queries of its corpus, graded by its lexical and dense leg"
        finder(plan, scores, found_on, f"{name}.free.json")


def asked_folder(name: str, last_layer: int) -> str:
    return f"{name}-asked-{last_layer}"


def free_folder(name: str, last_layer: int) -> str:
    return f"{name}-taught-{last_layer}"


def others(by_set: Mapping[str, Sequence[T]], name: str) -> list[T]:
    return [each for other, some in by_set.items() if other != name for each in some]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", nargs="+", choices=SOURCES, default=list(SOURCES), help="what heads are found on")
    parser.add_argument("--limit", type=int, default=40, help="judged queries per set, the first of its sample")
    parser.add_argument("--depth", type=int, default=40, help="candidates per judged query")
    parser.add_argument("--layers", type=int, nargs="+", default=[9, 14, 18], help="deepest layers to choose from")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=["joint"])
    parser.add_argument("--ship", action="store_true", help="write all.json into the package too")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--record", action=Record)
    options = parser.parse_args()
    if options.ship and "asked" not in options.on:
        parser.error("--ship writes what is found on asked queries; add asked to --on")
    HEADS.mkdir(exist_ok=True)
    finder, last_layer = Finder(default_llm(options.model), options), max(options.layers)
    if "asked" in options.on:
        everywhere = find_asked(finder, options.work, last_layer=last_layer)
        if options.ship:
            everywhere.save(SHIPPED / f"{options.model}.json")
    if "judged" in options.on:
        find_judged(finder, options.work, depth=options.depth, limit=options.limit)
    if "free" in options.on:
        find_free(finder, options.work, last_layer=last_layer)


if __name__ == "__main__":
    main()
