"""Everything about a server that can be set, and its limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from rag.errors import SpecError

_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
LONGEST_LIST = 4096
"""Most documents or texts of a request, whatever is set: more is refused before it is read one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """How a pipeline is served.

    Args:
        model: the name that the graph goes by in /v1/models and in requests.
        max_batch: most requests that go through the graph together.
        waiting_room: most requests that wait in front of each of the graph's parts; one more is refused with 429.
        max_streams: most answers that are streamed at a time; others wait in a room of their own.
        max_tokens: most tokens of an answer that a request may ask for; one that asks for more gets these, and its reply
            says so. Unset takes the graph's own limit.
        history_tokens: tokens of earlier turns that are kept; older turns are dropped whole.
        question_tokens: most tokens of a question.
        allow_system: put system messages of clients above the graph's own prompt; else they stand below its rules.
        max_k: most hits that a search may ask for.
        max_documents: most documents of a request to rerank, and most texts of a request to embed.
        text_characters: most characters of one of these documents or texts.
        requests_per_minute: most requests of a key, or of an address where there are no keys; unset sets no limit.
        max_request_bytes: most bytes of a request.
        max_held_bytes: most bytes of all requests together that are read or answered.
        request_timeout_s: seconds that the body of a request may take to arrive.
        max_connections: most open connections, and at most half of the files that the process may open. Beyond it the
            one that has kept the server waiting longest is closed; where all have requests in work, a new one gets 503.
        head_timeout_s: seconds that the head of a request may take to arrive.
        idle_timeout_s: seconds for which a connection is kept open between two requests.
        reader_timeout_s: seconds for which a client may take nothing of a reply.
        keys_file: hashes of the keys that may ask (`rag keys`); the variable RAGLINE_KEYS may hold more. Without any,
            all may who reach the server.
        asker_header: name of the header in which the operator's proxy says who asks, as JSON; the proxy has to drop what
            clients send there. A key that is for somebody counts before it. Unset: no header is looked at, and requests
            without such a key read public documents alone.
        sessions_file: where conversations are kept; unset keeps none.
        log_file: where questions and answers are kept (`rag log`); unset keeps none.
        uploads: folder that takes files for the index, made where it is missing; unset takes none. Where there are keys, one
            that may write is asked for.
        max_file_bytes: most bytes of such a file.
        origins: origins of other sites whose pages may ask, such as https://chat.example.org.
        hosts: names that the server goes by; others are refused. Empty takes any.
        follow_s: seconds between two looks for a newer generation of the index, which is then served without a restart;
            the index that was served before is closed. Unset stays with the index as it was opened.
        down_s: seconds for which a part that did not answer is taken to be down, before it is tried again.
    """

    model: str = "ragline"
    max_batch: int = 32
    waiting_room: int = 64
    max_streams: int = 16
    max_tokens: int | None = None
    history_tokens: int = 1024
    question_tokens: int = 512
    allow_system: bool = False
    max_k: int = 100
    max_documents: int = 256
    text_characters: int = 32_000
    requests_per_minute: int | None = 600
    max_request_bytes: int = 4 * 2**20
    max_held_bytes: int = 256 * 2**20
    request_timeout_s: float = 30.0
    max_connections: int = 512
    head_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    reader_timeout_s: float = 60.0
    keys_file: Path | None = None
    asker_header: str | None = None
    sessions_file: Path | None = None
    log_file: Path | None = None
    uploads: Path | None = None
    max_file_bytes: int = 64 * 2**20
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    follow_s: float | None = None
    down_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.model or not self.model.isprintable():
            raise SpecError(f"serve: model must be a printable name, got {self.model!r}")
        if self.asker_header is not None and not _HEADER.fullmatch(self.asker_header):
            raise SpecError(
                f"serve: asker_header is the name of a header, such as X-Asker, got {self.asker_header[:80]!r}"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and value < (field.name != "history_tokens"):
                raise SpecError(f"serve: {field.name} must be at least 1, got {value}")
        if self.max_documents > LONGEST_LIST:
            raise SpecError(f"serve: max_documents may be at most {LONGEST_LIST:,}, got {self.max_documents:,}")
        largest = ["max_request_bytes", *(["max_file_bytes"] if self.uploads is not None else [])]
        for name in largest:
            if self.max_held_bytes < getattr(self, name):
                raise SpecError(
                    f"serve: max_held_bytes must be at least {name} ({getattr(self, name):,}), got "
                    f"{self.max_held_bytes:,}: a request of that size could never come"
                )
        for name in ("request_timeout_s", "head_timeout_s", "idle_timeout_s", "reader_timeout_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SpecError(f"serve: {name} must be above 0, got {getattr(self, name)}")
        if self.follow_s is not None and not 0 < self.follow_s < float("inf"):
            raise SpecError(f"serve: follow_s must be above 0, got {self.follow_s}")
        if "*" in self.origins:
            raise SpecError("serve: origins are named one by one; '*' would let every page on the web ask")
        if not 0 <= self.down_s < float("inf"):
            raise SpecError(f"serve: down_s must be 0 or above, got {self.down_s}")
