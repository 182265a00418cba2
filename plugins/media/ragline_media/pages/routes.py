"""The page of a passage over HTTP: where it stands, and the page as a picture, for those who may read all that stands on it."""

from __future__ import annotations

import threading
from base64 import b64decode
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from rag.indexes import HasParts, Index, LocalIndex, let_through
from rag.reading import Reader, ReadError
from rag.types import Document
from ragline_media.pages.drawing import is_drawn
from ragline_media.pages.finding import scanned_lines
from ragline_serve.parts import ApiError, Host, refusals

AT_ONCE = 2
"""Pictures that are drawn at the same time; others wait."""

_NEAR = 100
"""Passages on each side that are looked at for those of the same pages."""
_MOST_PAGES = 5
"""Before and behind the page of a passage, on which it may stand as well."""
_DRAWN = "ragline_media.pages.drawing:drawn"
_MARKED = "ragline_media.pages.drawing:marked"

PassageId = Annotated[
    str, Field(min_length=1, max_length=2_000, description="Of a passage, as hits and sources have it.")
]


class MarkRequest(BaseModel):
    """Which passage, and which words of it."""

    model_config = ConfigDict(extra="forbid")
    id: PassageId
    text: str = Field(default="", max_length=8_000, description="Words to mark; without any, all of the passage.")
    model: str | None = None


class MarkBox(BaseModel):
    """A stretch of a line: points from the left and from the top of the page as it is shown."""

    left: float
    top: float
    right: float
    bottom: float


class MarkedPage(BaseModel):
    """A page on which words stand, counted from 1; its width and height in points."""

    page: int
    width: float
    height: float
    boxes: list[MarkBox]


class MarkReply(BaseModel):
    """Pages on which the words stand, in order; the page of the passage, without boxes, where they stand on none."""

    n_pages: int
    pages: list[MarkedPage]


class _Place:
    """Where a passage stands for whoever asks: its file, and the pages that it may stand on.

    Raises:
        ApiError: there is no such passage for them, it is on no page, or they may not read all of its pages.
    """

    def __init__(self, host: Host, request: Request, passage: str, model: str | None) -> None:
        index = host.pipeline(request, model).index
        row = _row_of(passage, index)
        if index is None or row < 0 or not let_through(index, [row], host.filter(request)):
            raise ApiError(404, "There is no such passage that you may read.", param="id", code="unknown_passage")
        self.document = index.documents[row]
        self.page = _page_of(self.document)
        origin = _file_of(index, row)
        if self.page is None or origin is None or not is_drawn(origin[0]):
            raise ApiError(404, "This passage stands on no page of a PDF file.", param="id", code="no_page")
        self.file, self.sha256 = origin
        self.pages = self._readable(host, request, index, row)

    def _readable(self, host: Host, request: Request, index: Index, row: int) -> list[int]:
        """Pages from that of the passage before to that of the passage behind, without those of which others hold what whoever
        asks may not read."""
        near = range(max(0, row - _NEAR), min(len(index.documents), row + _NEAR + 1))
        documents = dict(zip(near, index.documents.many(near), strict=True))
        same = {at: _page_of(each) or 0 for at, each in documents.items() if each.parent == self.document.parent}
        allowed = {*let_through(index, [*same], host.filter(request))}
        hidden = {page for at, page in same.items() if at not in allowed}
        assert self.page is not None
        first = max(same.get(row - 1, 1), self.page - _MOST_PAGES, 1)
        last = min(same.get(row + 1, self.page + _MOST_PAGES), self.page + _MOST_PAGES)
        before = [*takewhile(lambda page: page not in hidden, range(self.page, first - 1, -1))]
        behind = [*takewhile(lambda page: page not in hidden, range(self.page, last + 1))]
        return sorted({*before, *behind})


def routes(host: Host) -> APIRouter:
    router, drawing = APIRouter(tags=["contents"]), _Drawing()

    @router.post(
        "/v1/pages",
        summary="The pages on which words of a passage stand, and where",
        response_model=MarkReply,
        responses=refusals(400, 404, 429, 500, 503),
    )
    def marked(body: MarkRequest, request: Request) -> dict[str, Any]:
        place = _Place(host, request, body.id, body.model)
        passage = place.document.text
        asked = {"words": body.text or passage, "passage": passage, "scanned": [*scanned_lines(place.document)]}
        told = drawing(place, _MARKED, pages=place.pages, **asked)
        shown = [page for page in told["pages"] if page["boxes"]]
        shown = shown or [page for page in told["pages"] if page["page"] == place.page]
        keys = ("left", "top", "right", "bottom")
        boxed = [page | {"boxes": [dict(zip(keys, box, strict=True)) for box in page["boxes"]]} for page in shown]
        return {"n_pages": told["n_pages"], "pages": boxed}

    @router.get(
        "/v1/pages/picture",
        summary="A page of a PDF as a picture",
        response_class=Response,
        responses=refusals(400, 404, 429, 500, 503) | {200: {"description": "WebP", "content": {"image/webp": {}}}},
    )
    def picture(
        request: Request, id: Annotated[str, Query(min_length=1, max_length=2_000)], page: int, model: str | None = None
    ) -> Response:
        place = _Place(host, request, id, model)
        if page not in place.pages:
            raise ApiError(404, "The passage does not stand on this page.", param="page", code="no_page")
        data = b64decode(drawing(place, _DRAWN, page=page)["picture"])
        return Response(data, media_type="image/webp", headers={"Cache-Control": "private, no-cache"})

    return router


class _Drawing:
    """Draws in processes that are bounded, and kept for the next page."""

    def __init__(self) -> None:
        self._reader, self._turns = Reader(), threading.BoundedSemaphore(AT_ONCE)

    def __call__(self, place: _Place, function: str, **asked: Any) -> dict[str, Any]:
        """What a function makes of the file of a passage.

        Raises:
            ApiError: the file is gone, is another one now, or cannot be drawn.
        """
        try:
            with self._turns:
                made: dict[str, Any] = self._reader.call(function, place.file, sha256=place.sha256, **asked)
        except OSError:
            raise ApiError(
                404, "The file of this passage is not where it was when it was indexed.", code="file_gone"
            ) from None
        except ReadError as cause:
            raise ApiError(404, f"The page cannot be shown: {cause}.", code="page_not_drawn") from None
        return made


def _row_of(passage: str, index: Index | None) -> int:
    """The row of a passage; -1 where there is none."""
    try:
        return -1 if index is None else index.documents.row(passage)
    except KeyError:
        return -1


def _file_of(index: Index, row: int) -> tuple[Path, str] | None:
    """Where the file of a row lay when it was read, and its sha256; of several indexes searched as one, by that of the row."""
    if isinstance(index, HasParts):
        for part in index.parts.values():
            if row < len(part):
                return _file_of(part, row)
            row -= len(part)
    return index.file_of(row) if isinstance(index, LocalIndex) else None


def _page_of(document: Document) -> int | None:
    page = document.metadata.get("page")
    return page if isinstance(page, int) else None
