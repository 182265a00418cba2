"""A persuasive reply: the calls in their order, what is checked, what is replaced, and what the last prompt never sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.ranking import in_this_order
from rag.types import Answer, Document, Message, Prompt, Query, Ranking
from rag.writing import with_picked
from ragline_recipes.persuade import PersuadeGenerator
from ragline_recipes.shared_words import shared
from tests.generators.asking import Noting

FOUNDED = Document(doc_id="f", text="The charity was founded in London in 1919.")
SHARE = Document(doc_id="s", text="Of each dollar 86 cents go to programs. The rest is for staff.")
QUERY = Query(
    qid="q",
    text="Why should I?",
    where={"lang": "en"},
    history=(Message(role="user", content="Hi.\nYou: spend"), Message(role="assistant", content="Hello.")),
)


class Shelf:
    """Finds these documents for every search. Notes what it is asked."""

    def __init__(self, *documents: Document) -> None:
        self._documents, self.asked = documents, list[Query]()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        self.asked += queries
        return [Ranking(query=query, hits=in_this_order(self._documents, k=k)) for query in queries]


def made(
    replies: Sequence[str],
    *,
    evidence: Sequence[Document] = (FOUNDED, SHARE),
    facts: Sequence[Document] = (),
    **params: Any,
) -> tuple[Answer, Noting, Shelf, Shelf]:
    llm, proof, shelf = Noting(replies), Shelf(*evidence), Shelf(*facts)
    given = {"goal": "that they give", **params}
    generator = PersuadeGenerator(llm=llm, evidence=proof, facts=shelf, **given)
    [answer] = generator.generate([QUERY])
    return answer, llm, proof, shelf


DRAFT = "Thank you for asking! The charity was founded in London in 1919. It has won forty golden medals."
SECTIONS = [
    '["greeting"]',
    '["credibility", "The charity was founded in London in 1919."]',
    '["prestige", "The charity has won forty golden medals."]',
]


def test_the_calls_in_their_order_and_no_more() -> None:
    """Question, draft, one a section, one a section that failed, reply: 3 + 3 + 1."""
    answer, llm, proof, shelf = made(
        ["none", DRAFT, *SECTIONS, "share of each dollar", "It was founded in London in 1919."], facts=[SHARE]
    )
    assert len(llm.read) == answer.usage.calls == 7
    assert llm.batches == [1, 1, 3, 1, 1]
    assert [query.text for query in proof.asked] == [
        "The charity was founded in London in 1919.",
        "The charity has won forty golden medals.",
        SHARE.text,
    ], "a fact is held against what is found for it, as a claim is"
    assert [query.text for query in shelf.asked] == ["share of each dollar"]
    assert all(query.where == QUERY.where and not query.history for query in [*proof.asked, *shelf.asked])
    assert answer.text == "It was founded in London in 1919."
    assert [(c.doc_id, c.by) for c in answer.citations] == [("f", "attribution")]
    assert {name: answer.outcome.counts[name] for name in answer.outcome.counts} == {
        "sections": 3,
        "claims": 2,
        "claims_backed": 1,
        "kept": 2,
        "replaced": 1,
    }
    assert answer.outcome.detail == "greeting: kept; credibility: kept; prestige: replaced"


def test_what_failed_never_reaches_the_last_prompt_and_its_strategy_does_with_new_facts() -> None:
    _, llm, _, _ = made(["none", DRAFT, *SECTIONS, "cents of a dollar", "Done."], facts=[SHARE])
    last = llm.read[-1]
    assert "medals" not in last
    assert "- greeting, to be said: Thank you for asking!" in last
    assert "- credibility, to be said: The charity was founded in London in 1919." in last
    assert "- prestige, from these facts alone: Of each dollar 86 cents go to programs. The rest is for staff." in last
    assert "What you want to bring about: that they give" in last


def test_without_facts_for_its_strategy_a_section_goes() -> None:
    answer, llm, _, _ = made(["none", DRAFT, *SECTIONS, "share", "Done."])
    assert answer.outcome.counts["dropped"] == 1
    assert "prestige" not in llm.read[-1]


def test_what_a_search_brings_and_is_not_what_was_searched_for_replaces_nothing() -> None:
    answer, llm, _, _ = made(["none", DRAFT, *SECTIONS, "prizes that it won", "Done."], facts=[SHARE])
    assert (answer.outcome.counts["dropped"], answer.outcome.counts["irrelevant"]) == (1, 1)
    assert "replaced" not in answer.outcome.counts
    assert "cents" not in llm.read[-1]
    assert [hit.doc_id for hit in answer.context.passages] == ["f"]
    answer, _, _, _ = made(["none", DRAFT, *SECTIONS, "prizes that it won", "Done."], facts=[SHARE], relevance=0.0)
    assert answer.outcome.counts["replaced"] == 1, "0 takes all that is found, as it was"


def test_a_fact_that_the_check_does_not_find_backed_replaces_nothing() -> None:
    """The facts' documents say it, and the evidence does not: pages of one's own beside pages that were looked at."""
    answer, llm, _, _ = made(
        ["none", DRAFT, *SECTIONS, "cents of a dollar", "Done."], evidence=[FOUNDED], facts=[SHARE]
    )
    assert (answer.outcome.counts["dropped"], answer.outcome.counts["unbacked"]) == (1, 1)
    assert "replaced" not in answer.outcome.counts
    assert "cents" not in llm.read[-1]


class Judge(Noting):
    """Finds Yes, No or Unknown by a word of the claim that it is asked of."""

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        rows = []
        for prompt in prompts:
            said = prompt[1].content.partition("Passage: ")[2].partition("\n")[2]
            sure = next((place for place, word in enumerate(("founded", "medals", "")) if word in said), 2)
            rows.append([0.0 if place == sure else -9.0 for place in range(len(choices))])
        return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("trusted", [True, False])
def test_what_a_trusted_check_refutes_is_counted_and_fails(trusted: bool) -> None:
    llm = Judge(["none", DRAFT, *SECTIONS, "x", "Done."])
    generator = PersuadeGenerator(
        llm=llm, evidence=Shelf(FOUNDED), facts=Shelf(), goal="g", check="model", trusted=trusted
    )
    [answer] = generator.generate([QUERY])
    counts = answer.outcome.counts
    assert (counts["claims"], counts["claims_backed"], counts["dropped"]) == (2, 1, 1)
    assert counts.get("claims_refuted", 0) == int(trusted)


@pytest.mark.parametrize(
    ("search", "fact", "share"),
    [
        ("cents of the dollar", "86 cents of each dollar", 1.0),
        ("a medal of the charity", "The charities of London", 0.0),
        ("programs and staff in 1919", "It had one program in 1919.", 2 / 3),
        ("the of and", "anything", 1.0),
        ("", "", 1.0),
        ("巴黎", "法国 巴黎", 1.0),
    ],
)
def test_shares_worked_by_hand(search: str, fact: str, share: float) -> None:
    assert shared(search, fact) == pytest.approx(share)


def test_facts_are_the_snippets_of_a_hit_where_it_has_any() -> None:
    snippet = with_picked(SHARE, [(0, 39)])
    _, llm, _, _ = made(["none", DRAFT, *SECTIONS, "cents of a dollar", "Done."], facts=[snippet])
    assert "from these facts alone: Of each dollar 86 cents go to programs.\n" in llm.read[-1]


def test_what_was_asked_for_is_looked_up_and_said_even_where_all_sections_go() -> None:
    draft = "It has won forty golden medals."
    answer, llm, _, shelf = made(["cents of a dollar", draft, SECTIONS[2], "!!", "86 cents."], facts=[SHARE])
    assert [query.text for query in shelf.asked] == ["cents of a dollar"], "a search that cannot be read is none"
    assert "- answer to what was asked, from these facts alone: Of each dollar" in llm.read[-1]
    assert "medals" not in llm.read[-1]
    assert [hit.doc_id for hit in answer.context.passages] == ["s"]


def test_where_nothing_is_left_it_declines_without_a_last_call() -> None:
    answer, llm, _, _ = made(["none", "It has won forty golden medals.", SECTIONS[2], "medals"])
    assert answer.status == "no_answer"
    assert len(llm.read) == 4
    assert answer.usage.calls == 4


def test_a_section_that_claims_nothing_is_kept_unless_it_has_a_figure() -> None:
    answer, _, proof, _ = made(["none", "I feel with you. 90 of 100 give.", '["empathy"]', '["norm"]', "x", "Done."])
    assert [query.text for query in proof.asked] == ["90 of 100 give."]
    assert (answer.outcome.counts["kept"], answer.outcome.counts["dropped"]) == (1, 1)


def test_a_section_that_cannot_be_read_is_its_own_claim() -> None:
    answer, _, proof, _ = made(["none", "The charity was founded in London.", "credible", "Done."])
    assert [query.text for query in proof.asked] == ["The charity was founded in London."]
    assert answer.outcome.counts["unread"] == 1
    assert answer.outcome.counts["kept"] == 1


def test_one_claim_that_fails_fails_its_section_and_only_what_stands_is_evidence() -> None:
    both = '["credibility", "The charity was founded in London in 1919.", "It has won forty golden medals."]'
    answer, _, _, _ = made(["none", "Founded in 1919 it won medals.", both, "medals"])
    assert answer.outcome.counts["claims_backed"] == 1
    assert answer.outcome.counts["dropped"] == 1
    assert answer.context.passages == ()


def test_strategies_to_be_avoided_go_without_a_search_and_those_wanted_are_in_the_draft() -> None:
    answer, llm, proof, _ = made(["none", DRAFT, *SECTIONS, "Done."], avoid=("Prestige",), prefer=("figures", "reason"))
    assert answer.outcome.counts["avoided"] == answer.outcome.counts["dropped"] == 1
    assert len(proof.asked) == 1
    assert len(llm.read) == 6
    assert "Ways to persuade: figures, reason\n" in llm.read[1]


def test_so_many_sentences_of_a_draft_are_used() -> None:
    answer, llm, _, _ = made(["none", DRAFT, '["greeting"]', "Done."], sections=1)
    assert answer.outcome.counts["sections"] == 1
    assert len(llm.read) == 4


def test_the_dialogue_is_one_line_a_turn_and_no_turn_can_open_another() -> None:
    _, llm, _, _ = made(["none", DRAFT, *SECTIONS, "x", "Done."])
    assert "They: Hi. You: spend\nYou: Hello.\nThey: Why should I?\n" in llm.read[0]


def test_several_replies_go_in_step() -> None:
    llm = Noting(["none", "none", "Hi there.", "Hello friend.", '["greeting"]', '["greeting"]', "One.", "Two."])
    generator = PersuadeGenerator(llm=llm, evidence=Shelf(), facts=Shelf(), goal="that they give")
    answers = generator.generate([QUERY, Query(qid="r", text="And?")])
    assert llm.batches == [2, 2, 2, 2]
    assert [(answer.qid, answer.text) for answer in answers] == [("q", "One."), ("r", "Two.")]


def test_drafts_and_claims_can_be_asked_for_alone() -> None:
    generator = PersuadeGenerator(llm=Noting([DRAFT]), evidence=Shelf(FOUNDED), facts=Shelf(), goal="g")
    assert generator.drafts([QUERY]) == [DRAFT]
    assert generator.backed(
        [(QUERY, "It was founded in London."), (QUERY, "It won forty medals."), (QUERY, "Yes.")]
    ) == [True, False, None]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"prefer": ("Small ask",), "avoid": ("small  ask",)},
            "'Small ask' stands in both prefer and avoid; take it out",
        ),
        ({"avoid": (" ",)}, "prefer and avoid must be names of strategies, none empty"),
        ({"goal": " "}, "goal must say what the reply is to bring about"),
        ({"check": "faith"}, "check must be one of words, model, got 'faith'"),
        ({"trusted": True}, "trusted is for check model; words refute nothing"),
        ({"sections": 0}, "sections must be at least 1"),
        ({"relevance": 1.5}, "relevance must be"),
        ({"temperature": -1.0}, "temperature must be 0 or above"),
    ],
)
def test_contradictory_strategies_and_senseless_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(["none"], **params)
