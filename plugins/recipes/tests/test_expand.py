from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.types import Query, QueryPart, SamplingParams
from rag.stages import REFORMULATORS
from ragline_recipes.reformulate.expand import Expander
from retrievers.index.directory import LocalIndex
from retrievers.legs.dense.retriever import DenseRetriever

CodeReformulator = REFORMULATORS.get("code")
HydeReformulator = REFORMULATORS.get("hyde")
SLHydeReformulator = REFORMULATORS.get("sl_hyde")
Query2docReformulator = REFORMULATORS.get("query2doc")
ThinkReformulator = REFORMULATORS.get("think")


ASKED = Query(qid="q", text="paid leave", where={"lang": "en"})


def one(reformulator: Expander, query: Query = ASKED) -> Query:
    [made] = reformulator.reformulate([query])
    return made


def parts(query: Query) -> list[tuple[str, float, str]]:
    return [(part.text, part.weight, part.role) for part in query.parts]


class Recording(ScriptedLLM):
    """Keeps the parameters of every call."""

    params: list[SamplingParams]

    def complete(self, prompts: Any, params: SamplingParams) -> Any:
        self.params = [*getattr(self, "params", []), params]
        return super().complete(prompts, params)


def test_hyde_averages_the_query_and_its_passages_alike() -> None:
    made = one(HydeReformulator(llm=ScriptedLLM(replies=("one", "two")), n=2))
    assert parts(made) == [("paid leave", 1, "query"), ("one", 1, "document"), ("two", 1, "document")]
    assert (made.text, made.asked, made.where, made.terms) == ("paid leave", "paid leave", {"lang": "en"}, {})
    assert made.root == Query(qid="q", text="paid leave", where={"lang": "en"})
    assert (made.outcome.kind, made.usage.calls) == ("ok", 2)
    assert made.outcome.counts == {"calls": 2, "ok": 2, "repaired": 0, "fallback": 0}


def test_hyde_samples_eight_passages_of_different_seeds_with_the_papers_settings() -> None:
    llm = Recording(replies=("x",))
    HydeReformulator(llm=llm, seed=5).reformulate([ASKED, Query(qid="p", text="other")])
    assert llm.batches == [2] * 8  # one call per sample, all queries in each
    assert [p.seed for p in llm.params] == list(range(5, 13))
    assert {(p.temperature, p.max_tokens, p.stop) for p in llm.params} == {(0.7, 512, ("\n\n\n",))}


def test_dense_search_is_by_the_mean_of_the_vectors(dense_index: LocalIndex) -> None:
    made = one(HydeReformulator(llm=ScriptedLLM(replies=("thirty days", "a holiday")), n=2))
    encode = dense_index.leg("dense").encoder.encode
    vectors = [*encode(["paid leave"], role="query"), *encode(["thirty days", "a holiday"], role="document")]
    mean = np.mean(vectors, axis=0)
    texts = {d.doc_id: d.full_text for d in dense_index.documents}
    by_hand = dict(zip(texts, (encode(list(texts.values()), role="document") @ mean).tolist(), strict=True))
    [ranking] = DenseRetriever(index=dense_index).retrieve([Query(qid="q", text=made.text, parts=made.parts)], k=12)
    assert {hit.doc_id: hit.score for hit in ranking.hits} == pytest.approx(by_hand, abs=1e-5)


def test_sl_hyde_is_half_query_and_half_one_greedy_document() -> None:
    llm = Recording(replies=("Thirty days.",))
    made = one(SLHydeReformulator(llm=llm))
    assert parts(made) == [("paid leave", 1, "query"), ("Thirty days.", 1, "document")]
    assert [(p.temperature, p.max_tokens) for p in llm.params] == [(0.0, 512)]


def test_query2doc_counts_the_query_five_times_and_joins_it_for_dense_legs(lexical_index: LocalIndex) -> None:
    llm = Recording(replies=("Passage: Paid days, many days",))
    made = one(Query2docReformulator(llm=llm, index=lexical_index))
    assert made.terms == {"paid": 6, "leav": 5, "dai": 2, "mani": 1}
    assert parts(made) == [("paid leave [SEP] Paid days, many days", 1, "query")]
    assert [(p.temperature, p.max_tokens) for p in llm.params] == [(1.0, 128)]


def test_terms_of_query2doc_are_those_of_a_repeated_text(lexical_index: LocalIndex) -> None:
    from retrievers.legs.lexical.retriever import BM25Retriever

    made = one(Query2docReformulator(llm=ScriptedLLM(replies=("thirty days a year",)), index=lexical_index))
    repeated = Query(qid="q", text="paid leave " * 5 + "thirty days a year")
    weighted, spelled = BM25Retriever(index=lexical_index).retrieve(
        [Query(qid="p", text="", terms=made.terms), repeated], k=12
    )
    assert weighted.doc_ids == spelled.doc_ids
    assert [h.score for h in weighted.hits] == pytest.approx([h.score for h in spelled.hits], rel=1e-5)


def test_without_a_lexical_leg_there_are_no_terms(dense_index: LocalIndex) -> None:
    made = one(Query2docReformulator(llm=ScriptedLLM(replies=("a passage",)), index=dense_index))
    assert made.terms == {}
    assert len(made.parts) == 1


def test_equal_thoughts_are_encoded_once_and_weigh_as_often_as_they_came() -> None:
    made = one(ThinkReformulator(llm=ScriptedLLM(replies=("rules", "days", "rules"))))
    assert parts(made) == [("paid leave [SEP] rules", 2, "query"), ("paid leave [SEP] days", 1, "query")]


def test_an_empty_thought_is_the_bare_query() -> None:
    made = one(ThinkReformulator(llm=ScriptedLLM(replies=("rules", "", "<think>"))))
    assert parts(made) == [("paid leave [SEP] rules", 1, "query"), ("paid leave", 2, "query")]
    assert (made.outcome.kind, made.outcome.counts["empty"]) == ("repaired", 2)
    assert one(ThinkReformulator(llm=ScriptedLLM())).parts == ()


def test_thoughts_are_sampled_as_in_the_paper() -> None:
    llm = Recording(replies=("x",))
    one(ThinkReformulator(llm=llm))
    assert [(p.temperature, p.top_p, p.max_tokens) for p in llm.params] == [(0.1, 0.9, 128)] * 3


def test_query_and_programs_weigh_half_each(lexical_index: LocalIndex) -> None:
    llm = Recording(replies=("```python\nopen_file(path)\n```", "", "read(path)", "```\npath\n```"))
    made = one(CodeReformulator(llm=llm, index=lexical_index), Query(qid="q", text="read file"))
    assert parts(made) == [
        ("read file", 3, "query"),
        ("open_file(path)", 1, "document"),
        ("read(path)", 1, "document"),
        ("path", 1, "document"),
    ]
    assert made.terms == {"read": 4, "file": 3, "open_fil": 1, "path": 3}
    assert (made.outcome.kind, made.outcome.counts) == (
        "repaired",
        {"calls": 4, "ok": 3, "repaired": 0, "fallback": 1, "empty": 1},
    )
    assert [(p.temperature, p.top_p, p.max_tokens) for p in llm.params] == [(1.0, 0.99, 256)] * 4


def test_nothing_usable_leaves_the_query_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    query = Query(qid="q", text="paid leave", parts=(QueryPart(text="before"),), terms={"x": 1.0})
    with caplog.at_level(logging.WARNING):
        made = one(HydeReformulator(llm=ScriptedLLM(replies=("", "<think>")), n=2), query)
    assert (made.text, made.original, made.parts, made.terms) == (query.text, None, query.parts, query.terms)
    assert (made.outcome.kind, made.outcome.counts) == (
        "fallback",
        {"calls": 2, "ok": 0, "repaired": 0, "fallback": 2, "empty": 2},
    )
    assert len(caplog.records) == 1


def test_a_query_too_long_for_the_model_is_not_sent_and_the_others_are() -> None:
    llm = ScriptedLLM(replies=("a passage",), context_window=600)
    long, short = SLHydeReformulator(llm=llm).reformulate([Query(qid="l", text="x " * 500), ASKED])
    assert (long.outcome.kind, long.outcome.counts) == (
        "fallback",
        {"calls": 0, "ok": 0, "repaired": 0, "fallback": 0, "too_long": 1},
    )
    assert "too long" in long.outcome.detail
    assert (short.outcome.kind, len(short.parts), llm.batches) == ("ok", 2, [1])


def test_a_reply_at_its_limit_is_used_and_counted() -> None:
    made = one(SLHydeReformulator(llm=ScriptedLLM(replies=("one two three four",)), max_tokens=2))
    assert made.parts[1].text == "one two"
    assert made.outcome.kind == "ok"
    assert made.outcome.counts == {"calls": 1, "ok": 1, "repaired": 0, "fallback": 0, "cut_off": 1}


def test_a_rewritten_query_remembers_what_was_asked() -> None:
    made = one(SLHydeReformulator(llm=ScriptedLLM(replies=("x",))), Query(qid="q", text="rewritten", original="asked"))
    assert (made.text, made.asked) == ("rewritten", "asked")


@pytest.mark.parametrize(
    ("component", "arguments", "message"),
    [
        (HydeReformulator, {"n": 0}, "n must be at least 1"),
        (HydeReformulator, {"temperature": 0.0}, "all 8 replies would be the same"),
        (HydeReformulator, {"temperature": -1.0}, "temperature"),
        (HydeReformulator, {"max_tokens": 0}, "max_tokens"),
        (ThinkReformulator, {"top_p": 0.0}, "top_p"),
        (ThinkReformulator, {"top_p": float("nan")}, "top_p"),
    ],
)
def test_senseless_arguments_are_refused(component: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        component(llm=ScriptedLLM(), **arguments)


def test_a_weight_of_nothing_is_refused(lexical_index: LocalIndex) -> None:
    with pytest.raises(ValueError, match="repeat must be above 0"):
        Query2docReformulator(llm=ScriptedLLM(), index=lexical_index, repeat=0)
