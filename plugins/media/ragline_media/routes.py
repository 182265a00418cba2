"""Bytes of contents over HTTP, for whoever may read a passage that holds them."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from fastapi.responses import Response

from rag.indexes import Index, contents_of, let_through
from ragline_media.figures.table import MEDIA_TYPE as TABLE
from ragline_serve.parts import ApiError, Host, refusals

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_KNOWN = frozenset(
    {f"image/{name}" for name in ("png", "jpeg", "webp", "gif")}
    | {f"audio/{name}" for name in ("mpeg", "wav", "ogg", "flac", "mp4", "webm", "x-matroska")}
    | {f"video/{name}" for name in ("mp4", "webm", "x-matroska")}
    | {TABLE}
)
"""Media types that are said. Of what says another one a browser is told bytes, which it shows nowhere."""
_BYTES = refusals(400, 404, 429, 500, 503) | {200: {"description": "Bytes", "content": {"*/*": {}}}}
_HEADERS = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
"""A browser asks again each time: what somebody may read can change. That they are not sniffed is said with every reply."""


def routes(host: Host) -> APIRouter:
    router = APIRouter(tags=["contents"])

    @router.get(
        "/v1/contents/{sha256}",
        summary="The bytes of a picture, a sound or a table",
        response_class=Response,
        responses=_BYTES
        | {206: {"description": "The stretch that was asked for"}, 416: {"description": "No such stretch"}},
    )
    def content(sha256: str, request: Request, model: str | None = None) -> Response:
        index, media_type = _found(host, request, sha256, model)
        return _ranged(contents_of(index).read(sha256), media_type, request.headers.get("range"))

    @router.get(
        "/v1/contents/{sha256}/thumbnail", summary="A small picture of it", response_class=Response, responses=_BYTES
    )
    def thumbnail(sha256: str, request: Request, model: str | None = None) -> Response:
        index, _ = _found(host, request, sha256, model)
        small = contents_of(index).thumbnail(sha256)
        if not small:
            raise _missing()
        return Response(small, media_type="image/webp", headers=_HEADERS)

    return router


def _found(host: Host, request: Request, sha256: str, model: str | None) -> tuple[Index, str]:
    """The index that keeps a content, and its media type, if whoever asks may read a passage that holds it.

    Raises:
        ApiError: there is none for them; whether there is one for others is not told.
    """
    index = host.pipeline(request, model).index
    if index is None or not _SHA256.fullmatch(sha256):
        raise _missing()
    rows = let_through(index, contents_of(index).rows(sha256), host.filter(request))
    if not rows:
        raise _missing()
    held = next(each for each in index.documents[rows[0]].contents if each.sha256 == sha256)
    return index, held.media_type if held.media_type in _KNOWN else "application/octet-stream"


def _missing() -> ApiError:
    return ApiError(404, "There is no such content.", code="no_content")


def _ranged(data: bytes, media_type: str, asked: str | None) -> Response:
    """All of it, or the one stretch that a player asks for (RFC 9110, section 14). Several at once are answered by all."""
    match = _RANGE.fullmatch(asked) if asked else None
    if match is None or not (match[1] or match[2]):
        return Response(data, media_type=media_type, headers=_HEADERS)
    if match[1]:
        first, last = int(match[1]), min(int(match[2]) if match[2] else len(data), len(data) - 1)
    else:
        first, last = max(0, len(data) - int(match[2])), len(data) - 1
    if first > last:
        return Response(status_code=416, headers={**_HEADERS, "Content-Range": f"bytes */{len(data)}"})
    stretch = {**_HEADERS, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
    return Response(data[first : last + 1], status_code=206, media_type=media_type, headers=stretch)
