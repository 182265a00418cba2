"""What schemathesis cannot know when it makes requests: the model's name, what a conversation is like, the graph's limits.

Loaded by its command through SCHEMATHESIS_HOOKS. Only values of the right type are changed, so that wrong types reach the
server as they were made; every other request is left as it is, so that these refusals are tried too. What is so large
that no refusal is promised has its texts cut.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import schemathesis

from plugins.serve.tests.walled import MODEL
from ragline_serve.service.settings import ServeSettings
from ragline_serve.service.walls import _DROPPED

MOST_BYTES = _DROPPED * ServeSettings().max_request_bytes
"""A server reads so much of a body that is too large, so that its refusal is seen. Of a larger one it closes the
connection in the middle, and whether the client sees the refusal or the end hangs on the moment."""
_calls = count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    body = case.body
    if isinstance(body, dict | list) and len(json.dumps(body)) > MOST_BYTES:
        body = case.body = _shortened(body)
    if not isinstance(body, dict) or next(_calls) % 2:
        return
    if isinstance(body.get("model"), str):
        body["model"] = MODEL
    if isinstance(body.get("messages"), list):
        _converse(body["messages"])
    for name in ("max_tokens", "max_completion_tokens"):
        if type(body.get(name)) is int and body[name] > 0:
            body[name] = 1 + body[name] % 8
    extension = body.get("ragline")
    if isinstance(extension, dict) and isinstance(extension.get("session"), str):
        extension["session"] = "new"
        if isinstance(body.get("messages"), list):
            del body["messages"][:-1]


def _converse(messages: list[Any]) -> None:
    for message in messages:
        if isinstance(message, dict) and isinstance(message.get("role"), str):
            message["role"] = "user"
            message["content"] = message.get("content") or "How many days of paid leave?"


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_shortened(held) for held in value]
    return value[:1000] if isinstance(value, str) else value
