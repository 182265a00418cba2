"""The log of questions, as the chat endpoint writes it, and /v1/feedback."""

from __future__ import annotations

import logging
import sqlite3
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from rag import Asker
from rag.doors import answer_json
from rag.files import LONGEST_COMMENT, QuestionLog, UnknownEntry
from rag.types import Answer
from ragline_serve.service.askers import asker_of, keep
from ragline_serve.service.replies import ApiError
from ragline_serve.service.service import Service
from ragline_serve.service.services import Services
from ragline_serve.service.wire.forms import Form, refusals

logger = logging.getLogger(__name__)


class FeedbackRequest(Form):
    """`entry`: of the `ragline` object of the answer. `good`: null takes back what was said."""

    entry: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    good: bool | None = Field(description="Whether the answer was good; null takes it back.")
    comment: Annotated[str, StringConstraints(max_length=LONGEST_COMMENT)] = ""


async def logged(
    log: QuestionLog | None, answer: Answer, service: Service, *, asker: Asker | None, seconds: float
) -> str | None:
    """The id of an entry that is kept now; None where no log is kept, or it cannot be written, which is logged."""
    if log is None:
        return None
    write = partial(keep, log, answer_json(answer), service.pipeline.index, door="serve", graph=service.settings.model)
    return await run_sync(partial(write, asker=asker, seconds=seconds))


def router(services: Services, log: QuestionLog | None) -> APIRouter:
    """The endpoint that takes what whoever asked says of an answer."""
    routes = APIRouter(tags=["chat"])

    @routes.post(
        "/v1/feedback",
        summary="Say whether an answer was good",
        status_code=204,
        responses=refusals(400, 404, 429, 503),
    )
    async def feedback(body: FeedbackRequest, request: Request) -> Response:
        if log is None:
            raise ApiError(404, "This server keeps no questions: it does with --log FILE.", code="no_log")
        rate = partial(log.rate, body.entry, good=body.good, comment=body.comment, asker=asker_of(request.scope))
        try:
            await services.first.checks(rate)
        except UnknownEntry:
            raise ApiError(404, "No such answer of yours is kept.", param="entry", code="unknown_entry") from None
        except sqlite3.Error as error:
            logger.error("the file of questions failed: %s", type(error).__name__)
            raise ApiError(
                503, "The file of questions cannot be written now. Try again later.", code="log_unavailable"
            ) from None
        return Response(status_code=204)

    return routes
