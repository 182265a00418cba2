from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from rag.core.errors import SpecError
from rag.core.types import Answer, Citation, Context, Query
from rag.evaluate import ANSWER_MEASURES, evaluate_answers
from rag.evaluate.answers import answer_measure_name, default_answer_measures, words_of
from rag.evaluate.beir import Item, load_beir


def answer(
    qid: str, text: str, *cited: str, status: Literal["answered", "no_answer", "failed"] = "answered", **more: Any
) -> Answer:
    query = Query(qid=qid, text="?")
    citations = tuple(Citation(marker=n, doc_id=doc_id, start=0, end=0, **more) for n, doc_id in enumerate(cited, 1))
    return Answer(query=query, text=text, context=Context(query=query), citations=citations, status=status)


ITEMS = (
    Item(qid="right", question="?", answers=("Paris", "City of Paris"), supporting=("d1", "d2")),
    Item(qid="near", question="?", answers=("Stanley Hall",), supporting=("d3",)),
    Item(qid="refused", question="?", answers=("Bonn",), supporting=("d4",)),
    Item(qid="lost", question="?", answers=("Rome",), supporting=("d5",)),
    Item(qid="trap", question="?", answerable=False, supporting=("d6",)),
    Item(qid="taken", question="?", answerable=False),
)
ANSWERS = (
    answer("right", "The Paris.", "d1", "d9"),
    answer("near", "G Stanley Hall", "d3"),
    answer("refused", "I don't know.", "d4", status="no_answer"),
    answer("trap", "I don't know.", status="no_answer"),
    answer("taken", "Madrid", "d7"),
)


def test_values_are_those_worked_by_hand() -> None:
    found = evaluate_answers(ANSWERS, ITEMS)
    assert found.per_query["EM"] == {"right": 1.0, "near": 0.0, "refused": 0.0, "lost": 0.0}
    assert found.per_query["F1"] == pytest.approx({"right": 1.0, "near": 0.8, "refused": 0.0, "lost": 0.0})
    assert found.per_query["ROUGE-L"]["near"] == pytest.approx(0.8)
    assert found.per_query["CitationPrecision"] == {"right": 0.5, "near": 1.0, "refused": 0.0, "lost": 0.0}
    assert found.per_query["CitationRecall"] == {"right": 0.5, "near": 1.0, "refused": 0.0, "lost": 0.0}
    assert found.per_query["RefusedAnswerable"] == {"right": 0.0, "near": 0.0, "refused": 1.0, "lost": 0.0}
    assert found.per_query["RefusedUnanswerable"] == {"trap": 1.0, "taken": 0.0}
    assert found.measures["F1"] == pytest.approx(1.8 / 4)
    assert found.measures["RefusedUnanswerable"] == 0.5
    assert found.n_queries == 6


def test_two_systems_are_measured_on_the_same_questions_whatever_they_answer() -> None:
    some, none = evaluate_answers(ANSWERS, ITEMS), evaluate_answers([], ITEMS)
    assert {m: set(v) for m, v in some.per_query.items()} == {m: set(v) for m, v in none.per_query.items()}
    assert set(none.measures.values()) == {0.0}


def test_a_refusal_has_no_words_even_if_its_text_holds_the_answer() -> None:
    made = answer("right", "Paris, but I don't know", status="no_answer")
    assert evaluate_answers([made], ITEMS[:1], ["F1"]).measures["F1"] == 0.0


def test_silence_does_not_match_a_reference_that_is_nothing_but_an_article() -> None:
    item = Item(qid="q", question="Which blood type?", answers=("A",))
    assert evaluate_answers([answer("q", "", status="failed")], [item], ["EM", "F1"]).measures == {"EM": 0.0, "F1": 0.0}
    assert evaluate_answers([answer("q", "a.")], [item], ["EM"]).measures == {"EM": 1.0}


def test_the_markers_of_the_model_are_no_words_and_other_brackets_are() -> None:
    text = "It was 308 [1] in [2016] [2]."
    citations = (
        Citation(marker=1, doc_id="a", start=11, end=14),
        Citation(marker=2, doc_id="b", start=25, end=28),
        Citation(marker=2, doc_id="b", start=0, end=29, by="attribution"),
    )
    query = Query(qid="q", text="?")
    made = Answer(query=query, text=text, context=Context(query=query), citations=citations)
    assert words_of(made).split() == ["It", "was", "308", "in", "[2016]", "."]


def test_a_marker_of_several_numbers_is_taken_out_once() -> None:
    query = Query(qid="q", text="?")
    citations = tuple(Citation(marker=n, doc_id=str(n), start=6, end=12) for n in (1, 2))
    made = Answer(query=query, text="steel [1, 2]", context=Context(query=query), citations=citations)
    assert words_of(made).split() == ["steel"]


def test_citations_of_the_model_can_be_measured_alone() -> None:
    made = [answer("right", "Paris", "d1", by="attribution")]
    found = evaluate_answers(made, ITEMS[:1], ["CitationPrecision", "CitationPrecision(model)"])
    assert found.measures == {"CitationPrecision": 1.0, "CitationPrecision(model)": 0.0}


def test_by_default_measures_that_hold_for_nothing_are_left_out_and_asked_for_they_are_refused() -> None:
    assert "RefusedUnanswerable" not in default_answer_measures(ITEMS[:2])
    assert set(default_answer_measures(ITEMS)) == {name for name in ANSWER_MEASURES if not name.endswith("(model)")}
    with pytest.raises(SpecError, match="'RefusedUnanswerable' is over unanswerable questions, and the data have none"):
        evaluate_answers(ANSWERS, ITEMS[:2], ["RefusedUnanswerable"])
    with pytest.raises(SpecError, match="no measure of answers named 'BLEU'"):
        evaluate_answers(ANSWERS, ITEMS, ["BLEU"])


def test_names_are_known_in_any_case() -> None:
    names = ("em", "f1", "rouge_l", "RougeL", "rouge-l", "nDCG@10")
    assert [answer_measure_name(name) for name in names] == ["EM", "F1", "ROUGE-L", "ROUGE-L", "ROUGE-L", None]


SETS = {
    "clapnq": (300, 300),
    "hotpotqa-100": (100, 0),
    "musique-100": (100, 0),
    "nq-open": (3610, 0),
    "pubmedqa": (1000, 0),
    "xquad/de": (1190, 0),
    "xquad/en": (1190, 0),
    "xquad/zh": (1190, 0),
}


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_a_reference_answer_is_perfect_and_silence_is_worth_nothing(eval_data: Path, name: str) -> None:
    language = name.partition("/")[2] or "en"
    items = list(load_beir(eval_data / name).items())
    perfect = [
        answer(item.qid, item.answers[0], *item.supporting) if item.answerable else refusal(item) for item in items
    ]
    found = evaluate_answers(perfect, items, language=language)
    wanted = dict.fromkeys(found.measures, 1.0) | {"RefusedAnswerable": 0.0}
    assert found.measures == pytest.approx(wanted, abs=0.001)  # two references of nq-open are marks without a word
    n_refused = len(found.per_query.get("RefusedUnanswerable", {}))
    assert (len(found.per_query["EM"]), n_refused) == SETS[name]
    assert set(evaluate_answers([], items, language=language).measures.values()) == {0.0}


def refusal(item: Item) -> Answer:
    return answer(item.qid, "I don't know.", status="no_answer")
