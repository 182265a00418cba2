"""Verdicts on sentences, and what becomes of an answer for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rag.core.types import Answer, AnswerDelta, Citation, Context, Document, Query, ScoredDocument
from rag.stages.checks.checker import SentenceChecker, Weighed
from rag.stages.checks.claims import Claim, claim_of, claim_spans, most_like, without
from rag.stages.checks.words import WordsChecker
from rag.stages.markers import check_markers

PASSAGES = ("Frames are made of steel. Wheels are round.", "Everyone has thirty days of leave.")
TEXT = "Frames are made of steel [1]. Pigs fly [1].\n\nThirty days of leave. [2]"


def answer(text: str = TEXT, passages: Sequence[str] = PASSAGES, question: str = "What?") -> Answer:
    documents = [Document(doc_id=f"d{n}", text=passage) for n, passage in enumerate(passages)]
    query = Query(qid="q", text=question)
    hits = tuple(ScoredDocument(document=document, score=0.0) for document in documents)
    citations = check_markers(text, [document.doc_id for document in documents]).citations
    return Answer(query=query, text=text, context=Context(query=query, passages=hits), citations=citations)


class Told(SentenceChecker):
    """Says of claims what it is told."""

    by = "told"

    def __init__(self, support: dict[str, float | None], against: float = 0.0, **more: Any) -> None:
        super().__init__(**{"threshold": 0.5, "unsupported": "tell", "refusal": "I don't know", **more})
        self.told, self.no = support, against

    def weigh(self, claims: Sequence[Claim]) -> list[Weighed]:
        scores = [self.told[claim.text] for claim in claims]
        return [Weighed(support={0: s or 0.0}, against={0: self.no}, judged=s is not None) for s in scores]


def test_of_passages_that_are_near_enough_one_that_is_cited_is_told() -> None:
    passages = (
        "Steel frames are heavy and last.",
        "Steel frames are heavy and last long, says the maker.",
        "Pigs fly.",
    )
    checker = WordsChecker()
    for cited, marker in (("[1]", 1), ("[2]", 2), ("[3]", 2)):
        [found] = checker.check([answer(f"Steel frames are heavy and last long {cited}.", passages)])
        [verdict] = found.verdicts
        assert (verdict.marker, verdict.kind) == (marker, "similar")
        assert verdict.score == pytest.approx(1.0), "how like it is does not depend on what is cited"


class TestClaims:
    def test_a_marker_behind_a_full_stop_is_of_the_sentence_before_it(self) -> None:
        said = [TEXT[start:end] for start, end in claim_spans(TEXT)]
        assert said == ["Frames are made of steel [1].", "Pigs fly [1].", "Thirty days of leave. [2]"]
        both = "It is so. [1] [2] So it is."
        assert [both[start:end] for start, end in claim_spans(both)] == ["It is so. [1] [2]", "So it is."]

    @pytest.mark.parametrize("text", ["", "[1]", "-- [2].", "\n\n...", "[1] [2]"])
    def test_what_has_no_words_claims_nothing(self, text: str) -> None:
        assert claim_spans(text) == []

    def test_a_claim_knows_what_it_cites(self) -> None:
        claims = [claim_of(answer(), span) for span in claim_spans(TEXT)]
        assert [(claim.text, claim.cited) for claim in claims] == [
            ("Frames are made of steel.", (0,)),
            ("Pigs fly.", (0,)),
            ("Thirty days of leave.", (1,)),
        ]

    def test_the_most_like_passages_are_the_cited_ones_then_those_that_share_words(self) -> None:
        passages = tuple(Document(doc_id=str(n), text=text) for n, text in enumerate(("nothing", *PASSAGES)))
        claim = Claim(question="", text="Thirty days of leave.", passages=passages)
        assert most_like(claim, 1) == [2]
        assert most_like(Claim(question="", text=claim.text, passages=passages, cited=(1,)), 2) == [1, 2]
        assert most_like(Claim(question="", text=claim.text, passages=()), 2) == []

    @pytest.mark.parametrize(
        ("dropped", "left"),
        [
            ([], TEXT),
            ([0], "Pigs fly [1].\n\nThirty days of leave. [2]"),
            ([1], "Frames are made of steel [1].\n\nThirty days of leave. [2]"),
            ([2], "Frames are made of steel [1]. Pigs fly [1]."),
            ([1, 2], "Frames are made of steel [1]."),
            ([0, 1, 2], ""),
        ],
    )
    def test_what_is_left_out_leaves_paragraphs_apart(self, dropped: list[int], left: str) -> None:
        spans = claim_spans(TEXT)
        text, moved = without(TEXT, spans, [spans[n] for n in dropped])
        assert text == left
        for (start, end), by in moved.items():
            assert text[start + by : end + by] == TEXT[start:end]


class TestPolicies:
    BAD = {"Frames are made of steel.": 0.9, "Pigs fly.": 0.1, "Thirty days of leave.": 0.9}

    def test_tell_changes_no_text_and_counts(self) -> None:
        [told] = Told(self.BAD).check([answer()])
        assert told.text == TEXT
        assert [(v.kind, v.marker, v.by) for v in told.verdicts] == [
            ("similar", 1, "told"),
            ("unsupported", None, "told"),
            ("similar", 1, "told"),
        ]
        assert dict(told.outcome.counts) == {"similar": 2, "unsupported": 1}
        assert told.outcome.kind == "ok"

    def test_drop_leaves_the_sentence_out_and_moves_what_stands_behind_it(self) -> None:
        [told] = Told(self.BAD, unsupported="drop").check([answer()])
        assert told.text == "Frames are made of steel [1].\n\nThirty days of leave. [2]"
        assert [told.text[c.start : c.end] for c in told.citations] == ["[1]", "[2]"]
        assert [told.text[v.start : v.end] for v in told.verdicts] == [
            "Frames are made of steel [1].",
            "Thirty days of leave. [2]",
        ]
        assert (told.status, told.outcome.kind, told.outcome.counts["dropped"]) == ("answered", "repaired", 1)
        assert told.outcome.detail == "1 of 3 sentences is not in the passages and left out"

    @pytest.mark.parametrize(("unsupported", "low"), [("refuse", {"Pigs fly."}), ("drop", set(BAD))])
    def test_refuse_and_nothing_left_decline(self, unsupported: str, low: set[str]) -> None:
        checker = Told({text: 0.1 if text in low else 0.9 for text in self.BAD}, unsupported=unsupported)
        [told] = checker.check([answer()])
        assert (told.text, told.status, told.citations, told.verdicts) == ("I don't know.", "no_answer", (), ())
        assert told.outcome.counts["refused"] == 1
        assert told.outcome.kind == "repaired"

    @pytest.mark.parametrize("unsupported", ["drop", "refuse"])
    def test_a_good_answer_stays_as_it_is(self, unsupported: str) -> None:
        [told] = Told(dict.fromkeys(self.BAD, 1.0), unsupported=unsupported).check([answer()])
        assert (told.text, told.status, told.outcome.kind) == (TEXT, "answered", "ok")

    def test_what_cannot_be_judged_gets_no_verdict_and_stays(self) -> None:
        [told] = Told({**self.BAD, "Thirty days of leave.": None}, unsupported="drop").check([answer()])
        assert told.text == "Frames are made of steel [1].\n\nThirty days of leave. [2]"
        assert (len(told.verdicts), told.outcome.counts["unjudged"]) == (1, 1)

    def test_only_a_trusted_means_says_supported_and_contradicted(self) -> None:
        kinds = [[v.kind for v in Told(self.BAD, 0.9, trusted=t).check([answer()])[0].verdicts] for t in (False, True)]
        assert kinds == [["similar", "unsupported", "similar"], ["supported", "contradicted", "supported"]]

    @pytest.mark.parametrize(("unsupported", "pieces"), [("tell", 5), ("drop", 1), ("refuse", 1)])
    def test_a_stream_is_held_back_where_it_may_change(self, unsupported: str, pieces: int) -> None:
        whole = answer()
        checker = Told(self.BAD, unsupported=unsupported)
        deltas = [*(AnswerDelta(text=TEXT[n : n + 15]) for n in range(0, len(TEXT), 15)), AnswerDelta(answer=whole)]
        told = list(checker.check_stream(iter(deltas)))
        assert len([delta for delta in told if delta.text]) == pieces
        assert told[-1].answer == checker.check([whole])[0]
        assert "".join(delta.text for delta in told) == told[-1].answer.text

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"threshold": 2}, "check.words: threshold must be from 0 to 1, got 2"),
            ({"unsupported": "hide"}, "check.words: unsupported must be one of tell, drop, refuse"),
            ({"refusal": " ."}, "check.words: refusal must have words"),
        ],
    )
    def test_senseless_arguments_are_refused(self, more: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            WordsChecker(**more)


class TestWords:
    def test_words_never_say_more_than_similar(self) -> None:
        [told] = WordsChecker().check([answer("Frames are never made of steel. Pigs fly. Yes.")])
        assert [(v.kind, v.marker) for v in told.verdicts] == [("similar", 1), ("unsupported", None)]
        assert dict(told.outcome.counts) == {"similar": 1, "unsupported": 1, "unjudged": 1}


def test_an_attributed_citation_goes_with_its_sentence() -> None:
    text = "Pigs fly. Frames are made of steel."
    cited = Citation(marker=1, doc_id="d0", start=10, end=35, by="attribution")
    checker = Told({"Pigs fly.": 0.0, "Frames are made of steel.": 1.0}, unsupported="drop")
    [told] = checker.check([Answer(query=(a := answer(text)).query, text=text, context=a.context, citations=(cited,))])
    assert told.text[told.citations[0].start : told.citations[0].end] == told.text == "Frames are made of steel."
