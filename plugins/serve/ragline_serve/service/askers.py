"""Who a request over HTTP is asked by: whom its key is for, or whom the proxy in front names in its header; and the log of it.

A client cannot say it: a header is looked at only where the operator named it, whose proxy has to drop what clients send
there. A key that is for somebody is for nobody else, whatever a header says.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from hashlib import sha256
from json import dumps
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from rag import Asker
from rag.errors import SpecError
from rag.files import Entry, QuestionLog
from rag.filters import Filter, asked_by, asker_of_text
from rag.indexes import Index
from rag.types import Where
from ragline_serve.service.replies import ApiError

LONGEST_HEADER = 65_536


def asker_in(headers: Sequence[tuple[bytes, bytes]], name: str | None) -> Asker | None:
    """Whom the header of this name says; None where it is missing, or none was named.

    Raises:
        ApiError: it comes twice, or is no asker.
    """
    if name is None:
        return None
    values = [value for key, value in headers if key == name.lower().encode("latin-1")]
    if not values:
        return None
    try:
        if len(values) > 1 or len(values[0]) > LONGEST_HEADER:
            raise SpecError("it comes more than once, or is too long")
        return asker_of_text(values[0].decode())
    except (SpecError, UnicodeDecodeError):
        raise ApiError(400, "The header that says who asks cannot be understood.", code="invalid_asker") from None


def asker_of(scope: Scope) -> Asker | None:
    """Who asks; None where nobody says it."""
    asker: Asker | None = scope.get("state", {}).get("asker")
    return asker


def writer_of(scope: Scope) -> Asker | None:
    """Who writes; None for whoever keeps the index, whose key is for nobody where no header says who asks."""
    writer: Asker | None = scope.get("state", {}).get("writer")
    return writer


def asked_in(request: Request, where: Where | None) -> Filter | None:
    """A request's filter, with who asks."""
    return asked_by(asker_of(request.scope), where)


def owner_of(request: Request) -> str:
    """Whose conversations these are: the hash of the request's key, empty where the server has no keys, and who asks."""
    owner, asker = str(getattr(request.state, "owner", "")), asker_of(request.scope)
    if asker is None:
        return owner
    whose = [owner, asker.user, asker.tenant, *(() if asker.user else asker.groups)]
    return sha256(dumps(whose).encode()).hexdigest()


logger = logging.getLogger(__name__)


def keep(
    log: QuestionLog,
    answer: Mapping[str, Any],
    index: Index | None,
    *,
    door: str,
    graph: str,
    asker: Asker | None,
    seconds: float,
) -> str | None:
    """Write an answer as plain data (`rag.pipeline.as_json.answer_json`) down: its id in the log.

    None where it cannot be written, which is logged: the answer is given all the same.
    """
    generation = "" if index is None else index.identity[:16]
    entry = Entry.of(answer, asker=asker, seconds=round(seconds, 3), door=door, graph=graph, generation=generation)
    try:
        return log.add(entry)
    except sqlite3.Error as error:
        logger.error("a question was not kept: %s", type(error).__name__)
        return None
