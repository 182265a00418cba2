"""What to ask and what to measure, told by the data, the graph and the wishes, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.core.errors import SpecError
from rag.core.trec import Qrels
from rag.core.types import Query
from rag.evaluate.answers import ANSWER_MEASURES, answer_measure_name, default_answer_measures, evaluate_answers
from rag.evaluate.beir import Dataset, Item
from rag.evaluate.measures import KNOWN_MEASURES, parse_measures

RETRIEVAL_MEASURES = ("nDCG@10", "R@100", "AP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`queries` to ask, in file order; the judgements and reference items among them; measures by what they look at."""

    queries: tuple[Query, ...]
    retrieval: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    qrels: Qrels = field(default_factory=dict, hash=False)
    items: tuple[Item, ...] = ()

    def of(self, queries: Sequence[Query]) -> Plan:
        """The plan for some of its queries, in the order given, with the measures that hold for at least one of them."""
        qids = {query.qid for query in queries}
        qrels = {qid: grades for qid, grades in self.qrels.items() if qid in qids}
        items = tuple(item for item in self.items if item.qid in qids)
        judged = any(grade > 0 for grades in qrels.values() for grade in grades.values())
        return Plan(
            queries=tuple(queries),
            retrieval=self.retrieval if judged else (),
            answers=tuple(name for name in self.answers if any(map(ANSWER_MEASURES[name].holds_for, items))),
            qrels=qrels,
            items=items,
        )


def plan_evaluation(
    dataset: Dataset,
    *,
    graph: str,
    ranks: bool,
    gives_answers: bool,
    split: str = "test",
    measures: Sequence[str] | None = None,
    limit: int | None = None,
) -> Plan:
    """Sort measures by what they look at and find the questions that they need.

    Args:
        graph: its name, for messages.
        ranks: it ranks documents. `gives_answers`: it ends in answers.
        measures: default: RETRIEVAL_MEASURES where the graph ranks and the split is judged, and all of answers that the
            data have something for, where the graph answers.
        limit: only so many questions, the first in file order, answerable and not in the proportion of the data.
    Raises:
        SpecError: a measure is unknown, or needs what the graph or the data do not have.
    """
    wanted = _default(dataset, ranks, gives_answers, split) if measures is None else list(measures)
    of_rankings, of_answers = _by_what_they_look_at(wanted)
    if of_answers and not gives_answers:
        raise SpecError(f"{', '.join(of_answers)}: graph '{graph}' ends in rankings; ask with one that ends in answers")
    if of_rankings and not ranks:
        raise SpecError(f"{', '.join(of_rankings)}: graph '{graph}' ranks nothing. {_those_of_answers()}")
    needs_qrels = bool(of_rankings) or split in dataset.splits
    qrels = dataset.qrels(split) if needs_qrels else {}
    items = _items(dataset, split, qrels) if of_answers else []
    queries = _limited(_queries(dataset, items, qrels if of_rankings else {}), items, limit)
    if not queries:
        wanted_of_one = "query with a positive judgement" if of_rankings else "question with an answer"
        raise SpecError(f"data set '{dataset.folder}' has no {wanted_of_one} in split '{split}'")
    qids = {query.qid for query in queries}
    items = [item for item in items if item.qid in qids]
    if measures is None and of_answers:
        of_answers = default_answer_measures(items)
    elif of_answers:
        evaluate_answers([], items, of_answers)  # so is one that holds for none of the questions
    return Plan(
        queries=tuple(queries),
        retrieval=tuple(of_rankings),
        answers=tuple(of_answers),
        qrels={qid: grades for qid, grades in qrels.items() if qid in qids} if of_rankings else {},
        items=tuple(items),
    )


def measure_name(name: str) -> str:
    """A measure under the name that evaluations have it by: ndcg_cut_10 is nDCG@10.

    Raises:
        SpecError: it is unknown.
    """
    return answer_measure_name(name) or str(parse_measures([name])[0])


def _by_what_they_look_at(wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Measures of rankings, all known, and measures of answers."""
    if not wanted:
        raise SpecError(f"no measure is asked for. There are {', '.join(KNOWN_MEASURES)}. {_those_of_answers()}")
    names = [(name, answer_measure_name(name)) for name in wanted]
    of_rankings = [name for name, known in names if known is None]
    if of_rankings:
        parse_measures(of_rankings)
    return of_rankings, [known for _, known in names if known is not None]


def _default(dataset: Dataset, ranks: bool, gives_answers: bool, split: str) -> list[str]:
    """The measures that fit both the graph and the data.

    If none does, they are those of the graph: the error of the first one then says what the data lack.
    """
    has_answers = gives_answers and (dataset.qa is not None or not ranks)
    judged = split in dataset.splits or not has_answers
    return [*(RETRIEVAL_MEASURES if ranks and judged else ()), *(ANSWER_MEASURES if has_answers else ())]


def _items(dataset: Dataset, split: str, qrels: Qrels) -> list[Item]:
    """Reference items of a split: those that no other split judges. Documents judged positive support an answer too."""
    elsewhere = {qid for other in dataset.splits if other != split for qid in dataset.qrels(other)} - set(qrels)
    return [
        item if item.supporting else replace(item, supporting=_positive(qrels, item.qid))
        for item in dataset.items()
        if item.qid not in elsewhere
    ]


def _positive(qrels: Qrels, qid: str) -> tuple[str, ...]:
    return tuple(doc_id for doc_id, grade in qrels.get(qid, {}).items() if grade > 0)


def _queries(dataset: Dataset, items: Sequence[Item], qrels: Qrels) -> list[Query]:
    """The judged queries and those of the items, each once; a query of the data set keeps its filter."""
    judged = dataset.queries_of(qrels)
    known = {query.qid: query for query in dataset.queries}
    questions = {item.qid: known.get(item.qid, item.query) for item in items}
    return list({**{query.qid: query for query in judged}, **questions}.values())


def _limited(queries: Sequence[Query], items: Sequence[Item], limit: int | None) -> list[Query]:
    if limit is None or limit >= len(queries):
        return list(queries)
    unanswerable = {item.qid for item in items if not item.answerable}
    refusals = [query for query in queries if query.qid in unanswerable]
    others = [query for query in queries if query.qid not in unanswerable]
    n_refusals = round(limit * len(refusals) / len(queries))
    return [*others[: limit - n_refusals], *refusals[:n_refusals]]


def _those_of_answers() -> str:
    return f"Of answers there are {', '.join(ANSWER_MEASURES)}"
