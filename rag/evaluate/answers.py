"""Measures of answers against reference answers, supporting documents, and what can be answered at all.

Each measure holds for some questions alone, told by the data and never by the answer, so that two systems are measured on
the same questions. An answer that was refused, failed or is missing has no words and cites nothing: it counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from rag.core.errors import SpecError
from rag.core.types import Answer
from rag.evaluate.beir import Item
from rag.evaluate.citations import citation_precision, citation_recall, cited_documents
from rag.evaluate.measures import Evaluation
from rag.evaluate.text_overlap import best_of, exact_match, rouge_l, token_f1


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerMeasure:
    """A measure of single answers.

    `holds_for` says whether the measure is defined for a question, and `where` says the same in words. `value` takes the
    answer, or None where the question has none.
    """

    where: str
    holds_for: Callable[[Item], bool]
    value: Callable[[Answer | None, Item, str], float]


def words_of(answer: Answer | None) -> str:
    """The text that is compared with a reference, without the model's citation markers. It is empty for a refusal."""
    if answer is None or answer.status != "answered":
        return ""
    text = answer.text
    markers = {(citation.start, citation.end) for citation in answer.citations if citation.by == "model"}
    for start, end in sorted(markers, reverse=True):
        text = f"{text[:start]} {text[end:]}"
    return text


def _compared(measure: Callable[..., float], *, by_language: bool) -> Callable[[Answer | None, Item, str], float]:
    def value(answer: Answer | None, item: Item, language: str) -> float:
        words = words_of(answer)
        if not words:  # a reference can be nothing but an article, such as the blood type A: silence does not match it
            return 0.0
        return best_of(partial(measure, language=language) if by_language else measure, words, item.answers)

    return value


def _refused(answer: Answer | None, item: Item, language: str) -> float:
    return float(answer is not None and answer.status == "no_answer")


def _citing(measure: Callable[..., float], *, by_model: bool) -> Callable[[Answer | None, Item, str], float]:
    def value(answer: Answer | None, item: Item, language: str) -> float:
        cited = () if answer is None or answer.status != "answered" else cited_documents(answer, by_model=by_model)
        return measure(cited, item.supporting)

    return value


_referenced = partial(
    AnswerMeasure,
    where="answerable questions with reference answers",
    holds_for=lambda item: item.answerable and bool(item.answers),
)
_supported = partial(
    AnswerMeasure,
    where="answerable questions with supporting documents",
    holds_for=lambda item: item.answerable and bool(item.supporting),
)

ANSWER_MEASURES: Mapping[str, AnswerMeasure] = {
    "EM": _referenced(value=_compared(exact_match, by_language=True)),
    "F1": _referenced(value=_compared(token_f1, by_language=True)),
    "ROUGE-L": _referenced(value=_compared(rouge_l, by_language=False)),
    "CitationPrecision": _supported(value=_citing(citation_precision, by_model=False)),
    "CitationRecall": _supported(value=_citing(citation_recall, by_model=False)),
    "CitationPrecision(model)": _supported(value=_citing(citation_precision, by_model=True)),
    "CitationRecall(model)": _supported(value=_citing(citation_recall, by_model=True)),
    "RefusedAnswerable": AnswerMeasure(
        where="answerable questions", holds_for=lambda item: item.answerable, value=_refused
    ),
    "RefusedUnanswerable": AnswerMeasure(
        where="unanswerable questions", holds_for=lambda item: not item.answerable, value=_refused
    ),
}
"""Name -> measure. Those with (model) leave out citations that were attributed after the answer was written."""

_BY_FOLDED_NAME = {name.casefold(): name for name in ANSWER_MEASURES} | {"rougel": "ROUGE-L", "rouge_l": "ROUGE-L"}


def answer_measure_name(name: str) -> str | None:
    """The name of a measure of answers, whatever its case; None if it is no such measure."""
    return _BY_FOLDED_NAME.get(name.casefold())


def default_answer_measures(items: Iterable[Item]) -> list[str]:
    """The measures that hold for at least one question, those of the model's own citations left out."""
    questions = list(items)
    return [
        name
        for name, measure in ANSWER_MEASURES.items()
        if not name.endswith("(model)") and any(measure.holds_for(item) for item in questions)
    ]


def evaluate_answers(
    answers: Iterable[Answer], items: Sequence[Item], measures: Sequence[str] | None = None, *, language: str = "en"
) -> Evaluation:
    """Measure answers, found by qid; an item without an answer counts as one that was failed.

    Args:
        measures: names of ANSWER_MEASURES; default: all that hold for these items.
        language: ISO 639-1 code, for the articles that exact match and F1 leave out.
    Raises:
        SpecError: a measure is unknown, or holds for none of the items.
    """
    names = default_answer_measures(items) if measures is None else [_known(name) for name in measures]
    by_qid = {answer.qid: answer for answer in answers}
    values = {name: _values(name, by_qid, items, language) for name in dict.fromkeys(names)}
    means = {name: fmean(of.values()) for name, of in values.items()}
    return Evaluation(measures=means, per_query=values, n_queries=len(items))


def _known(name: str) -> str:
    known = answer_measure_name(name)
    if known is None:
        raise SpecError(f"no measure of answers named '{name}'. There are: {', '.join(ANSWER_MEASURES)}")
    return known


def _values(name: str, answers: Mapping[str, Answer], items: Sequence[Item], language: str) -> dict[str, float]:
    measure = ANSWER_MEASURES[name]
    values = {
        item.qid: measure.value(answers.get(item.qid), item, language) for item in items if measure.holds_for(item)
    }
    if not values:
        raise SpecError(f"measure '{name}' is over {measure.where}, and the data have none")
    return values
