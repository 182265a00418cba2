"""The log of questions, as servers write it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from rag import Asker
from rag.files import Entry, QuestionLog
from rag.indexes import Index

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
