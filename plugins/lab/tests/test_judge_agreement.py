"""How often a judge is right: what it is asked, the figures, and the file that is kept of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.lab.tests.judged import OTHER, judged, lively, part
from plugins.lab.tests.scripts import Writer, named
from rag import SpecError
from rag.evaluate import Item
from ragline_lab.judge.agreement import Case, figures, read_agreement, write_agreement
from ragline_lab.judge.asking import Judge, Known
from ragline_lab.judge.measuring import Pair, measure, pairs_of, references_of

MISLED = [
    Item(
        qid=f"m{n}",
        question=f"Which sport is number {n}?",
        answers=("rowing", "boats"),
        more={
            "wrong_answers": ["rowing", f"chess {n}"],
            "documents": [{"text": "number is rowing"}, {"text": "noise"}],
        },
    )
    for n in range(12)
]
ANSWERABLE = [
    Item(
        qid=f"a{n}",
        question=f"Which part number {n} is made how?",
        answers=(f"part {n} is brazed from tubes and then painted red",),
        answerable=n % 2 == 0,
        more={"contexts": [{"text": f"part {n} is brazed from tubes and then painted red. It lasts."}]},
    )
    if n % 2 == 0
    else Item(
        qid=f"a{n}",
        question=f"Who owns part number {n}?",
        answerable=False,
        more={"contexts": [{"text": f"Part {n} is old. It lasts."}]},
    )
    for n in range(8)
]


def right(prompt: str) -> str:
    """A judge that knows: rowing is right, a reference is, and a refusal where somebody asks who owns a thing."""
    if "JSON list" in prompt:
        return json.dumps([part(prompt, "What is known").removeprefix("- ")])
    if "Say vital" in prompt:
        return "vital"
    if "Does the answer say this fact" in prompt:
        return "Yes" if part(prompt, "Fact") in part(prompt, "Answer") else "No"
    wanted = "know" if "Who owns" in prompt else "rowing" if "sport" in prompt else "brazed"
    return "1" if wanted in part(prompt, "Answer 1") else "2"


def test_pairs_come_from_wrong_answers_or_from_what_can_be_answered() -> None:
    pairs = pairs_of(MISLED)
    assert [(pair.right, pair.wrong) for pair in pairs][:2] == [("rowing", "chess 0"), ("rowing", "chess 1")]
    assert {pair.gold for pair in pairs} == {"first", "second"}
    assert set(pairs[0].known.texts) == {"number is rowing", "noise"}
    refusals = {pair.qid: (pair.right, pair.wrong) for pair in pairs_of(ANSWERABLE)}
    assert refusals["a0"] == (ANSWERABLE[0].answers[0], "I don't know.")
    assert refusals["a1"] == ("I don't know.", "Part 1 is old.")
    references = references_of(ANSWERABLE)
    assert [(one.qid, one.other.split()[1]) for one in references] == [
        ("a0", "2"),
        ("a2", "4"),
        ("a4", "6"),
        ("a6", "0"),
    ]
    assert references_of(ANSWERABLE[:1]) == []


def test_a_judge_that_knows_agrees_and_one_that_takes_the_first_does_not() -> None:
    sets = {"misled": MISLED, "answerable": ANSWERABLE}
    agreement = measure(Judge(named(Writer(right))), sets)
    assert agreement.kinds["preference"].questions == 12 + 8
    assert (agreement.kinds["preference"].accuracy, agreement.kinds["preference"].kappa) == (1.0, 1.0)
    # four references, each with one nugget that is held by it and not by the next one
    nuggets = agreement.sets["answerable"]["nuggets"]
    assert (nuggets.questions, nuggets.cases, nuggets.accuracy, nuggets.kappa) == (4, 8, 1.0, 1.0)
    assert "nuggets" not in agreement.sets["misled"]
    first = measure(Judge(named(Writer(lambda prompt: "1" if "Which answer" in prompt else right(prompt)))), sets)
    assert (first.kinds["preference"].accuracy, first.kinds["preference"].ties) == (0.0, 1.0)
    assert ", 100% ties" in first.kinds["preference"].told()
    neither = measure(Judge(named(Writer(lambda prompt: "neither"))), sets)
    assert (neither.kinds["preference"].accuracy, neither.kinds["preference"].unreadable) == (0.0, 1.0)
    assert neither.kinds["nuggets"].unreadable == 1.0  # no list was read


def test_limits_keep_sets_even_and_the_draw_is_the_same() -> None:
    one = measure(Judge(named(Writer(right))), {"answerable": ANSWERABLE}, limit=4)
    assert one.kinds["preference"].questions == 4
    assert one == measure(Judge(named(Writer(right))), {"answerable": ANSWERABLE[::-1]}, limit=4)
    with pytest.raises(SpecError, match="data set 'bare' has nothing to measure a judge by"):
        measure(Judge(named(Writer(right))), {"bare": [Item(qid="1", question="q", answers=("a",))]})


def test_a_limit_below_a_pair_of_each_kind_is_told_as_that() -> None:
    refused = Item(qid="2", question="Who?", answerable=False, more={"contexts": [{"text": "It is old."}]})
    data = {"short": [Item(qid="1", question="Which?", answers=("a",)), refused]}
    with pytest.raises(SpecError, match=r"'short' gives pairs by two, .* so a limit of 1 leaves none; allow 2 or more"):
        measure(Judge(named(Writer(right))), data, limit=1)
    assert measure(Judge(named(Writer(right))), data, limit=2).kinds["preference"].questions == 2


def test_figures_are_over_questions() -> None:
    cases = [
        Case(qid="a", gold="held", said="held"),
        Case(qid="a", gold="not held", said="held"),
        Case(qid="b", gold="held", said="held"),
        Case(qid="b", gold="not held"),
        Case(qid="c", gold="held", said="held"),
    ]
    found = figures(cases)
    assert found.accuracy == pytest.approx((0.5 + 0.5 + 1) / 3)
    # seen 3/5; chance (3 * 4 + 2 * 0) / 25
    assert found.kappa == pytest.approx((0.6 - 0.48) / 0.52)
    assert (found.questions, found.cases, found.unreadable) == (3, 5, 0.2)
    assert found.told() == "the judge is right in 0.67 95% [0.50, 1.00] of 3 questions, kappa 0.23, 20% unreadable"


def test_an_agreement_of_another_judge_or_prompt_is_refused(tmp_path: Path) -> None:
    judge = Judge(named(Writer(right)))
    write_agreement(measure(judge, {"misled": MISLED}), tmp_path / "a.json")
    agreement = read_agreement(tmp_path / "a.json")
    agreement.require(judge)
    assert agreement.judge["model"] == {"name": "scripted"}
    assert len(agreement.judge["prompts"]["judge_pair"]) == 64
    with pytest.raises(SpecError, match=r"is of the judge 'scripted', and 'other' is another one \(another model\)"):
        judged(Judge(named(Writer(lively), "other")), tmp_path / "out", agreement=agreement)
    changed = agreement.model_copy(update={"judge": {**agreement.judge, "prompts": {}}})
    with pytest.raises(SpecError, match=r"\(other prompts\)"):
        changed.require(judge)
    report = judged(Judge(named(Writer(lively))), tmp_path / "out", other=OTHER, agreement=agreement)
    told = "\n".join(report.lines())
    assert "(the judge is right in 1.00 95% [1.00, 1.00] of 12 questions, kappa 1.00)" in told
    assert "(agreement not measured)" in told  # of nuggets nothing is known
    (tmp_path / "b.json").write_text('{"version": 1}')
    with pytest.raises(SpecError, match="is no agreement file of rag lab judge"):
        read_agreement(tmp_path / "b.json")
    with pytest.raises(SpecError, match=r"agreement file .*c.json' cannot be read"):
        read_agreement(tmp_path / "c.json")


def test_sides_are_shown_evenly() -> None:
    pairs = [Pair(qid=str(n), known=Known(question="q"), right="r", wrong="w") for n in range(200)]
    first = sum(pair.shown[1] == "r" for pair in pairs)
    assert 80 < first < 120
    assert all((pair.shown[1] == "r") == (pair.gold == "first") for pair in pairs)
