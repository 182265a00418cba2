"""Models that are held to a form, and what is left to repair of what they write."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Completion, Document, Message, Prompt, Query, Ranking, SamplingParams, ScoredDocument
from rerankers.forms import letters, numbers, written
from rerankers.labels import parse_labels
from rerankers.permutation import parse_permutation
from tests.rerankers.making import reranker

BEGUN: Prompt = [Message(role="user", content="which?"), Message(role="assistant", content="Passage")]
WORD: Prompt = [Message(role="user", content="which?"), Message(role="assistant", content="Answer:")]
PLAIN: Prompt = [Message(role="user", content="which?")]
BRACKET: Prompt = [Message(role="user", content="which?"), Message(role="assistant", content="[")]


def ranking(n: int, qid: str = "q") -> Ranking:
    hits = tuple(
        ScoredDocument(document=Document(doc_id=f"d{i:02}", text=f"word {i}"), score=float(n - i)) for i in range(n)
    )
    return Ranking(query=Query(qid=qid, text=f"{qid}: which word?"), hits=hits)


class Held(ScriptedLLM):
    """Refuses to write freely; writes anything that its form allows, drawn by chance, and nothing else."""

    keeps_forms = frozenset({"choices", "regex"})

    def __init__(self) -> None:
        super().__init__(context_window=1_000_000)
        self.rng = random.Random(0)

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        assert bool(params.choices) != bool(params.regex)
        free = replace(params, choices=(), regex="")
        said = [Completion(text=self.anything(params)) for _ in prompts]
        super().complete(prompts, free)
        assert all(len(c.text.split()) <= params.max_tokens for c in said)
        return said

    def anything(self, params: SamplingParams) -> str:
        if params.choices:
            return self.rng.choice(params.choices)
        text = params.regex.replace(" ?", "")
        while more := re.search(r"\(([^()]*(?:\([^()]*\))?[^()]*)\)\{(\d+)\}$", text):
            text = text[: more.start()] + more[1] * int(more[2])
        text = re.sub(r"\[([A-Z])-([A-Z])\]", lambda m: chr(self.rng.randint(ord(m[1]), ord(m[2]))), text)
        text = re.sub(r"\(([\d|]+)\)", lambda m: self.rng.choice(m[1].split("|")), text).replace("\\", "")
        assert re.fullmatch(params.regex, text), (params.regex, text)
        return text


ONE_LETTER: dict[str, tuple[str, dict[str, Any]]] = {
    "setwise heapsort": ("setwise", {"scoring": "generation"}),
    "setwise insertion": ("setwise", {"scoring": "generation", "method": "insertion", "votes": 3}),
    "pairwise sliding": ("pairwise", {"scoring": "generation"}),
    "pairwise all pair": ("pairwise", {"scoring": "generation", "method": "all_pair"}),
    "consistent setwise": ("self_consistency", {"of": "setwise", "runs": 2, "params": {"scoring": "generation"}}),
    "tournament of one": ("tournament", {"stages": ((3, 1),)}),
}
LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "tournament": ("tournament", {"stages": ((6, 3), (3, 2))}),
    "listwise": ("listwise", {"window": 6, "stride": 3}),
    "lrl": ("listwise", {"window": 6, "stride": 3, "template": "lrl"}),
    "self_consistency": ("self_consistency", {"runs": 2}),
}


@pytest.mark.parametrize("which", ONE_LETTER)
def test_one_letter_held_to_its_form_leaves_nothing_to_repair(which: str) -> None:
    name, params = ONE_LETTER[which]
    for found in reranker(name, Held(), **params).rerank([ranking(9), ranking(4, "r")], k=9):
        counts = found.outcome.counts
        assert counts["calls"] == counts["ok"] > 0
        assert set(counts) == {"calls", "ok"}


@pytest.mark.parametrize("which", LISTS)
def test_a_list_held_to_its_form_can_repeat_and_nothing_worse(which: str) -> None:
    name, params = LISTS[which]
    for found in reranker(name, Held(), **params).rerank([ranking(9), ranking(4, "r")], k=9):
        counts = found.outcome.counts
        assert set(counts) <= {"calls", "ok", "repaired", "repeated", "missing"}
        assert counts["repeated"] == counts["missing"] > 0
        assert sorted(found.doc_ids) == sorted(ranking(len(found.hits)).doc_ids)


@pytest.mark.parametrize("prompt", [BEGUN, WORD, PLAIN])
@pytest.mark.parametrize(("n", "keep"), [(1, 1), (4, 1), (4, 2), (4, 9), (26, 26)])
def test_what_the_form_of_letters_allows_is_a_well_formed_reply(prompt: Prompt, n: int, keep: int) -> None:
    form = letters(prompt, n, keep=keep)
    whole = "Passage B, Passage D, Passage A"
    said = Held().anything(form)
    opening = f"{prompt[-1].content} " if prompt[-1].role == "assistant" else ""
    places, report = parse_labels(opening + said, n)
    assert report.unknown == 0
    assert len(places) + report.repeated == min(n, keep)
    if (n, keep) == (4, 2):
        assert not re.fullmatch(form.regex, whole)
        assert not re.fullmatch(form.regex, " B, Passage E")


@pytest.mark.parametrize("prompt", [BRACKET, WORD, PLAIN])
@pytest.mark.parametrize("n", [1, 2, 20])
def test_what_the_form_of_numbers_allows_is_a_well_formed_reply(prompt: Prompt, n: int) -> None:
    form = numbers(prompt, n, name="[{}]", joint=" > ")
    opening = prompt[-1].content if prompt[-1].role == "assistant" else ""
    order, report = parse_permutation(opening + Held().anything(form), n)
    assert sorted(order) == list(range(n))
    assert (report.unknown, report.fallback, report.repeated) == (0, False, report.missing)
    in_order = " > ".join(f"[{number}]" for number in range(1, n + 1))
    assert re.fullmatch(form.regex, in_order.removeprefix(opening if opening == "[" else ""))
    assert not re.fullmatch(form.regex, in_order + " > [1]")


def test_prompts_of_one_form_share_a_batch_and_others_do_not() -> None:
    llm = Held()
    one, two = letters(PLAIN, 2, keep=1), letters(PLAIN, 3, keep=1)
    said = written(llm, [PLAIN] * 5, [one, two, one, two, one], max_tokens=4)
    assert llm.batches == [3, 2]
    assert [c.text in form.choices for c, form in zip(said, [one, two, one, two, one], strict=True)] == [True] * 5


@pytest.mark.parametrize("kept", [frozenset(), frozenset({"json_schema"}), frozenset({"choices"})])
def test_a_model_is_asked_for_no_form_that_it_does_not_keep(kept: frozenset[str]) -> None:
    class Partly(ScriptedLLM):
        keeps_forms = kept

        def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
            assert not params.regex
            assert bool(params.choices) == bool("choices" in kept)
            return super().complete(prompts, replace(params, choices=()))

    form = letters(PLAIN, 3, keep=1)
    written(Partly(), [PLAIN], [form], max_tokens=4)
    if not kept & {"choices"}:
        written(Partly(), [PLAIN, PLAIN], [numbers(PLAIN, 3, name="[{}]", joint=" > "), form], max_tokens=4)
