"""A real HTTP server on this machine that speaks the protocol, with a real tiny model or with scripted trouble."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np

from generators.llm.loading import load_tokenizer
from generators.llm.transformers import TransformersLLM
from rag.core.types import Message, SamplingParams
from tests.http_serving import http_serving

Trouble = Callable[[BaseHTTPRequestHandler], None]
MODEL = "tiny"
VLLM_MODEL = os.environ.get("RAGLINE_VLLM_MODEL", "smollm2-135m-instruct")
"""What a real vLLM runs in tests. A larger model takes its time."""


def status(code: int, body: str = "", **headers: str) -> Trouble:
    """Answer with a status code. Header names are written with underscores."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        payload = body.encode()
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Break the connection without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def silence(over: threading.Event) -> Trouble:
    """Say nothing until it is over, and nothing then."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        over.wait(60)
        handler.close_connection = True

    return answer


def events(*lines: str, broken: bool = False, silent: threading.Event | None = None) -> Trouble:
    """Stream these lines of data; `broken` cuts the connection in the middle of a chunk.

    `silent`: say nothing more until the client hangs up, and set this then.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for line in lines:
            _chunk(handler, f"data: {line}\n\n")
        if silent is not None and handler.connection.recv(1) == b"":
            silent.set()
            handler.close_connection = True
            return
        if broken:
            handler.wfile.write(b"50\r\ndata: {")
            hang_up(handler)
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def _chunk(handler: BaseHTTPRequestHandler, text: str) -> None:
    data = text.encode()
    handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    handler.wfile.flush()


@dataclass
class Served:
    """What the server does and saw. `trouble` is used up first, one piece for each POST."""

    url: str = ""
    trouble: deque[Trouble] = field(default_factory=deque)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_at_once: int = 0
    broken_streams: int = 0
    owner: str = "vllm"
    window: int | None = None
    pause_s: float = 0.0
    token_pause_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: int = 0

    def posts(self, path: str) -> list[dict[str, Any]]:
        return [body for asked, body in self.asked if asked == path]


@contextmanager
def serving(llm: TransformersLLM) -> Iterator[Served]:
    """Serve a tiny model until the block ends."""
    served = Served(window=llm.context_window)
    tokenizer = load_tokenizer(llm._folder)
    with http_serving(_handler(served, llm, tokenizer)) as address:
        served.url = f"{address}/v1"
        yield served


def _handler(served: Served, llm: TransformersLLM, tokenizer: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            card = {"id": MODEL, "owned_by": served.owner, "max_model_len": served.window}
            self._json({"data": [card]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with served.lock:
                served.asked.append((self.path, body))
                served.keys.append(self.headers.get("Authorization"))
                served.at_once += 1
                served.most_at_once = max(served.most_at_once, served.at_once)
                trouble = served.trouble.popleft() if served.trouble else None
            try:
                time.sleep(served.pause_s)
                if trouble is not None:
                    trouble(self)
                else:
                    self._answer(body)
            except (BrokenPipeError, ConnectionResetError):
                served.broken_streams += 1
                self.close_connection = True
            finally:
                with served.lock:
                    served.at_once -= 1

        def _answer(self, body: dict[str, Any]) -> None:
            if body["model"] != MODEL:
                status(404, json.dumps({"error": {"message": "no such model"}}))(self)
            elif self.path == "/tokenize":
                self._json({"tokens": self._ids(body)})
            elif self.path == "/v1/chat/completions":
                self._write(self._ids(body), body, chat=True)
            elif "prompt_logprobs" in body:
                self._score(body["prompt"])
            else:
                self._write(body["prompt"], body, chat=False)

        def _ids(self, body: dict[str, Any]) -> list[int]:
            """As servers do: the template is rendered to text, and special tokens in the text take effect."""
            if "prompt" in body:
                return list(tokenizer.encode(body["prompt"], add_special_tokens=False))
            text = tokenizer.apply_chat_template(
                body["messages"],
                tokenize=False,
                add_generation_prompt=body.get("add_generation_prompt", True),
                continue_final_message=body.get("continue_final_message", False),
            )
            return list(tokenizer.encode(text, add_special_tokens=False))

        def _write(self, ids: list[int], body: dict[str, Any], *, chat: bool) -> None:
            params = SamplingParams(
                max_tokens=body["max_tokens"],
                temperature=body["temperature"],
                seed=body["seed"],
                stop=tuple(body.get("stop", ())),
                logprobs=body.get("top_logprobs", 0) if chat else body.get("logprobs", 0),
            )
            if len(ids) + params.max_tokens > llm.context_window:
                said = f"This model's maximum context length is {llm.context_window} tokens."
                return status(400, json.dumps({"error": {"message": said}}))(self)
            batch, writer = llm._batch([ids]), llm._writer(ids, params)
            pieces = []
            stream = body.get("stream", False)
            if stream:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
            while not writer.reason:
                token, piece = writer.take(batch.logits[0])
                pieces.append(piece)
                if stream:
                    delta = {"delta": {"content": piece}} if chat else {"text": piece}
                    _chunk(self, "data: " + json.dumps({"choices": [{**delta, "finish_reason": None}]}) + "\n\n")
                if not writer.reason:
                    time.sleep(served.token_pause_s)
                    batch.feed([token])
            done = writer.completion()
            usage = {
                "prompt_tokens": done.prompt_tokens,
                "completion_tokens": done.completion_tokens,
                "prompt_tokens_details": {"cached_tokens": 3},
            }
            if stream:
                last = {"choices": [{"delta": {}, "text": "", "finish_reason": done.finish_reason}]}
                _chunk(self, "data: " + json.dumps(last) + "\n\n")
                _chunk(self, "data: " + json.dumps({"choices": [], "usage": usage}) + "\n\n")
                _chunk(self, "data: [DONE]\n\n")
                self.wfile.write(b"0\r\n\r\n")
                return None
            said = {"message": {"content": done.text}} if chat else {"text": done.text}
            return self._json(
                {
                    "choices": [{**said, "finish_reason": done.finish_reason, "logprobs": _logprobs(done, chat)}],
                    "usage": usage,
                }
            )

        def _score(self, ids: list[int]) -> None:
            import torch

            with llm.weights() as lent, torch.no_grad():
                logits = lent.model(torch.tensor([ids])).logits[0].log_softmax(-1).numpy().astype(np.float64)
            places = [None, *({str(id_): {"logprob": logits[at, id_]}} for at, id_ in enumerate(ids[1:]))]
            self._json({"choices": [{"text": "", "finish_reason": "length", "prompt_logprobs": places}]})

        def _json(self, reply: Any) -> None:
            status(200, json.dumps(reply), Content_Type="application/json")(self)

    return Handler


def _logprobs(done: Any, chat: bool) -> Any:
    if done.logprobs is None:
        return None
    places = [list(place.items()) for place in done.logprobs]
    if chat:
        pairs = [[{"token": token, "logprob": logprob} for token, logprob in place] for place in places]
        return {"content": [{**pair[0], "top_logprobs": pair} for pair in pairs]}
    first = [place[0] for place in places]
    return {
        "tokens": [token for token, _ in first],
        "token_logprobs": [logprob for _, logprob in first],
        "top_logprobs": [dict(place) for place in places],
    }


def asked(text: str) -> list[Message]:
    return [Message(role="user", content=text)]
