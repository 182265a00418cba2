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
        ("It took 4 011 days until 31 March 2019.", []),
        ("It took 411 days and 190 miles.", ["411"]),
        ("In 2019-31 it was 3,5 m.", []),
        ("See RFC 7232, said Ada's friend of Athens.", ["7232"]),
        ("There Charles Babbage met 2 of them.", ["Charles", "Babbage"]),
        ("THERE CHARLES BABBAGE MET 22 OF THEM.", ["22"]),
        ("Nobody knows. Everybody asks: Why? (Perhaps.)", []),
        ("骨架是4011天。", []),
        ("It was 190 miles, 190km, 3.5 m.", []),
        ("It was 190 kg, on 31 march 2019.", ["190 kg"]),
        ("On 31.mars it ended.", ["31.mars"]),
        ("On April 31 2019 it ended, in 3.m.", ["April 31"]),
        ("", []),
    ],
)
def test_what_no_source_has_is_named(text: str, missing: list[str]) -> None:
    assert missing_in(text, [SOURCE]) == missing


@pytest.mark.parametrize(
    ("text", "source", "missing"),
    [
        ("It is due on 3 May.", "Due: 03.05.2024, not 04.05.2024.", []),
        ("It is due on 3 May.", "Due: 5/3/2024.", []),
        ("It is due on 3 May.", "Due on 2024-05-03.", []),
        ("Es ist am 3. Mai fällig.", "It is due on May 3rd, 2024.", []),
        ("It is due on 3 May.", "Some in May, 3 of them by 4 June.", ["3 May"]),
        ("It is due on 3 May.", "Some in May, 3 of them.", []),
        ("It is aprıl 5, May 3 times be so, 12 percent of all.", "On 4 June it was 12 %, aprıl.", ["May 3"]),
        ("12 $ a year", "$12 a year, 12 months", []),
        ("12 € a year", "$12 a year", ["12 €"]),
        ("12 € a year", "12 dollars a year", []),
    ],
)
def test_days_and_units(text: str, source: str, missing: list[str]) -> None:
    assert missing_in(text, [source]) == missing


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
