"""What judges does not teach: the same question in other letters, one that is nearly the same, and one that is not."""

from __future__ import annotations

import pytest

from ragline_train.teaching.guard import Alike, Guard, LeakedQuestion, copies, normal, pieces, question_digest

JUDGED = {"q1": "How many days of paid leave does everyone have?", "q2": "Who mends a lost laptop?"}


def test_case_space_and_punctuation_make_no_difference() -> None:
    asked = "how many days -- of paid leave,  does everyone HAVE"
    assert question_digest(asked) == question_digest(JUDGED["q1"])
    assert question_digest("How many days of sick leave does everyone have?") != question_digest(JUDGED["q1"])
    assert normal("\ufeffＡ b!") == "a b"


def test_jaccard_worked_by_hand() -> None:
    assert pieces("abcdef") == {"abcd", "bcde", "cdef"}
    assert pieces("ab") == {"ab"}
    assert Alike(["xyzw", "abcde"]).closest("abcdef") == (1, 2 / 3)
    assert Alike(["xyzw"]).closest("abcdef") is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("how many days of paid leave does everyone have", "same"),
        ("How many days of paid leave does everyone have now?", "near"),
        ("Who may read a note?", None),
        ("How many bicycles are there?", None),
    ],
)
def test_a_leak_is_seen(text: str, kind: str | None) -> None:
    leak = Guard(JUDGED).leak(text)
    assert (leak and (leak.qid, leak.kind)) == (("q1", kind) if kind else None)


def test_a_refusal_names_places_and_no_text() -> None:
    with pytest.raises(LeakedQuestion) as refused:
        Guard(JUDGED).require_none(["What is a frame?", "WHO mends a lost laptop"], place="log.jsonl")
    assert "log.jsonl: 1 of 2 questions" in str(refused.value)
    assert "question 2 (same as 'q2')" in str(refused.value)
    assert "laptop" not in str(refused.value)


def test_without_judged_questions_nothing_is_refused() -> None:
    Guard({}).require_none(["anything", ""], place="log")


def test_copies_are_one_cluster_and_others_are_not() -> None:
    one = "the frame of a bicycle is brazed by hand and then it is painted twice in the main hall"
    texts = [one, "a lost key is told to the duty officer at once and not later than that", f"{one} today", ""]
    assert copies(texts) == [0, 1, 0, 3]
