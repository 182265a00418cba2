"""/v1/chat/completions: an answer with citations, whole or as a stream."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from rag import Asker
from rag.doors import AnswerStream, Reader, in_words
from rag.errors import MissingModel, SpecError
from rag.files import QuestionLog
from rag.graphs import RunResult
from rag.types import Answer, AnswerDelta, Query
from ragline_serve.http.conversation import Conversation, conversation
from ragline_serve.http.extension import annotations_json, begun_json, passages_of, sources_json, whole_json
from ragline_serve.http.feedback import logged
from ragline_serve.http.search import require_filter
from ragline_serve.http.sessions import Sessions
from ragline_serve.service import history
from ragline_serve.service.askers import asked_in, asker_of
from ragline_serve.service.replies import LAST_EVENT, ApiError, EventStream, JSONReply, event, explained, failed
from ragline_serve.service.service import ANSWERING, CHAT_PATH, Service
from ragline_serve.service.services import Services
from ragline_serve.service.unavailable import UNAVAILABLE, unless_gone
from ragline_serve.service.wire.chat import ChatReply, ChatRequest
from ragline_serve.service.wire.forms import refusals

EVENT = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}
STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": EVENT}}}}
"""What OpenAPI can say of a stream: the schema is that of one event. Data is a chunk as JSON, or [DONE]."""

SOURCES = 10
"""Passages that are shown where there is no answer."""
_SHOWN_CHARACTERS = 200
"""Of the names of fields that are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """A request, understood. `page`: the address of this server's page, as whoever asks calls it."""

    query: Query
    honoured: _Honoured
    kept: Conversation | None
    log: QuestionLog | None
    asker: Asker | None
    page: str
    begun: float

    async def started(self) -> _Turn:
        """The same, its conversation begun if it is a new one."""
        return self if self.kept is None else replace(self, kept=await self.kept.begun())

    @property
    def session(self) -> str | None:
        return None if self.kept is None else self.kept.id

    async def keep(self, answer: Answer, service: Service) -> str | None:
        """Write the exchange down, if it belongs to a conversation, and in the log, if there is one: its id there."""
        if self.kept is not None:
            documents = [answer.context.passages[each.marker - 1].document for each in answer.citations]
            cited = sorted({name for document in documents for name in (document.doc_id, document.parent)})
            await self.kept.add(self.query.asked, answer.text, cited=cited)
        seconds = time.perf_counter() - self.begun
        return await logged(self.log, answer, service, asker=self.asker, seconds=seconds)


def router(services: Services, sessions: Sessions | None, log: QuestionLog | None) -> APIRouter:
    routes = APIRouter()

    @routes.post(
        CHAT_PATH,
        tags=["chat"],
        summary="Answer the last message from the documents",
        response_model=ChatReply,
        responses=refusals(400, 404, 429, 500, 503) | STREAMED,
    )
    async def chat(body: ChatRequest, request: Request) -> Response:
        service = services.serving(request, body.model)
        turn = await _understood(body, request, service, await conversation(body, request, service, sessions), log)
        prepared = await unless_gone(request, _prepared(turn, service))
        answer = _streamed if body.stream else _whole
        return await unless_gone(request, answer(body, turn, prepared, service))

    return routes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Honoured:
    """Fields of `SamplingParams` that a request sets, and sentences on what was not done as it says."""

    sampling: Mapping[str, Any]
    notes: tuple[str, ...]


def _honoured(body: ChatRequest, service: Service) -> _Honoured:
    """What the graph's generator and the server's limits leave of a request.

    Clients send much that a graph has no use for, and most of it may be left out: the answer is none the worse. What would
    break the client instead is refused when the request is read (`ragline_serve.service.wire.chat`).
    """
    sampling, notes = body.sampling, []
    if sampling and not service.takes_sampling:
        notes.append(f"The graph's generator takes no {', '.join(sorted(sampling))}.")
        sampling = {}
    most, wanted = service.most_tokens, sampling.get("max_tokens", 0)
    if most is not None and wanted > most:
        notes.append(f"max_tokens is {most:,}, the most that is written here, not {wanted:,}.")
        sampling["max_tokens"] = most
    if body.ignored:
        notes.append(f"Not read: {', '.join(body.ignored)[:_SHOWN_CHARACTERS]}.")
    if not service.settings.allow_system and any(message.is_system for message in body.messages):
        notes.append("The system message was put below the rules of the graph's own prompt.")
    return _Honoured(sampling=sampling, notes=tuple(notes))


async def _understood(
    body: ChatRequest, request: Request, service: Service, kept: Conversation | None, log: QuestionLog | None
) -> _Turn:
    begun = time.perf_counter()
    if not service.pipeline.graph.answers:
        raise ApiError(400, "This server's graph ends in rankings: use /v1/search.", code="no_answers")
    try:
        said = history.split(body.messages, service.settings)
        contents = (*body.messages[-1].contents, *(body.ragline.contents if body.ragline is not None else ()))
        asked = service.query(said.question, history=said.turns, contents=contents)
        service.pipeline.require_read([asked])
        asked = await service.checks(in_words, asked)
    except (ValueError, SpecError) as error:
        raise ApiError(400, f"messages: {error}.", param="messages", code="unsupported_content") from error
    turns = asked.history if kept is None else (*asked.history, *kept.turns)
    try:
        turns = await service.checks(history.fit, asked.text, turns, service.llm, service.settings, said.wishes)
    except UNAVAILABLE:
        turns = await service.checks(history.fit, asked.text, turns, None, service.settings, said.wishes)
    where = asked_in(request, body.ragline.where if body.ragline is not None else None)
    await require_filter(where, service)
    return _Turn(
        query=service.query(asked.text, history=turns, wishes=said.wishes, where=where, contents=asked.contents),
        honoured=_honoured(body, service),
        kept=kept,
        log=log,
        asker=asker_of(request.scope),
        page=str(request.base_url),
        begun=begun,
    )


async def _prepared(turn: _Turn, service: Service) -> RunResult:
    """What runs before the answer, if the model may be expected to give one."""
    try:
        if ANSWERING in service.down:
            raise MissingModel("it did not answer a moment ago")
        prepared = await service.prepare(turn.query)
    except UNAVAILABLE as error:
        service.down.note(ANSWERING)
        raise explained(error, extra=await _found_instead(turn, service)) from error
    except Exception as error:
        raise explained(error) from error
    if prepared.failures:
        raise failed(prepared.failures[0]) from prepared.failures[0].cause
    return prepared


async def _found_instead(turn: _Turn, service: Service) -> dict[str, Any]:
    """The passages that there are although nobody can write an answer from them, or rewrite a follow-up."""
    try:
        result, _ = await service.search(replace(turn.query, history=()))
    except Exception:
        return {}
    return {"ragline": {"sources": sources_json(result.rankings[0].hits[:SOURCES]), "query": turn.query.asked}}


async def _whole(body: ChatRequest, turn: _Turn, prepared: RunResult, service: Service) -> Response:
    graph = service.pipeline.graph
    begun = begun_json(prepared, graph, session=turn.session, notes=turn.honoured.notes)
    try:
        result = await service.finish(prepared, turn.honoured.sampling)
    except UNAVAILABLE as error:
        service.down.note(ANSWERING)
        raise explained(error, extra={"ragline": begun}) from error
    except Exception as error:
        raise explained(error, extra={"ragline": begun}) from error
    if result.failures:
        raise failed(result.failures[0], extra={"ragline": begun}) from result.failures[0].cause
    service.down.clear(ANSWERING)
    answer = result.answers[0]
    turn = await turn.started()
    entry = await turn.keep(answer, service)
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return JSONReply(
        {
            **_head("chat.completion", service),
            "choices": [
                {
                    "index": 0,
                    "message": message | {"annotations": _annotations(result, turn, service)},
                    "logprobs": None,
                    "finish_reason": _finish_reason(answer),
                }
            ],
            "usage": _usage(answer),
            "ragline": whole_json(result, graph, session=turn.session, notes=turn.honoured.notes, entry=entry),
        }
    )


async def _streamed(body: ChatRequest, turn: _Turn, prepared: RunResult, service: Service) -> Response:
    try:
        stream, reader = await service.write(prepared, turn.honoured.sampling)
    except Exception as error:
        raise explained(error) from error
    try:
        turn = await turn.started()
    except BaseException:
        reader.stop()
        raise
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    events = _events(turn, stream, reader, service, include_usage=include_usage)
    return EventStream(events, at_end=reader.stop)


async def _events(
    turn: _Turn, stream: AnswerStream, reader: Reader[AnswerDelta], service: Service, *, include_usage: bool
) -> AsyncIterator[bytes]:
    """The events of one stream: sources, pieces of text, the whole of the extension, usage if wanted."""
    graph, head = service.pipeline.graph, _head("chat.completion.chunk", service)
    begun = begun_json(stream.before, graph, session=turn.session, notes=turn.honoured.notes)
    nothing = {"usage": None} if include_usage else {}

    def chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**head, "choices": [choice], **nothing, **more})

    try:
        yield chunk({"role": "assistant", "content": ""}, ragline=begun)
        first = True
        async for delta in reader:
            if delta.text:
                if first:
                    service.watch.first_token(time.perf_counter() - turn.begun)
                    first = False
                yield chunk({"content": delta.text})
        result = stream.result
        if result is None:
            raise RuntimeError("the stream ended without an answer")
    except Exception as error:
        if isinstance(error, UNAVAILABLE):
            service.down.note(ANSWERING)
        service.watch.stream_failed()
        yield event(explained(error, extra={"ragline": begun}).as_dict())
        return
    service.down.clear(ANSWERING)
    service.done(result)
    answer = result.answers[0]
    entry = await turn.keep(answer, service)
    annotations = _annotations(result, turn, service)
    yield chunk(
        {"annotations": annotations} if annotations else {},
        _finish_reason(answer),
        ragline=whole_json(result, graph, session=turn.session, notes=turn.honoured.notes, entry=entry),
    )
    if include_usage:
        yield event({**head, "choices": [], "usage": _usage(answer)})
    yield LAST_EVENT


def _head(kind: str, service: Service) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": service.settings.model,
    }


def _annotations(result: RunResult, turn: _Turn, service: Service) -> list[dict[str, Any]]:
    passages = passages_of(result)
    return annotations_json(result.answers[0], passages, page=turn.page, model=service.settings.model)


def _finish_reason(answer: Answer) -> str:
    """OpenAI knows no answer that broke off: the extension says it."""
    return "length" if answer.finish_reason == "length" else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    """Tokens of the answering call alone; those of the other stages are in the extension."""
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.new_tokens,
        "total_tokens": usage.prompt_tokens + usage.new_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
