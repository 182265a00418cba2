from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.errors import MissingModel, SpecError, StageError
from rag.core.report import RunResult
from rag.core.types import Answer, AnswerDelta, Completion, Context, Document, Message, Prompt, Query, SamplingParams
from rag.graph.build import build
from rag.graph.load import load_spec
from rag.indexing import build_index
from rag.pipeline import Pipeline, load_pipeline
from retrievers.index.opening import open_index
from tests.generators.llm.conftest import save_random_model
from tests.small_index import small_index, write_texts


def closed_book(*replies: str) -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"m": {"use": "llm.scripted", "with": {"replies": list(replies)}}},
        "nodes": {"answer": {"use": "generate.closed_book", "with": {"llm": "m"}}},
        "output": "answer",
    }


def cited(*replies: str) -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"m": {"use": "llm.scripted", "with": {"replies": list(replies)}}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 3},
            "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "m"}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "m"}},
        },
        "output": "answer",
    }


def test_asking_streaming_and_batches_give_the_same_answer() -> None:
    with load_pipeline(closed_book("Paris.")) as pipeline:
        assert pipeline.ask("capital?").text == "Paris."
        pieces = list(pipeline.stream("capital?"))
        assert "".join(p.text for p in pieces) == "Paris."
        assert pieces[-1].answer is not None
        assert pieces[-1].answer.text == "Paris."
        assert [a.qid for a in pipeline.ask_batch(["a", Query(qid="x", text="b")])] == ["1", "x"]


def test_a_run_is_followed_as_far_as_it_has_come(tmp_path: Path, documents: tuple[Document, ...]) -> None:
    """What was found is there before it is ranked, and what is read before a word is written."""
    graph = cited("Thirty days [1].")
    graph["nodes"]["best"] = {"use": "rerank.distinct", "in": "bm25", "k": 1}
    graph["nodes"]["context"]["in"] = "best"
    with load_pipeline(graph, index=small_index(tmp_path, documents)) as pipeline:
        found, prepared, *pieces = pipeline.follow("paid leave a year")
        assert isinstance(found, RunResult)
        assert isinstance(prepared, RunResult)
        assert [*found.records] == ["bm25"]
        assert [*prepared.records] == ["bm25", "best", "context"]
        assert [node.name for node in prepared.nodes] == ["bm25", "best", "context"]
        assert len(found.rankings[0]) > len(prepared.records["best"][0]) == 1
        [answer] = [piece.answer for piece in pieces if isinstance(piece, AnswerDelta) and piece.answer is not None]
        assert answer.text == pipeline.ask("paid leave a year").text
        assert [piece.text for piece in pipeline.stream("paid leave a year")] == [piece.text for piece in pieces]  # type: ignore[union-attr]


@pytest.mark.parametrize("one", ["capital?", Query(qid="1", text="capital?")])
def test_one_query_in_the_place_of_a_list_is_a_type_error(
    tmp_path: Path, documents: tuple[Document, ...], one: Any
) -> None:
    """A text would be asked letter by letter."""
    with load_pipeline(cited("Paris."), index=small_index(tmp_path, documents)) as pipeline:
        for call in (pipeline.run, pipeline.search_batch, pipeline.ask_batch):
            with pytest.raises(
                TypeError, match=r"queries must be a list, got the one query 'capital\?': put it in \[\]"
            ):
                call(one)


@pytest.mark.parametrize("several", [["capital?"], ("a", "b"), [Query(qid="1", text="a")], None, 7])
def test_a_list_in_the_place_of_one_query_says_what_takes_lists(
    tmp_path: Path, documents: tuple[Document, ...], several: Any
) -> None:
    with load_pipeline(cited("Paris."), index=small_index(tmp_path, documents)) as pipeline:
        for call, instead in (
            (pipeline.search, "search_batch"),
            (pipeline.ask, "ask_batch"),
            (lambda query: next(pipeline.stream(query)), "ask_batch"),
            (lambda query: asyncio.run(pipeline.asearch(query)), "search_batch"),
        ):
            with pytest.raises(TypeError, match=rf"got \w+; {instead} takes a list of them"):
                call(several)


def test_an_argument_of_another_name_is_told_by_its_name_here(tmp_path: Path, documents: tuple[Document, ...]) -> None:
    with load_pipeline(cited("Paris."), index=small_index(tmp_path, documents)) as pipeline:
        calls: list[tuple[Any, dict[str, Any], str]] = [
            (pipeline.search, {"top_k": 3}, "search takes no 'top_k'. It is called 'k' here."),
            (pipeline.search_batch, {"top_k": 3}, "search_batch takes no 'top_k'. It is called 'k' here."),
            (pipeline.run, {"too": "bm25"}, "run takes no 'too'. Did you mean 'to'?"),
            (pipeline.ask, {"filter": "a = b"}, "ask takes no 'filter'. It is called 'where' here."),
            (pipeline.ask, {"top_k": 3}, "ask takes no 'top_k'. Known: asker, history, query, where."),
        ]
        for call, given, message in calls:
            with pytest.raises(TypeError, match=re.escape(message)):
                call(["x"] if call in (pipeline.run, pipeline.search_batch) else "x", **given)
        assert len(pipeline.search("leave", k=1)) == 1


def test_a_pipeline_shows_itself_in_a_line_and_as_its_graph() -> None:
    with load_pipeline(closed_book("Paris.")) as pipeline:
        assert repr(pipeline) == "<Pipeline of 'graph', 1 nodes, output 'answer'>"
        assert repr(pipeline.graph) == "<graph of 1 nodes: 'answer' (generate.closed_book); output 'answer'>"
        assert "data:image/svg+xml;base64," in pipeline._repr_html_()


@pytest.mark.parametrize(
    ("model", "told"),
    [("smolm2-135m-instruct", "Did you mean 'smollm2-135m-instruct'"), ("./no/such/folder", "no model folder at")],
)
def test_a_name_that_can_mean_no_model_is_told_before_a_question(model: str, told: str) -> None:
    spec = closed_book()
    spec["models"]["m"] = {"use": "llm.transformers", "with": {"model": model}}
    with pytest.raises(MissingModel, match=told):
        load_pipeline(spec)
    spec["models"]["m"]["with"]["model"] = "nobody/has-this"  # the hub may have it, which is not asked
    load_pipeline(spec).close()


def test_a_folder_without_its_weights_is_told_before_a_question(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    spec = closed_book()
    spec["models"] = {
        name: {"use": "llm.transformers", "with": {"model": str(tmp_path / name)}} for name in ("half", "none")
    }
    spec["nodes"]["answer"]["with"] = {"llm": "half"}
    with pytest.raises(MissingModel) as caught:
        load_pipeline(spec)
    half, none = str(caught.value).splitlines()
    assert "half' has no tokenizer" in half
    assert "no model folder at" in none


def test_an_index_that_the_pipeline_opened_is_closed_with_it_and_one_that_was_given_is_not(
    tmp_path: Path, documents: tuple[Document, ...]
) -> None:
    texts, index = write_texts(tmp_path, documents), tmp_path / "idx"

    def generations_after(name: str) -> int:
        (texts / f"{name}.md").write_text(f"This is {name}.")
        build_index([texts], index, legs=("lexical",))
        return len(list(index.glob("generation-*")))

    assert generations_after("first") == 1
    own = load_pipeline("bm25", index=index)
    assert generations_after("second") == 2, "a generation that is open stays"
    own.close()
    own.close()
    assert generations_after("third") == 1
    with open_index(index) as given:
        load_pipeline("bm25", index=given).close()
        assert generations_after("fourth") == 2


class Silent:
    """Answers at once or not at all."""

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        return [Answer(query=q, text="Paris.", context=Context(query=q)) for q in queries]


def test_a_generator_that_cannot_stream_gives_its_text_in_one_piece() -> None:
    graph = build(load_spec(closed_book("x")))
    silent = Silent()
    nodes = tuple(replace(node, work=silent.generate) for node in graph.nodes)
    pieces = list(Pipeline(replace(graph, nodes=nodes, parts={"answer": silent})).stream("capital?"))
    assert [p.text for p in pieces] == ["Paris.", ""]
    assert pieces[-1].answer is not None


def test_history_reaches_the_model() -> None:
    pipeline = load_pipeline(closed_book("Paris."))
    pipeline.ask("and of France?", history=[Message(role="user", content="capital of Spain?")])
    assert any("capital of Spain?" in m.content for prompt in pipeline.graph.models["m"].seen for m in prompt)


def test_an_empty_reply_is_a_failed_answer_not_an_error() -> None:
    answer = load_pipeline(closed_book("  ")).ask("capital?")
    assert answer.status == "failed"
    assert answer.outcome.kind == "failed"


def test_an_answer_graph_that_ranks_nothing_cannot_search() -> None:
    with pytest.raises(SpecError, match="no node of this graph ranks"):
        load_pipeline(closed_book("x")).search("q")


def test_a_failure_while_streaming_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load_pipeline(closed_book("x"))

    def broken(query: Query) -> Any:
        yield from ()
        raise RuntimeError("out of ink")

    monkeypatch.setattr(pipeline.graph.parts["answer"], "stream", broken)
    with pytest.raises(StageError, match=r"node 'answer' \(generate.closed_book\) failed while streaming: out of ink"):
        list(pipeline.stream("q"))


def test_what_is_prepared_apart_is_answered_together(documents: tuple[Document, ...], tmp_path: Path) -> None:
    with load_pipeline(cited("So [1]."), index=small_index(tmp_path, documents)) as pipeline:
        queries = [Query(qid=text, text=text) for text in ("paid leave", "xylophone", "lost laptop")]
        prepared = [*pipeline.prepare(queries[:2]), *pipeline.prepare(queries[2:])]
        assert [one.outputs[0].qid for one in prepared] == ["paid leave", "xylophone", "lost laptop"]
        assert pipeline.graph.models["m"].seen == []
        results = pipeline.finish(prepared)
        assert pipeline.graph.models["m"].batches == [2]  # one has no passages and costs no call
        whole = pipeline.run(queries)
    assert [result.answers[0] for result in results] == [
        replace(answer, usage=result.answers[0].usage) for answer, result in zip(whole.answers, results, strict=True)
    ]
    for result in results:
        assert [report.name for report in result.nodes] == ["bm25", "context", "answer"]
        assert set(result.records) == {"bm25", "context", "answer"}
        assert result.records["bm25"][0].qid == result.queries[0].qid
    assert [result.nodes[-1].usage.calls for result in results] == [1, 0, 1]


class Picky(ScriptedLLM):
    """Cannot bear a word: nor count it, nor answer it."""

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return self._without(prompts, super().count_tokens(prompts))

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        return self._without(prompts, super().complete(prompts, params))

    def _without(self, prompts: Sequence[Prompt], made: list[Any]) -> list[Any]:
        if any("laptop" in prompt[-1].content for prompt in prompts):
            raise RuntimeError("a laptop")
        return made


@pytest.mark.parametrize("node", ["context", "answer"])
def test_a_question_that_fails_takes_no_other_along(node: str, documents: tuple[Document, ...], tmp_path: Path) -> None:
    with load_pipeline(cited("So [1]."), index=small_index(tmp_path, documents)) as pipeline:
        pipeline.graph.parts[node].llm = Picky(replies=("So [1].",))
        prepared = pipeline.prepare([Query(qid="1", text="lost laptop"), Query(qid="2", text="paid leave")])
        failed, good = pipeline.finish(prepared)
        assert [failure.node for failure in failed.failures] == [node]
        assert failed.answers[0].status == "failed"
        assert (good.failures, good.answers[0].text) == ((), "So [1].")
        if node == "context":
            with pytest.raises(StageError, match="node 'context'"):
                pipeline.begin(prepared[0])


def test_a_stream_has_its_context_before_and_the_whole_run_after(
    documents: tuple[Document, ...], tmp_path: Path
) -> None:
    with load_pipeline(cited("It is so [1]."), index=small_index(tmp_path, documents)) as pipeline:
        [prepared] = pipeline.prepare([Query(qid="1", text="paid leave")])
        stream = pipeline.begin(prepared)
        assert stream.before is prepared
        assert pipeline.graph.models["m"].seen == []
        assert next(stream).text == "It"
        assert stream.result is None
        rest = list(stream)
        assert stream.result is not None
        assert stream.result.outputs == (rest[-1].answer,)
        assert [report.name for report in stream.result.nodes] == ["bm25", "context", "answer"]
        assert stream.result.nodes[-1].usage.calls == 1
        assert stream.result.seconds >= prepared.seconds
        stopped = pipeline.begin(prepared)
        next(stopped)
        stopped.close()
        assert list(stopped) == []
        assert stopped.result is None


@pytest.mark.parametrize("graph", ["cited", "closed_book"])
def test_another_sampling_holds_for_one_call(graph: str, documents: tuple[Document, ...], tmp_path: Path) -> None:
    spec, index = (closed_book("a b c"), None) if graph == "closed_book" else (cited("a b c"), documents)
    place = small_index(tmp_path, documents) if index else None
    with load_pipeline(spec, index=place) as pipeline:
        prepared = pipeline.prepare([Query(qid="1", text="paid leave")])
        [short] = pipeline.finish(prepared, sampling={"max_tokens": 2})
        assert (short.answers[0].text, short.answers[0].finish_reason) == ("a b", "length")
        streamed = "".join(delta.text for delta in pipeline.begin(prepared[0], sampling={"stop": (" c",)}))
        assert streamed == "a b"
        assert pipeline.finish(prepared)[0].answers[0].text == "a b c"


def test_a_generator_without_sampling_says_so() -> None:
    graph = build(load_spec(closed_book("x")))
    pipeline = Pipeline(replace(graph, parts={"answer": Silent()}))
    with pytest.raises(SpecError, match=r"generate.closed_book takes no sampling of the caller's, got max_tokens"):
        pipeline.finish(pipeline.prepare([Query(qid="1", text="q")]), sampling={"max_tokens": 2})


def test_a_pipeline_made_by_hand_can_be_closed_twice() -> None:
    pipeline = Pipeline(build(load_spec(closed_book("x"))))
    pipeline.close()
    pipeline.close()
    assert pipeline.ask("q").text == "x"


def test_offline_names_the_model_that_is_not_here(tmp_path: Path) -> None:
    spec = {
        "version": 1,
        "models": {"far": {"use": "llm.transformers", "with": {"model": "nobody/has-this"}}},
        "nodes": {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "far"}}},
        "output": "answer",
    }
    with pytest.raises(MissingModel, match="rag models pull nobody/has-this"):
        load_pipeline(spec, offline=True)


class Letting(ScriptedLLM):
    """Counts how often it was told to let go."""

    n_released = 0

    def release(self) -> None:
        self.n_released += 1


@pytest.fixture
def two_models(documents: tuple[Document, ...], tmp_path: Path) -> Pipeline:
    """`bm25` reads no model, `context` reads m, `answer` reads other."""
    spec = cited("So [1].")
    spec["models"]["other"] = spec["models"]["m"]
    spec["nodes"]["answer"]["with"] = {"llm": "other"}
    graph = load_pipeline(spec, index=small_index(tmp_path, documents)).graph
    return Pipeline(replace(graph, models={name: Letting() for name in ("m", "other")}))


@pytest.mark.parametrize(
    ("names", "released"), [((), (1, 1)), (("m",), (1, 0)), (("other", "m", "m"), (1, 1)), (("context",), (0, 0))]
)
def test_only_models_that_are_named_let_go(
    two_models: Pipeline, names: tuple[str, ...], released: tuple[int, int]
) -> None:
    two_models.release(*names)
    m, other = two_models.graph.models.values()
    assert (m.n_released, other.n_released) == released


def test_nodes_let_go_of_a_released_model_and_of_what_is_their_own(two_models: Pipeline) -> None:
    parts = {name: Letting() for name in two_models.graph.parts}
    pipeline = Pipeline(replace(two_models.graph, parts=parts))

    def released(*names: str) -> list[str]:
        before = {name: part.n_released for name, part in parts.items()}
        pipeline.release(*names)
        return [name for name, part in parts.items() if part.n_released > before[name]]

    assert released("m") == ["context"]
    assert released("bm25") == ["bm25"]
    assert released("other", "bm25") == ["bm25", "answer"]
    assert released() == ["bm25", "context", "answer"]


def test_an_unknown_name_releases_nothing_and_lists_what_there_is(two_models: Pipeline) -> None:
    with pytest.raises(
        SpecError, match=r"is named 'reader'\. This graph has models: m, other; nodes: bm25, context, answer"
    ):
        two_models.release("m", "reader")
    assert [model.n_released for model in two_models.graph.models.values()] == [0, 0]


def test_the_weights_of_a_released_model_are_gone_also_where_a_node_had_read_them(
    documents: tuple[Document, ...], tmp_path: Path
) -> None:
    local = {"use": "llm.transformers", "with": {"model": str(save_random_model(tmp_path / "model")), "device": "cpu"}}
    attention = {"use": "rerank.attention", "in": "bm25", "k": 3, "with": {"llm": "m", "heads": ["0-1"]}}
    spec = {
        "version": 1,
        "models": {"m": local},
        "nodes": {"bm25": {"use": "retrieve.bm25", "k": 3}, "ranked": attention},
        "output": "ranked",
    }
    with load_pipeline(spec, index=small_index(tmp_path, documents)) as pipeline:
        before = pipeline.search("paid leave")
        with pipeline.graph.models["m"].weights() as lent:
            layers = weakref.ref(lent.model.get_decoder())  # what the reranker reads
        del lent
        pipeline.release("m")
        gc.collect()
        assert layers() is None
        assert pipeline.search("paid leave").hits == before.hits


def test_by_stage_all_that_a_node_does_not_read_lets_go_before_it_works(two_models: Pipeline) -> None:
    told = list[str]()

    class Loud(Letting):
        def __init__(self, name: str) -> None:
            super().__init__(replies=["So [1]."])
            self.name = name

        def release(self) -> None:
            told.append(f"{self.name} lets go")

        def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
            told.append(f"{self.name} writes")
            return super().complete(prompts, params)

    graph = two_models.graph
    other = Loud("other")
    answer = graph.node("answer")
    nodes = tuple(
        replace(n, work=type(graph.parts["answer"])(llm=other).generate) if n is answer else n for n in graph.nodes
    )
    graph = replace(graph, nodes=nodes, models={"m": Loud("m"), "other": other})
    with Pipeline(graph, by_stage=True) as pipeline:
        assert pipeline.ask("leave?").text == "So [1]."
    assert told == ["m lets go", "other lets go", "other lets go", "m lets go", "other writes"]


def test_by_stage_the_weights_of_one_stage_are_gone_when_the_next_one_works(
    documents: tuple[Document, ...], tmp_path: Path
) -> None:
    def local(name: str, seed: int) -> dict[str, Any]:
        path = save_random_model(tmp_path / name, seed=seed)
        return {"use": "llm.transformers", "with": {"model": str(path), "device": "cpu"}}

    spec = {
        "version": 1,
        "models": {"reader": local("reader", 0), "writer": local("writer", 1)},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 3},
            "ranked": {"use": "rerank.attention", "in": "bm25", "k": 3, "with": {"llm": "reader", "heads": ["0-1"]}},
            "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "writer"}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "writer", "max_tokens": 4}},
        },
        "output": "answer",
    }
    index = small_index(tmp_path, documents)
    with load_pipeline(spec, index=index) as together:
        expected = together.ask_batch(["paid leave", "bicycle"])
        together.release()  # pipelines share the weights of one folder
    with load_pipeline(spec, index=index, by_stage=True) as pipeline:
        pipeline.warm_up()
        layers = list[weakref.ref[Any]]()
        ranked = pipeline.graph.parts["ranked"]
        rerank = ranked.rerank

        def seen(*given: Any, **more: Any) -> Any:
            result = rerank(*given, **more)
            with pipeline.graph.models["reader"].weights() as lent:
                layers.append(weakref.ref(lent.model.get_decoder()))
            return result

        nodes = tuple(replace(n, work=seen) if n.name == "ranked" else n for n in pipeline.graph.nodes)
        with Pipeline(replace(pipeline.graph, nodes=nodes), index=pipeline.index, by_stage=True) as watched:
            answers = watched.ask_batch(["paid leave", "bicycle"])
        gc.collect()
        assert [layer() for layer in layers] == [None]
    assert [(a.text, a.citations) for a in answers] == [(a.text, a.citations) for a in expected]
