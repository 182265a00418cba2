"""What each recipe of `rag train` gains on a corpus, told by its own judged questions, which teach nothing.

An index of a set has words and vectors of all-MiniLM; its hybrid and multilingual-E5-small, half and half, teach. The start and
what came of it are then asked the set's judged questions over the whole corpus, by the leg or the reranker that a graph would
name them in, and nDCG@10 is compared question by question (paired randomisation, 95% interval). A reranker's start is the hybrid
that it reorders: its own head is new. A row without a gain is a row. With `--teach` the judged questions of another split of the
set teach as well; one that is nearly a question that tells is left out and counted.

    RAGLINE_EVAL_DATA=... python -m plugins.train.benchmarks.teaching RECIPE SET [--teach SPLIT] [--minutes 5 | --steps N]
        [--seed 0] [--record]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag import build_index
from rag.evaluate import Dataset, Evaluation, Qrels, evaluate, load_beir, paired_randomisation
from rag.files import data_sha256, write_atomically
from rag.indexes import IndexSettings, LocalIndex
from rag.types import Document, Query, Ranking
from ragline_train.pseudo import Case
from ragline_train.teaching.guard import Guard
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.recipes import RECIPES, recipe_named
from ragline_train.teaching.recipes.reranker import FIRST_STAGE
from ragline_train.teaching.task import Settings
from ragline_train.teaching.training import Data, lessons_of, train
from rerankers import RERANKERS
from retrievers import RETRIEVERS

MEASURE = "nDCG@10"
DEPTH = 100
LANGUAGES = {"xquad/de": "de", "poquad": "pl"}
LEG_OF = {"sparse": ("sparse", "sparse"), "multi_vector": ("late_interaction", "late_interaction")}
"""Recipe -> leg and retriever; of all others the dense ones."""
SECOND = "multilingual-e5-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A data set, its judged questions, and the index that teaches."""

    name: str
    dataset: Dataset
    queries: Sequence[Query]
    qrels: Qrels
    index: Path


def opened_set(name: str, work: Path, *, encoder: str, limit: int | None) -> Set:
    """Indexed with words and vectors; what is there already is not made again."""
    dataset = load_beir(data_folder() / name)
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)[:limit]
    folder = work / f"{name.replace('/', '-')}-{encoder}"
    build_index(dataset.corpus, folder, settings=_settings(name, dense=encoder), legs=("lexical", "dense"))
    kept = {query.qid: qrels[query.qid] for query in queries}
    return Set(name=name, dataset=dataset, queries=queries, qrels=kept, index=folder)


def _settings(name: str, **models: str) -> IndexSettings:
    keys = {"dense": "encoder", "sparse": "model", "late_interaction": "model"}
    said: dict[str, Any] = {leg: {keys[leg]: model} for leg, model in models.items()}
    said["analyzer"] = {"language": LANGUAGES.get(name, "en")}
    return IndexSettings.model_validate(said).judging_documents()


def of_leg(a_set: Set, recipe: str, model: Path | None, work: Path) -> list[Ranking]:
    """What the leg that names a model finds over the whole corpus; None asks the index that teaches."""
    leg, retriever = LEG_OF.get(recipe, ("dense", "dense"))
    if model is None:
        return _asked(a_set, a_set.index, retriever)
    place = work / "asked" / f"{a_set.name.replace('/', '-')}-{model.parent.name}-{model.name}"
    build_index(a_set.dataset.corpus, place, settings=_settings(a_set.name, **{leg: str(model)}), legs=(leg,))
    return _asked(a_set, place, retriever)


def _asked(a_set: Set, place: Path, retriever: str) -> list[Ranking]:
    with LocalIndex.open(place) as index:
        found: list[Ranking] = RETRIEVERS.get(retriever)(index=index).retrieve(a_set.queries, k=DEPTH)
    return found


def hybrid_of(a_set: Set) -> list[Ranking]:
    """The built-in hybrid, without a second encoder."""
    from rag import load_pipeline

    with LocalIndex.open(a_set.index) as index, load_pipeline("hybrid", index=index) as pipeline:
        node = pipeline.graph.last_ranking()
        records = pipeline.run(a_set.queries, to=node, k=DEPTH).records[node]
    return [each for each in records if isinstance(each, Ranking)]


def reranked(rankings: Sequence[Ranking], model: Path, *, depth: int, max_tokens: int) -> tuple[list[Ranking], float]:
    """By what the model adds to the hybrid's scores; with seconds a question."""
    reranker = RERANKERS.get("cross_encoder")(
        model=str(model), depth=depth, max_tokens=max_tokens, first_stage=FIRST_STAGE
    )
    reranker.rerank(rankings[:1], k=DEPTH)
    begun = perf_counter()
    found: list[Ranking] = reranker.rerank(rankings, k=DEPTH)
    return found, (perf_counter() - begun) / len(rankings)


def kept_lessons(index: LocalIndex, data: Data, place: Path) -> Lessons:
    """Those that were made before, where they lie: the second encoder reads the corpus once for all recipes."""
    if not place.exists():
        made = lessons_of(index, data)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, json.dumps(asdict(made)))
    said = json.loads(place.read_text(encoding="utf-8"))
    cases = {name: tuple(map(_case, said[name])) for name in ("taught", "choosing", "telling")}
    return Lessons(**cases, left_out=said["left_out"], teacher=said["teacher"])


def data_of(a_set: Set, *, own: int, teach: str | None, seed: int) -> tuple[Data, int]:
    """What teaches: questions of the corpus itself, and the judged ones of the split `teach` but for those that are nearly one
    that tells; and how many these are.
    """
    if teach is None:
        judged = {query.qid: query.text for query in a_set.dataset.queries}
        return Data(own=own, judged=judged, second=SECOND, seed=seed), 0
    judged = {query.qid: query.text for query in a_set.queries}
    qrels, guard = a_set.dataset.qrels(teach), Guard(judged)
    asked = a_set.dataset.queries_of(qrels)
    kept = [query for query in asked if guard.leak(query.text) is None]
    return Data(own=own, queries=kept, qrels=qrels, judged=judged, second=SECOND, seed=seed), len(asked) - len(kept)


def _case(said: dict[str, Any]) -> Case:
    documents = tuple(Document(**{**each, "contents": ()}) for each in said["candidates"])
    return Case(**{**said, "candidates": documents, "grades": tuple(said["grades"]), "first": tuple(said["first"])})


def told(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """Both, and how sure the difference is."""
    ours, theirs = after.per_query[MEASURE], before.per_query[MEASURE]
    test = paired_randomisation([ours[qid] for qid in theirs], [*theirs.values()])
    return {
        "before": before.measures[MEASURE],
        "after": after.measures[MEASURE],
        "gain": test.difference,
        "low": test.low,
        "high": test.high,
        "p": test.p,
        "queries": before.n_queries,
    }


def lines(
    recipe: str, a_set: Set, settings: Settings, out: Path, work: Path, *, data: Data, depth: int
) -> list[dict[str, Any]]:
    """Teach, and ask both."""
    begun = perf_counter()
    with LocalIndex.open(a_set.index) as index:
        taught = data_sha256([query.qid for query in data.queries])[:8]
        name = f"{a_set.name.replace('/', '-')}-{data.own}-{taught}-{settings.seed}.json"
        lessons = kept_lessons(index, data, work / "lessons" / name)
        made = perf_counter() - begun
        result = train(recipe, index=index, out=out, data=data, settings=settings, lessons=lessons, say=_say)
        there = recipe == "encoder" and settings.model == index.model_names(("dense",))[0][0]
        start = None if there else work / "starts" / f"{recipe}-{a_set.name.replace('/', '-')}-{settings.seed}"
        if recipe != "reranker" and start is not None and not start.exists():
            start.parent.mkdir(parents=True, exist_ok=True)
            recipe_named(recipe)(lessons, settings).save(start)
    facts = result.facts
    line = {
        "recipe": recipe,
        "set": a_set.name,
        "seed": settings.seed,
        "steps": facts["steps"],
        "settings": facts["settings"],
        "questions": facts["data"]["questions"],
        "left_out": facts["data"]["left out"],
        "apart": facts["ndcg@10 of questions kept apart"],
        "memory": facts.get("memory"),
        "seconds_of_lessons": made,
        "seconds": perf_counter() - begun,
        "gained": result.gained,
    }
    if not result.gained:
        return [line]
    if recipe != "reranker":
        before, after = (
            evaluate(of_leg(a_set, recipe, model, work), a_set.qrels, [MEASURE]) for model in (start, result.folder)
        )
        return [line | told(before, after)]
    first = hybrid_of(a_set)
    found, took = reranked(first, result.folder, depth=depth, max_tokens=settings.max_tokens)
    before, after = (evaluate(run, a_set.qrels, [MEASURE]) for run in (first, found))
    return [line | {"system": f"{depth} of the hybrid", "seconds_a_question": took} | told(before, after)]


def _say(one: Any) -> None:
    print(f"  step {one.step}: {one.ndcg:.4f}, loss {one.loss}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=list(RECIPES))
    parser.add_argument("set", metavar="SET")
    parser.add_argument("--teach", metavar="SPLIT", help="judged questions of this split teach as well, such as train")
    parser.add_argument("--model", help="what is taught")
    parser.add_argument("--encoder", default="all-minilm-l6-v2", help="of the index that teaches")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--by", choices=("shares", "source"), default="shares")
    parser.add_argument("--tellings", type=int, default=5)
    parser.add_argument("--own", type=int, default=1200, help="questions of the corpus itself")
    parser.add_argument("--depth", type=int, default=40, help="hits of the hybrid that a reranker reads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="only the first N judged questions")
    parser.add_argument("--work", type=Path, default=Path("build/teaching"), help="where indexes and models are kept")
    parser.add_argument("--record", action=Record, help="append to results/teaching.jsonl")
    given = parser.parse_args(arguments)
    settings = Settings(
        model=given.model or (given.encoder if given.recipe == "encoder" else None),
        by=given.by,
        minutes=given.minutes,
        steps=given.steps,
        batch=given.batch,
        ways=given.ways,
        max_tokens=given.max_tokens,
        tellings=given.tellings,
        learning_rate=given.learning_rate,
        seed=given.seed,
    )
    a_set = opened_set(given.set, given.work, encoder=given.encoder, limit=given.limit)
    data, alike = data_of(a_set, own=given.own, teach=given.teach, seed=given.seed)
    taught_by = f"{given.set.replace('/', '-')}{'-' + given.teach if given.teach else ''}"
    out = given.work / "taught" / f"{given.recipe}-{taught_by}-{given.seed}"
    for line in lines(given.recipe, a_set, settings, out, given.work, data=data, depth=given.depth):
        shown = (
            "nothing gained"
            if not line["gained"]
            else (
                f"{line['before']:.4f} -> {line['after']:.4f} {line['gain']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] "
                f"p {line['p']:.3f}"
            )
        )
        print(f"{given.recipe:13} {given.set:12} {line.get('system', ''):26} {shown}", flush=True)
        if given.record:
            asked = {"encoder": given.encoder, "limit": given.limit, "teach": given.teach, "alike": alike}
            record("teaching", line | {"second": SECOND} | asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
