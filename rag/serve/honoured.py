"""What of a chat request is honoured, and what its reply says of the rest.

Clients send much that a graph has no use for, and most of it may be left out: the answer is none the worse. What would
break the client instead is refused when the request is read (`rag.service.wire.chat_request`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.service.service import Service
from rag.service.wire.chat_request import ChatRequest

_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Honoured:
    """Fields of `SamplingParams` that a request sets, and sentences on what was not done as it says."""

    sampling: Mapping[str, Any]
    notes: tuple[str, ...]


def honoured(body: ChatRequest, service: Service) -> Honoured:
    """What the graph's generator and the server's limits leave of a request."""
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
    return Honoured(sampling=sampling, notes=tuple(notes))
