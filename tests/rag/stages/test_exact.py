"""Numbers and names of an answer that no passage has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.types import Answer, Context, Document, Query, ScoredDocument
from rag.stages.checks.exact import missing_in
from rag.stages.checks.words import WordsChecker

SOURCE = (
    "In 4.011 days Ada Lovelace, 36, and the Athenians walked 190 km by 31. März 2019, as it was told by those who came; see RFC"
    " 7231 and 3.5 m."
)
GERMAN = (
    "Wer auf Reisen geht, reicht seine Spesen mit den Belegen in der Verwaltung ein, und zwar bis zum Ende des Monats."
)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("It took 4,011 days.", []),
        ("It took 4 011 days until 31 March 2019.", ["March"]),
        ("It took 411 days and 190 miles.", ["411"]),
        ("In 2019-31 it was 3,5 m.", []),
        ("See RFC 7232, said Ada's friend of Athens.", ["7232"]),
        ("There Charles Babbage met 2 of them.", ["Charles", "Babbage"]),
        ("Nobody knows. Everybody asks: Why? (Perhaps.)", []),
        ("骨架是4011天。", []),
        ("", []),
    ],
)
def test_what_no_source_has_is_named(text: str, missing: list[str]) -> None:
    assert missing_in(text, [SOURCE]) == missing


@given(st.text(max_size=60))
def test_a_text_has_all_that_it_has(text: str) -> None:
    assert missing_in(text, [text]) == []


@given(st.text(st.sampled_from("Aa1.,:'- \n(“"), max_size=60))
def test_a_text_has_all_that_it_has_whatever_stands_between(text: str) -> None:
    assert missing_in(text, ["", text]) == []


def test_nouns_with_capitals_are_no_names() -> None:
    assert missing_in("Die Frist für Ausgaben endet nach der Fahrt im Mai, nach 5 und 60 Tagen.", [GERMAN]) == ["60"]


def test_a_sentence_with_another_number_is_not_in_the_passages_and_says_why() -> None:
    document = Document(doc_id="d", title="Trips", text="Claims are filed within 90 days after the end of the trip.")
    query = Query(qid="q", text="When are claims of 2024 filed?")
    context = Context(query=query, passages=(ScoredDocument(document=document, score=1.0),))
    said = Answer(
        query=query,
        text="Claims of 2024 are filed within 90 days after the trip. Within 60 days they end.",
        context=context,
    )
    [found] = WordsChecker().check([said])
    first, second = found.verdicts
    assert (first.kind, first.not_copied) == ("similar", ())
    assert (second.kind, second.not_copied) == ("unsupported", ("60",))
    assert found.outcome.counts["not_copied"] == 1
    [right] = WordsChecker().check([replace(said, text="Within 90 days they end.")])
    assert right.verdicts[0].kind == "similar"
