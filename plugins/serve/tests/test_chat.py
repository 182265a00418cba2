from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, BadRequestError, InternalServerError, NotFoundError, OpenAI

from generators.llm import LLMS
from generators.llm.scripted import ScriptedLLM
from plugins.serve.tests.asking import DEADLINE_S, asked, openai_client, posted, until
from plugins.serve.tests.served import served
from plugins.serve.tests.test_endpoints import replace_node
from plugins.serve.tests.walled import MODEL, question
from plugins.serve.tests.walled import client as in_process
from rag.core.errors import MissingModel
from rag.core.types import Completion, Message, Prompt, SamplingParams
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.calibrated import made_for
from ragline_serve import ServeSettings, create_app
from ragline_serve.service.service import Service
from ragline_serve.service.wire.chat import ChatReply
from tests.calibrations import saved
from tests.scripted_graph import graph


@pytest.fixture
def pipeline(index: Path) -> Iterator[Pipeline]:
    with load_pipeline(graph(replies=["Thirty days [1]. So it is [7]."]), index=index) as loaded:
        yield loaded


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[OpenAI]:
    with openai_client(pipeline) as official:
        yield official


def extension(said: Any) -> dict[str, Any]:
    """The object that OpenAI's own client passes through."""
    return said.model_extra["ragline"]


def written_with(pipeline: Pipeline, model: ScriptedLLM) -> Pipeline:
    """The pipeline, its answers written by another model."""
    pipeline.graph.parts["answer"].llm = model
    return pipeline


def test_an_answer_comes_with_citations_sources_usage_and_stages(client: OpenAI, pipeline: Pipeline) -> None:
    reply = client.chat.completions.create(**asked())
    here = pipeline.ask("How many days of paid leave?")
    assert reply.choices[0].message.content == here.text == "Thirty days [1]. So it is."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (here.usage.prompt_tokens, 7)
    more = extension(reply)
    assert [source["doc_id"] for source in more["sources"]] == [hit.doc_id for hit in here.context.passages]
    assert [source["marker"] for source in more["sources"]] == [1, 2, 3][: len(more["sources"])]
    assert more["sources"][0]["position"]["source"] == "texts/d02.md"
    cited = more["citations"][0]
    assert (cited["marker"], cited["doc_id"], cited["by"]) == (1, "texts/d02.md#1", "model")
    assert here.text[cited["start"] : cited["end"]] == "[1]"
    source, support = more["sources"][0]["text"], cited["support"]
    assert "hirty days" in source[support["start"] : support["end"]]
    assert support["end"] - support["start"] < len(source)
    assert (more["status"], more["outcome"]["counts"]) == ("answered", {"removed_markers": 1})
    assert [stage["name"] for stage in more["stages"]] == ["bm25", "ranked", "context", "answer"]
    bm25, ranked, *rest = more["stages"]
    assert [hit["from_rank"] for hit in bm25["hits"]] == [None] * len(bm25["hits"])
    assert [hit["from_rank"] for hit in ranked["hits"]] == [1, 2, 3][: len(ranked["hits"])]
    assert all("hits" not in stage for stage in rest)
    assert rest[-1]["usage"]["calls"] == 1


def test_what_is_sent_is_what_the_openapi_says(pipeline: Pipeline) -> None:
    with in_process(pipeline) as asking:
        reply = asking.post("/v1/chat/completions", json=question()).json()
    assert ChatReply.model_validate(reply, strict=True, extra="forbid").model_dump(exclude_unset=True) == reply


def test_a_stream_gives_the_sources_first_then_the_same_answer(client: OpenAI) -> None:
    whole = client.chat.completions.create(**asked())
    chunks = list(client.chat.completions.create(**asked(), stream=True, stream_options={"include_usage": True}))
    first, *pieces, last, usage = chunks
    assert first.choices[0].delta.content == ""
    assert first.choices[0].delta.role == "assistant"
    assert len(pieces) > 2
    assert "".join(chunk.choices[0].delta.content for chunk in pieces) == whole.choices[0].message.content
    assert last.choices[0].finish_reason == "stop"
    assert usage.choices == []
    assert usage.usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1
    begun, ended, plain = extension(first), extension(last), extension(whole)
    assert begun["sources"] == ended["sources"] == plain["sources"] != []
    for name in ("citations", "status", "finish_reason", "outcome", "query", "session"):
        assert ended[name] == plain[name], name
    assert [stage["name"] for stage in ended["stages"]] == [stage["name"] for stage in plain["stages"]]


def test_usage_is_left_out_of_a_stream_that_did_not_ask_for_it(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(**asked(), stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_a_length_that_is_asked_for_is_kept_to_and_said(client: OpenAI) -> None:
    for stream in (False, True):
        made = client.chat.completions.create(**asked(), max_tokens=2, stream=stream)
        choice = [chunk.choices[0] for chunk in made][-1] if stream else made.choices[0]
        assert choice.finish_reason == "length"
    whole = client.chat.completions.create(**asked(), max_completion_tokens=1, temperature=0.5, seed=3, stop=["x"])
    assert whole.choices[0].message.content == "Thirty"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_completion_tokens": 0}, "max_completion_tokens: Input should be greater than or equal to 1"),
        ({"temperature": 3}, "temperature: Input should be less than or equal to 2"),
        ({"n": 2}, "n: not supported"),
        ({"tool_choice": "required"}, "tool_choice: not supported"),
        ({"response_format": {"type": "json_object"}, "logprobs": True}, "logprobs, response_format: not supported"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "The last message must be a question"),
        ({"messages": [{"role": "user", "content": "  "}]}, "The last message must be a question"),
        ({"messages": [{"role": "user", "content": "word " * 600}]}, "The question has 60. tokens; at most 512"),
        ({"extra_body": {"ragline": {"where": {"colour": "red"}}}}, "no document has metadata 'colour'"),
        ({"extra_body": {"ragline": {"colour": "red"}}}, "ragline.colour: Extra inputs are not permitted"),
    ],
)
def test_what_would_break_the_client_is_refused_by_name(client: OpenAI, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        client.chat.completions.create(**(asked() | changes))


@pytest.mark.parametrize("stream", [False, True])
def test_more_tokens_than_there_may_be_are_fewer_and_the_reply_says_so(
    client: OpenAI, pipeline: Pipeline, stream: bool
) -> None:
    made = client.chat.completions.create(**asked(), max_tokens=9, stream=stream, presence_penalty=0.5, user="me")
    *_, reply = made if stream else [made]
    assert extension(reply)["notes"] == [
        "max_tokens is 8, the most that is written here, not 9.",
        "Not read: presence_penalty, user.",
    ]
    whole = client.chat.completions.create(**asked(), max_tokens=8)
    assert extension(whole)["notes"] == []
    with openai_client(pipeline, max_tokens=2) as official:
        reply = official.chat.completions.create(**asked(), max_tokens=5)
    assert reply.choices[0].finish_reason == "length"
    assert extension(reply)["notes"] == ["max_tokens is 2, the most that is written here, not 5."]


def test_neutral_values_of_other_fields_are_let_through(client: OpenAI) -> None:
    neutral: dict[str, Any] = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False, "user": "me"}
    reply = client.chat.completions.create(**asked(), **neutral, response_format={"type": "text"}, tools=[])
    assert extension(reply)["status"] == "answered"


def test_another_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="there is 'ragline'") as refused:
        client.chat.completions.create(**(asked() | {"model": "gpt-4"}))
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert [model.id for model in client.models.list()] == ["ragline"]
    assert client.models.retrieve("ragline").owned_by == "ragline"


def test_parts_of_a_message_are_joined_and_a_filter_reaches_the_search(client: OpenAI) -> None:
    parts = [{"type": "text", "text": "How many days "}, {"type": "text", "text": "of paid leave?"}]
    messages: Any = [{"role": "user", "content": parts}]
    reply = client.chat.completions.create(
        model="ragline",
        messages=messages,
        extra_body={"ragline": {"where": {"source": ["texts/d03.md", "texts/d11.md"]}}},
    )
    assert extension(reply)["query"] == "How many days of paid leave?"
    assert {source["position"]["source"] for source in extension(reply)["sources"]} <= {"texts/d03.md", "texts/d11.md"}


def test_a_filter_of_a_chat_may_be_text(client: OpenAI) -> None:
    sources = "source = texts/d03.md or source = texts/d11.md"
    reply = client.chat.completions.create(**asked(), extra_body={"ragline": {"where": sources}})
    assert {source["position"]["source"] for source in extension(reply)["sources"]} <= {"texts/d03.md", "texts/d11.md"}
    with pytest.raises(BadRequestError, match=r"ragline\.where: column 8: expected a value"):
        client.chat.completions.create(**asked(), extra_body={"ragline": {"where": "source="}})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "messages: a query holds picture, and this graph reads text alone"),
        ("data:image/png;base64,no base64", "messages: a picture is sent in base64, and this is none"),
        ("https://example.org/a.png", "image_url.url: String should match pattern"),
        ("file:///etc/passwd", "image_url.url: String should match pattern"),
    ],
)
def test_a_picture_is_refused_where_the_graph_reads_text_alone(client: OpenAI, url: str, says: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    messages: Any = [{"role": "user", "content": parts}]
    with pytest.raises(BadRequestError, match=says):
        client.chat.completions.create(model="ragline", messages=messages)


def test_earlier_turns_reach_the_model(client: OpenAI, pipeline: Pipeline) -> None:
    client.chat.completions.create(**asked("and of forks?", "How long is the warranty?", "Ten years [1]."))
    [prompt] = pipeline.graph.models["small"].seen[-1:]
    roles = [turn.role for turn in prompt]
    assert roles == ["system", "user", "assistant", "user"]
    assert prompt[1].content == "How long is the warranty?"
    assert prompt[-1].content.endswith("Question: and of forks?\nAnswer:")


@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_retrieval_declines_without_asking_the_model(client: OpenAI, pipeline: Pipeline, stream: bool) -> None:
    made = client.chat.completions.create(**asked("xylophone"), stream=stream)
    if stream:
        chunks = list(made)
        text, more = "".join(chunk.choices[0].delta.content or "" for chunk in chunks), extension(chunks[-1])
    else:
        text, more = made.choices[0].message.content, extension(made)
    assert text == "I don't know."
    assert (more["status"], more["sources"], more["citations"]) == ("no_answer", [], [])
    assert more["outcome"]["kind"] == "empty"
    assert pipeline.graph.models["small"].seen == []


class Chatterbox(ScriptedLLM):
    """Talks until it is stopped."""

    def __init__(self) -> None:
        super().__init__(replies=("x",))
        self.stopped = threading.Event()

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        return self._talk()

    def _talk(self) -> Generator[str, None, Completion]:
        try:
            for number in range(10**9):
                yield f"{number} "
                self.stopped.wait(0.001)
        finally:
            self.stopped.set()
        return Completion(text="")


def test_a_client_that_goes_away_stops_the_model_and_frees_its_place(pipeline: Pipeline) -> None:
    model = Chatterbox()
    with openai_client(written_with(pipeline, model), max_streams=1) as official:
        with official.chat.completions.create(**asked(), stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        assert model.stopped.wait(DEADLINE_S)
        again = official.chat.completions.create(**asked("xylophone"), stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in again) == "I don't know."


class Gate(ScriptedLLM):
    """Writes a batch only once it may; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(replies=("So it is [1].",))
        self.begun, self.go = threading.Event(), threading.Event()

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self.begun.set()
        assert self.go.wait(DEADLINE_S)
        return super().complete(prompts, params)


def test_a_plain_request_whose_client_left_while_it_waited_is_dropped(pipeline: Pipeline) -> None:
    model = Gate()
    app = create_app(written_with(pipeline, model), ServeSettings(model=MODEL))
    _, answers, *_ = app.state.services.first.gatherers
    with served(app) as running, OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as official:
        first = threading.Thread(target=lambda: official.chat.completions.create(**asked("paid leave")))
        first.start()
        assert model.begun.wait(DEADLINE_S)
        leaving = posted(running.url, "/v1/chat/completions", asked("lost laptop"))
        until(lambda: answers.waiting == 1)
        leaving.close()
        until(lambda: answers.waiting == 0)
        model.go.set()
        first.join(DEADLINE_S)
        official.chat.completions.create(**asked("warranty"))
    questions = [prompt[-1].content.partition("Question: ")[2].partition("\n")[0] for prompt in model.seen]
    assert questions == ["paid leave", "warranty"]


class Dead(ScriptedLLM):
    """A server that does not answer, until it does."""

    dead = True

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        if self.dead:
            raise MissingModel("no server answers at http://secret.internal:8000")
        return super().complete(prompts, params)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        if self.dead:
            raise MissingModel("no server answers at http://secret.internal:8000")
        return super().stream(prompt, params)


def test_without_its_model_chat_answers_503_with_sources_and_recovers(pipeline: Pipeline) -> None:
    model = Dead(replies=("So it is [1].",))
    with openai_client(written_with(pipeline, model), down_s=0.0) as official:
        with pytest.raises(InternalServerError) as refused:
            official.chat.completions.create(**asked())
        assert (refused.value.status_code, refused.value.code) == (503, "model_unavailable")
        told: Any = refused.value.response.json()
        assert [source["doc_id"] for source in told["ragline"]["sources"]][:1] == ["texts/d02.md#1"]
        assert "secret" not in refused.value.response.text
        model.dead = False
        assert official.chat.completions.create(**asked()).choices[0].message.content == "So it is [1]."


def test_a_stream_without_its_model_gives_the_sources_and_then_the_error(pipeline: Pipeline) -> None:
    with openai_client(written_with(pipeline, Dead(replies=("x",)))) as official:
        stream = official.chat.completions.create(**asked(), stream=True)
        first = next(iter(stream))
        assert extension(first)["sources"][0]["doc_id"] == "texts/d02.md#1"
        with pytest.raises(APIError, match="does not answer"):
            list(stream)
        with pytest.raises(InternalServerError) as refused:  # it is known to be down by now
            official.chat.completions.create(**asked(), stream=True)
        assert refused.value.status_code == 503


@pytest.fixture
def rewriting(index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A pipeline whose model, which also rewrites follow-ups, is down."""
    monkeypatch.setitem(LLMS._table, "dead", Dead)
    spec = graph()
    spec["models"]["small"] = {"use": "llm.dead", "with": {"replies": ["Warranty of frames?", "So it is [1]."]}}
    spec["nodes"]["asked"] = {"use": "reformulate.conversation", "in": "query", "with": {"llm": "small"}}
    spec["nodes"]["bm25"]["in"] = "asked"
    spec["nodes"]["fused"] = {"use": "fuse.rrf", "in": "bm25", "k": 3}
    spec["nodes"]["ranked"]["in"] = "fused"
    with load_pipeline(spec, index=index) as loaded:
        yield loaded


FOLLOW_UP = asked("And how long is that warranty?", "Are frames brazed?", "They are [1].")


def test_a_follow_up_without_its_model_gets_sources_and_spoils_no_search(rewriting: Pipeline) -> None:
    with in_process(rewriting) as asking:
        refused = asking.post("/v1/chat/completions", json=FOLLOW_UP)
        assert refused.status_code == 503
        assert [source["doc_id"] for source in refused.json()["ragline"]["sources"]][:1] == ["texts/d09.md#1"]
        found = asking.post("/v1/search", json={"query": "warranty"}).json()
        assert (found["node"], found["degraded"]) == ("ranked", False)


def test_a_follow_up_that_cannot_be_rewritten_takes_no_other_question_along(rewriting: Pipeline) -> None:
    begun, go = threading.Event(), threading.Event()
    [plain] = [node.work for node in rewriting.graph.nodes if node.name == "bm25"]

    def held(queries: Any, *, k: int) -> Any:
        begun.set()
        assert go.wait(DEADLINE_S)
        return plain(queries, k=k)

    replace_node(rewriting, "bm25", held)
    service = Service(rewriting, ServeSettings())

    async def ask() -> list[Any]:
        tasks = [asyncio.create_task(service.prepare(service.query("paid leave")))]
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        before = (Message(role="user", content="Are frames brazed?"), Message(role="assistant", content="Yes."))
        for query in (service.query("And the warranty?", history=before), service.query("lost laptop")):
            tasks.append(asyncio.create_task(service.prepare(query)))
        while service.gatherers[0].waiting < 2:
            await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, follow_up, other = asyncio.run(ask())
    service.close()
    assert isinstance(follow_up, MissingModel)
    assert first.failures == other.failures == ()


class Clumsy(ScriptedLLM):
    """Fails at one question."""

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        if any("laptop" in prompt[-1].content for prompt in prompts):
            raise RuntimeError("/home/secret/model.bin is broken")
        return super().complete(prompts, params)


def test_a_question_that_fails_says_where_and_nothing_more(pipeline: Pipeline) -> None:
    with openai_client(written_with(pipeline, Clumsy(replies=("So it is [1].",)))) as official:
        with pytest.raises(InternalServerError, match=r"The stage 'answer' \(generate.cited\) failed") as refused:
            official.chat.completions.create(**asked("lost laptop"))
        assert refused.value.status_code == 500
        assert "secret" not in refused.value.response.text
        assert official.chat.completions.create(**asked()).choices[0].finish_reason == "stop"


def test_a_graph_that_ranks_alone_says_where_to_search(index: Path) -> None:
    with (
        load_pipeline("bm25", index=index) as loaded,
        openai_client(loaded) as official,
        pytest.raises(BadRequestError, match="use /v1/search"),
    ):
        official.chat.completions.create(**asked())


@pytest.mark.parametrize(
    ("unsupported", "said", "kinds"),
    [
        ("tell", "Thirty days [1]. Pigs fly.", ["similar", "unsupported"]),
        ("drop", "Thirty days [1].", ["similar"]),
        ("refuse", "I don't know.", []),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_checked_answers_come_with_verdicts(
    index: Path, streamed: bool, unsupported: str, said: str, kinds: list[str]
) -> None:
    made = graph(replies=["Thirty days [1]. Pigs fly."])
    made["nodes"]["checked"] = {"use": "check.words", "in": "answer", "with": {"unsupported": unsupported}}
    made["output"] = "checked"
    with load_pipeline(made, index=index) as pipeline, openai_client(pipeline) as client:
        if streamed:
            chunks = list(client.chat.completions.create(**asked(), stream=True))
            text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            more = [chunk.model_extra["ragline"] for chunk in chunks if "ragline" in (chunk.model_extra or {})][-1]
        else:
            reply = client.chat.completions.create(**asked())
            text, more = reply.choices[0].message.content or "", extension(reply)
    assert text == said
    assert [verdict["kind"] for verdict in more["verdicts"]] == kinds
    assert [text[v["start"] : v["end"]] for v in more["verdicts"]] == ["Thirty days [1].", "Pigs fly."][: len(kinds)]
    counts = more["stages"][-1]["counts"]
    assert (
        counts
        == {"similar": 1, "unsupported": 1}
        | {"tell": {}, "drop": {"dropped": 1}, "refuse": {"refused": 1}}[unsupported]
    )


def test_a_calibrated_answer_says_how_sure_it_is(index: Path, tmp_path: Path) -> None:
    made = graph(replies=["Thirty days [1]."])
    with load_pipeline(made, index=index) as plain:
        assert plain.index is not None
        of = made_for(plain.graph, plain.index)
        file = saved(tmp_path / "calibration.json", made_for=of, node=plain.graph.last_ranking())
    with load_pipeline(made, index=index, calibration=file) as pipeline, openai_client(pipeline) as client:
        more = extension(client.chat.completions.create(**asked()))
    assert 0 <= more["confidence"] <= 1
    assert all(0 <= source["relevance"] <= 1 for source in more["sources"])
