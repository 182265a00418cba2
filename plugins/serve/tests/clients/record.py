"""Write down what clients send: `python -m plugins.serve.tests.clients.record FOLDER`, in an environment that has them.

Those that are installed are recorded, a file each: openai, langchain-openai, llama-index-llms-openai-like,
llama-index-llms-openai and open-webui. The environment of the tests has the first of them alone; what it sends is tested
there again against its own recording.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from plugins.serve.tests.clients.webui import web_ui

MODEL = "docs"
KEY = "no-key-is-asked-for-here-by-anyone"
DROPPED = ("host", "content-length", "authorization", "connection", "accept-encoding")
QUESTION = "How many days of paid leave?"
SYSTEM = "You are a helpful assistant. Answer in one sentence."
MESSAGES = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": "What is it about?"},
    {"role": "assistant", "content": "Leave."},
    {"role": "user", "content": QUESTION},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}

Calls = list[dict[str, Any]]
Say = Callable[[str], None]


@contextmanager
def recording(calls: Calls) -> Iterator[str]:
    """The address of a server that writes down what it is asked, and answers so that clients are content."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(calls))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(calls: Calls) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._note(None)
            card = {"id": MODEL, "object": "model", "created": 1, "owned_by": "x"}
            self._answer(card if self.path.endswith(MODEL) else {"object": "list", "data": [card]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._note(body)
            if self.path.endswith("/embeddings"):
                data = [{"object": "embedding", "index": i, "embedding": [0.1]} for i in range(len(body["input"]))]
                usage = {"prompt_tokens": 1, "total_tokens": 1}
                self._answer({"object": "list", "model": MODEL, "data": data, "usage": usage})
            elif body.get("stream"):
                chunks = [_chunk({"role": "assistant", "content": "So."}), _chunk({}, "stop")]
                said = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
                self._send(f"{said}data: [DONE]\n\n".encode(), "text/event-stream")
            else:
                message = {"role": "assistant", "content": "So.", "refusal": None}
                usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
                self._answer(
                    _whole("chat.completion", {"message": message, "finish_reason": "stop"}) | {"usage": usage}
                )

        def _note(self, body: Any) -> None:
            headers = {k.lower(): v for k, v in self.headers.items() if k.lower() not in DROPPED}
            calls.append({"method": self.command, "path": self.path, "headers": headers, "body": body})

        def _answer(self, reply: Any) -> None:
            self._send(json.dumps(reply).encode(), "application/json")

        def _send(self, data: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _whole(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "x", "object": kind, "created": 1, "model": MODEL, "choices": [{"index": 0, **choice}]}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return _whole("chat.completion.chunk", {"delta": delta, "finish_reason": finish})


def openai(url: str, now: Say) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key=KEY)
    chat: Any = client.chat.completions.create
    now("models.list")
    list(client.models.list())
    now("models.retrieve")
    client.models.retrieve(MODEL)
    now("chat")
    chat(model=MODEL, messages=MESSAGES, max_tokens=4096, temperature=0.2)
    now("chat, streamed")
    list(chat(model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
    now("chat, many fields")
    chat(
        model=MODEL,
        messages=[
            {"role": "developer", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        ],
        max_completion_tokens=4096,
        metadata={"a": "b"},
        parallel_tool_calls=True,
        presence_penalty=0.5,
        prompt_cache_key="k",
        reasoning_effort="low",
        safety_identifier="s",
        service_tier="auto",
        store=True,
        tools=[TOOL],
        verbosity="low",
    )
    now("embeddings")
    client.embeddings.create(model=MODEL, input=[QUESTION])


def langchain_openai(url: str, now: Say) -> None:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    place: dict[str, Any] = {"model": MODEL, "base_url": url, "api_key": KEY}
    messages = [SystemMessage(SYSTEM), HumanMessage("What is it about?"), AIMessage("Leave."), HumanMessage(QUESTION)]
    model = ChatOpenAI(**place, temperature=0, max_tokens=4096)
    now("ChatOpenAI.invoke")
    model.invoke(messages)
    now("ChatOpenAI.stream")
    list(model.stream(messages))
    now("ChatOpenAI.bind_tools")
    model.bind_tools([TOOL]).invoke(messages)
    now("ChatOpenAI with nothing set")
    ChatOpenAI(**place).invoke(QUESTION)
    now("OpenAIEmbeddings")
    OpenAIEmbeddings(**place, check_embedding_ctx_length=False).embed_documents([QUESTION])


def llama_index_llms_openai_like(url: str, now: Say) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    place: dict[str, Any] = {"model": MODEL, "api_base": url, "api_key": KEY, "is_chat_model": True}
    messages = [ChatMessage(role=message["role"], content=message["content"]) for message in MESSAGES]
    model = OpenAILike(**place)
    now("OpenAILike.chat")
    model.chat(messages)
    now("OpenAILike.stream_chat")
    list(model.stream_chat(messages))
    now("OpenAILike.complete")
    model.complete(QUESTION)
    now("OpenAILike.chat with max_tokens")
    OpenAILike(**place, max_tokens=4096).chat(messages)


def llama_index_llms_openai(url: str, now: Say) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai import OpenAI

    messages = [ChatMessage(role=message["role"], content=message["content"]) for message in MESSAGES]
    model = OpenAI(model="gpt-4o-mini", api_base=url, api_key=KEY)  # it takes names of OpenAI's alone
    now("OpenAI.chat")
    model.chat(messages)
    now("OpenAI.stream_chat")
    list(model.stream_chat(messages))


def open_webui(url: str, now: Say) -> None:
    now("list of models")
    with web_ui(url, KEY) as ui:
        ui.get("/api/models")
        now("a turn of a chat, nothing set")
        ui.post("/api/chat/completions", {"model": MODEL, "messages": MESSAGES[-1:], "stream": True})
        now("a turn of a chat, not streamed")
        ui.post("/api/chat/completions", {"model": MODEL, "messages": MESSAGES, "stream": False})
        now("a turn of a chat, every parameter set")
        every = {
            "temperature": 0.8,
            "top_p": 0.9,
            "top_k": 40,
            "min_p": 0.05,
            "max_tokens": 4096,
            "frequency_penalty": 0.1,
            "presence_penalty": 0.1,
            "repeat_penalty": 1.1,
            "reasoning_effort": "medium",
            "seed": 0,
            "stop": ["<stop>"],
            "logit_bias": "50256:-100",
        }
        options = {"include_usage": True}
        body = {"model": MODEL, "messages": MESSAGES, "stream": True, "stream_options": options, "params": every}
        ui.post("/api/chat/completions", body)
        now("a first turn as its page asks it, with title, tags and follow-up questions")
        began = ui.post("/api/chat/completions", _page_turn())
        ui.until_done(began["chat_id"])
        now("a question that is completed while it is typed")
        ui.post("/api/v1/tasks/auto/completions", {"model": MODEL, "prompt": "How many days", "type": "general"})


def _page_turn() -> dict[str, Any]:
    """A question in a new chat, as the page of Open WebUI sends it to its own server, which keeps the turns itself."""
    asked = {"id": "question", "parentId": None, "role": "user", "content": QUESTION, "models": [MODEL], "timestamp": 1}
    return {
        "model": MODEL,
        "messages": MESSAGES[:1],
        "stream": True,
        "params": {"model_controls": {}},
        "features": {"image_generation": False, "code_interpreter": False, "web_search": False},
        "variables": {"{{USER_NAME}}": "Ada"},
        "session_id": "tab",
        "id": "answer",
        "parent_id": None,
        "user_message": asked,
        "background_tasks": {"title_generation": True, "tags_generation": True, "follow_up_generation": True},
    }


CLIENTS: dict[str, Callable[[str, Say], None]] = {
    "openai": openai,
    "langchain-openai": langchain_openai,
    "llama-index-llms-openai-like": llama_index_llms_openai_like,
    "llama-index-llms-openai": llama_index_llms_openai,
    "open-webui": open_webui,
}


def recorded(client: Callable[[str, Say], None]) -> Calls:
    """What a client sends, each request under the name of the call that made it."""
    calls: Calls = []
    names: list[tuple[int, str]] = []
    with recording(calls) as url:
        client(url, lambda name: names.append((len(calls), name)))
    ends = [*(start for start, _ in names[1:]), len(calls)]
    return [{"call": name, **call} for (start, name), end in zip(names, ends, strict=True) for call in calls[start:end]]


def main(folder: Path) -> None:
    """A file for each client that is installed."""
    for name, client in CLIENTS.items():
        try:
            described = {"client": name, "version": version(name), "recorded": True}
        except PackageNotFoundError:
            continue
        file = folder / f"{name.replace('-', '_')}.json"
        file.write_text(json.dumps(described | {"calls": recorded(client)}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
