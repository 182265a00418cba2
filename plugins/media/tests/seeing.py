"""A server that answers as an OpenAI chat server does, and keeps what it is asked."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_serving import http_serving


@contextmanager
def seeing(
    asked: list[dict[str, Any]],
    *,
    say: Callable[[dict[str, Any]], str] = lambda body: "It is red [1].",
    sees: bool = True,
) -> Iterator[str]:
    """Its address. It says what `say` makes of a request, and fails where that is nothing; one that does not see refuses pictures,
    as servers do."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._json(200, {"data": [{"id": "eyes", "owned_by": "somebody", "max_model_len": 8192}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            if not sees and pictures_in(body):
                self._json(400, {"error": {"message": "eyes is not a multimodal model"}})
            elif not (said := say(body)):
                self._json(500, {"error": {"message": "out of memory"}})
            else:
                self._say(said, streamed=bool(body.get("stream")))

        def _say(self, said: str, *, streamed: bool) -> None:
            usage = {"prompt_tokens": 9, "completion_tokens": 5}
            if streamed:
                event = {"choices": [{"delta": {"content": said}, "finish_reason": "stop"}], "usage": usage}
                payload = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode()
                self._send(200, payload, "text/event-stream")
                return
            text = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            self._json(200, {"choices": [text], "usage": usage})

        def _json(self, status: int, data: Any) -> None:
            self._send(status, json.dumps(data).encode(), "application/json")

        def _send(self, status: int, payload: bytes, media_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    with http_serving(Handler) as address:
        yield f"{address}/v1"


def pieces_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The pieces of the turns of a request that have some."""
    contents = [turn["content"] for turn in body["messages"] if isinstance(turn["content"], list)]
    return [piece for content in contents for piece in content]


def pictures_in(body: dict[str, Any]) -> list[bytes]:
    """Bytes of the pictures that a request holds."""
    addresses = [each["image_url"]["url"] for each in pieces_in(body) if each["type"] == "image_url"]
    return [b64decode(address.partition(",")[2]) for address in addresses]
