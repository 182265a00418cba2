"""A real HTTP server of another make: what it replies is up to the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_serving import http_serving


class OtherServer:
    """A server of another form. `replies`: path -> body of the request -> reply."""

    def __init__(self, **replies: Callable[[dict[str, Any]], Any]) -> None:
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.replies = {f"/{name.replace('__', '/')}": reply for name, reply in replies.items()}

    @contextmanager
    def running(self) -> Iterator[str]:
        other = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                other.bodies.append((self.path, body))
                reply = other.replies.get(self.path)
                raw = json.dumps(reply(body) if reply else {"error": "no such path"}).encode()
                self.send_response(200 if reply else 404)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        with http_serving(Handler) as address:
            yield address
