from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import prompts
from generators.llm.scripted import ScriptedLLM
from generators.llm.transformers import TransformersLLM
from rag import build_index
from rag.files import parse_yaml
from rag.graphs import check, load_spec
from rag.types import Message, Query
from ragline_recipes.backtrace import BacktraceRetriever, Form, contexts
from retrievers.index.directory import LocalIndex
from tests.generators.llm.conftest import save_random_model

SENTENCES = ("A wheel is trued.", "The frame is brazed.", "Forks are straight.", "Why is it brazed?")
QUERY = Query(qid="q", text="Why is it brazed?", where={"lecture": "one"})


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    place = tmp_path_factory.mktemp("backtrace")
    records = [{"_id": f"s{i}", "text": text, "lecture": "one"} for i, text in enumerate(SENTENCES)]
    records.append({"_id": "x", "text": "Another lecture.", "lecture": "two"})
    (place / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    build_index([place / "corpus.jsonl"], place / "index", legs=("lexical",))
    return LocalIndex.open(place / "index")


def scores(index: LocalIndex, llm: Any, form: Form = "single", **arguments: Any) -> dict[str, float]:
    [ranking] = BacktraceRetriever(llm=llm, index=index, form=form, **arguments).retrieve([QUERY], k=10)
    return {hit.doc_id: hit.score for hit in ranking.hits}


def likelihood(llm: Any, *places: int) -> float:
    """Of the question, per token, by hand."""
    prompt = prompts.load("backtrace").render(source="\n".join(SENTENCES[at] for at in places))
    [logs] = llm.score([prompt], [f" {QUERY.text}"])
    return float(sum(logs)) / len(logs)


def test_every_form_by_hand(index: LocalIndex) -> None:
    llm = ScriptedLLM()
    assert scores(index, llm) == pytest.approx({f"s{i}": likelihood(llm, i) for i in range(3)})
    assert scores(index, llm, "autoregressive") == pytest.approx(
        {"s0": likelihood(llm, 0), "s1": likelihood(llm, 0, 1), "s2": likelihood(llm, 0, 1, 2)}
    )
    assert scores(index, llm, "causal") == pytest.approx(
        {
            "s0": likelihood(llm, 0) - likelihood(llm),
            "s1": likelihood(llm, 0, 1) - likelihood(llm, 0),
            "s2": likelihood(llm, 0, 1, 2) - likelihood(llm, 0, 1),
        }
    )
    whole = likelihood(llm, 0, 1, 2)
    assert scores(index, llm, "causal_full") == pytest.approx(
        {"s0": whole - likelihood(llm, 1, 2), "s1": whole - likelihood(llm, 0, 2), "s2": whole - likelihood(llm, 0, 1)}
    )


def test_a_window_is_a_source_of_its_own(index: LocalIndex) -> None:
    llm = ScriptedLLM()
    assert scores(index, llm, "autoregressive", window=2)["s2"] == pytest.approx(likelihood(llm, 2))
    assert contexts("causal_full", 3, 2) == [((0, 1), (1,)), ((0, 1), (0,)), ((2,), ())]


@pytest.mark.parametrize(("form", "calls"), [("single", 3), ("autoregressive", 3), ("causal", 4), ("causal_full", 4)])
def test_every_context_is_scored_once_and_all_in_one_batch(index: LocalIndex, form: Form, calls: int) -> None:
    llm = ScriptedLLM()
    rankings = BacktraceRetriever(llm=llm, index=index, form=form).retrieve([QUERY, QUERY], k=1)
    assert llm.batches == [2 * calls]
    assert [ranking.usage.calls for ranking in rankings] == [calls, calls]
    assert all(ranking.usage.prompt_tokens > 0 for ranking in rankings)


def test_the_question_itself_is_no_cause_unless_asked_for(index: LocalIndex) -> None:
    assert "s3" not in scores(index, ScriptedLLM())
    assert "s3" in scores(index, ScriptedLLM(), exclude_query=False)


def test_another_source_is_never_shown(index: LocalIndex) -> None:
    llm = ScriptedLLM()
    assert "x" not in scores(index, llm, "causal_full")
    assert all("Another lecture" not in turn.content for prompt in llm.seen for turn in prompt)


def test_a_real_model_prefers_the_sentence_that_makes_the_question_likelier(index: LocalIndex, tmp_path: Path) -> None:
    folder = save_random_model(tmp_path)
    llm = TransformersLLM(model=str(folder), device="cpu", dtype="float32")
    for form in ("single", "causal"):
        found = scores(index, llm, form)  # type: ignore[arg-type]
        less = [0.0, *(likelihood(llm, *range(at)) for at in (1, 2))] if form == "causal" else [0.0] * 3
        shown = [range(at + 1) if form == "causal" else (at,) for at in range(3)]
        by_hand = [likelihood(llm, *places) for places in shown]
        if form == "causal":
            less[0] = likelihood(llm)
        expected = {f"s{at}": value - taken for at, (value, taken) in enumerate(zip(by_hand, less, strict=True))}
        assert found == pytest.approx(expected, abs=1e-4)


def test_tokens_that_prompts_share_are_told(index: LocalIndex, tmp_path: Path) -> None:
    llm = TransformersLLM(model=str(save_random_model(tmp_path)), device="cpu", dtype="float32")
    [ranking] = BacktraceRetriever(llm=llm, index=index, form="autoregressive").retrieve([QUERY], k=3)
    assert ranking.usage.cached_tokens == sum(llm.last_cached)
    assert 0 < ranking.usage.cached_tokens < ranking.usage.prompt_tokens


class ReadsApart(ScriptedLLM):
    """Reads prompt and continuation apart, each token of a prefix more, and refuses what is beyond its window."""

    def score(self, prompts: Any, continuations: Any) -> Any:
        together = [
            [*prompt[:-1], Message(role="assistant", content=prompt[-1].content + text)]
            for prompt, text in zip(prompts, continuations, strict=True)
        ]
        if any(tokens + 2 > self.context_window for tokens in self.count_tokens(together)):
            raise ValueError("does not fit the context window")
        return super().score(prompts, continuations)


def test_a_prompt_at_the_edge_of_the_window_is_left_out_and_never_refused(index: LocalIndex) -> None:
    asked, begun = prompts.load("backtrace").render(source=SENTENCES[0])
    [edge] = ScriptedLLM().count_tokens([[asked, Message(role="assistant", content=f"{begun.content} {QUERY.text}")]])
    for window in range(edge - 1, edge + 6):
        llm = ReadsApart(context_window=window)
        [ranking] = BacktraceRetriever(llm=llm, index=index, form="causal").retrieve([QUERY], k=3)
        assert len(ranking.hits) == (window >= edge + 2)


def test_what_does_not_fit_the_model_is_left_out_and_counted(
    index: LocalIndex, caplog: pytest.LogCaptureFixture
) -> None:
    fitting = ScriptedLLM().count_tokens([prompts.load("backtrace").render(source=" ".join(SENTENCES[:2]))])[0] + 4 + 2
    llm = ScriptedLLM(context_window=fitting)
    with caplog.at_level(logging.WARNING):
        [ranking] = BacktraceRetriever(llm=llm, index=index, form="autoregressive").retrieve([QUERY], k=5)
    assert set(ranking.doc_ids) == {"s0", "s1"}
    assert (ranking.outcome.kind, ranking.outcome.counts) == ("repaired", {"too_long": 1})
    assert "do not fit the model" in caplog.text
    [ranking] = BacktraceRetriever(llm=ScriptedLLM(context_window=5), index=index).retrieve([QUERY], k=5)
    assert (ranking.hits, ranking.outcome.kind) == ((), "empty")


def test_no_source_and_no_question_are_empty(index: LocalIndex) -> None:
    retriever = BacktraceRetriever(llm=ScriptedLLM(), index=index)
    nowhere, silent = Query(qid="a", text="why", where={"lecture": "three"}), Query(qid="b", text=" \n")
    for ranking, reason in zip(retriever.retrieve([nowhere, silent], k=3), ("sentence", "question"), strict=True):
        assert (ranking.hits, ranking.outcome.kind) == ((), "empty")
        assert reason in ranking.outcome.detail
    assert retriever.retrieve([], k=3) == []


def test_a_source_without_bounds_is_refused(index: LocalIndex) -> None:
    retriever = BacktraceRetriever(llm=ScriptedLLM(), index=index, max_sentences=4)
    retriever.retrieve([QUERY], k=1)
    with pytest.raises(ValueError, match="has 5 sentences, at most 4 are allowed; give the query a filter"):
        retriever.retrieve([Query(qid="q", text="why")], k=1)


DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_graph_of_the_page_is_right() -> None:
    page = (DOCS / "plugins" / "backtracing.md").read_text(encoding="utf-8")
    [text] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert check(load_spec(parse_yaml(text, name="backtracing.md").data)).problems == []


def test_the_calls_of_the_page_are_right() -> None:
    page = (DOCS / "plugins" / "backtracing.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \|.*\| (n.*?) \| ", page, re.MULTILINE))
    for form in get_args(Form):
        for n, w in ((1, 1), (7, 3), (6, 6), (20, 20), (41, 20)):
            calls = len({shown for pair in contexts(form, n, w) for shown in pair if shown is not None})
            by_formula = {"n": n, "n + 1": n + 1, "n + n / w, rounded up": n + math.ceil(n / w)}
            assert calls == by_formula[told[form]]


@pytest.mark.parametrize("arguments", [{"form": "double"}, {"window": 0}, {"max_sentences": 0}])
def test_senseless_arguments_are_refused(index: LocalIndex, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        BacktraceRetriever(llm=ScriptedLLM(), index=index, **arguments)
