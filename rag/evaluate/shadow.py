"""The index and its shadow asked the same questions by one graph, and held beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import SpecError
from rag.core.trec import Qrels
from rag.core.types import Query, Ranking, ScoredDocument
from rag.evaluate.comparison import Compared, compare_runs
from rag.evaluate.graph_evaluation import opened
from rag.evaluate.measures import evaluate
from rag.graph.load import load_spec
from rag.graph.spec import Spec
from rag.indexing.shadow import require_fresh, shadow_of
from rag.pipeline.texts import rerank_texts
from retrievers.index.directory import LocalIndex

MEASURE = "nDCG@10"
DEPTH = 10
LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The shadow beside the index. `by`: what says which hits are right."""

    graph: str
    by: str
    compared: Compared

    @property
    def is_better(self) -> bool:
        """Whether the 95% interval of the gain lies above zero, and the paired test says so too."""
        return self.compared.test.low > 0 and self.compared.p < LEVEL


def judge_shadow(
    path: str | Path,
    queries: Sequence[Query],
    *,
    graph: str | Path,
    qrels: Qrels | None = None,
    teacher: str = "attention",
) -> Judged:
    """Ask both, up to the graph's last ranking node, and compare nDCG@10 query by query.

    Args:
        queries: such as those that people asked; with judgements, those that are judged count.
        graph: how they are asked. What it says of the dense leg is taken from each index instead.
        qrels: judgements; without any, `teacher`, a reranker, grades what both found (`teacher_grades`).
    Raises:
        SpecError: no query is left, or the graph ranks nothing.
        IndexProblem: there is no shadow, or it is of an older state.
    """
    require_fresh(path)
    asked = [query for query in queries if qrels is None or query.qid in qrels]
    if not asked:
        raise SpecError("no question is left to judge by: none of them has a judgement" if qrels else "no questions")
    lists = [_rankings(place, graph, asked) for place in (Path(path), shadow_of(path))]
    if qrels is None:
        pools = {query.qid: [of_index[query.qid].hits for of_index in lists] for query in asked}
        judgements, by = teacher_grades(asked, pools, use=teacher), f"teacher {teacher}"
    else:
        judgements, by = {query.qid: qrels[query.qid] for query in asked}, "judgements"
    live, shadow = (evaluate([*of_index.values()], judgements, [MEASURE]) for of_index in lists)
    [compared] = compare_runs(live, {"shadow": shadow}, measures=[MEASURE])["shadow"]
    return Judged(graph=str(graph), by=by, compared=compared)


def _rankings(place: Path, graph: str | Path, queries: Sequence[Query]) -> dict[str, Ranking]:
    """qid -> what the graph's last ranking node gives."""
    with LocalIndex.open(place) as index, opened(_for_index(load_spec(graph), index), index) as pipeline:
        node = pipeline.graph.last_ranking()
        result = pipeline.run(queries, to=node, k=DEPTH)
    if result.failures:
        raise SpecError(f"'{place}' could not be asked: {result.failures[0].error}")
    return {each.qid: each for each in result.records[node] if isinstance(each, Ranking)}


def _for_index(spec: Spec, index: LocalIndex) -> Spec:
    """The graph with the dense leg as an index has it."""
    settings = spec.graph.index
    if not settings.says("dense"):
        return spec
    dense = index.manifest.settings.section("dense")
    graph = spec.graph.model_copy(update={"index": settings.model_copy(update={"dense": dense})})
    return spec.model_copy(update={"graph": graph})


GRADES = (3, 2, 1)
"""Of the teacher's first, second and third."""


def teacher_grades(
    queries: Sequence[Query],
    pools: Mapping[str, Sequence[Sequence[ScoredDocument]]],
    *,
    use: str,
) -> Qrels:
    """qid -> doc_id -> grade. A query that found nothing has none.

    The teacher is given the hits of all lists together, each once, in the order of their ids: it cannot know which list
    one is of, nor where it stood.

    Args:
        pools: qid -> the lists that were found.
        use: a reranker, as `rag.rerank_texts` takes it.
    """
    grades: Qrels = {}
    for query in queries:
        documents = {hit.doc_id: hit.document for hits in pools.get(query.qid, ()) for hit in hits}
        ids = sorted(documents)
        if ids:
            order = rerank_texts(query.text, [documents[each].index_text for each in ids], use=use)
            grades[query.qid] = {ids[place]: grade for (place, _), grade in zip(order, GRADES, strict=False)}
    return grades
