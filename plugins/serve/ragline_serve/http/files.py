"""/v1/files: a file that comes into the index as those of a folder do, where the operator names a folder for such files.

The file is kept in that folder, which is a source of the index. So it is read like every other file, with its pages and
headings, and `rag index`, `rag remove` and `rag erase` know it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from rag import build_index
from rag.doors import IndexReport, disk_is_full, is_file_name
from rag.errors import NoRoom, SpecError
from rag.indexes import Index, LocalIndex, is_labelled
from ragline_serve.http.documents import Changes, DocumentsReply
from ragline_serve.service.replies import ApiError
from ragline_serve.service.walls import FILES
from ragline_serve.service.wire.forms import refusals


class Uploads:
    """The folder that takes files, and who may bring some.

    Args:
        folder: made where it is missing; unset takes none.
        to_all: whoever reaches the server may, for it has no keys. Else a key must be one that may write.
    """

    def __init__(self, changes: Changes, *, folder: Path | None, to_all: bool) -> None:
        self._changes, self._folder, self._to_all = changes, folder, to_all

    def offered(self, request: Request, model: str | None) -> bool:
        """Whether who asks may bring files for the index of a graph."""
        if self._folder is None or not (self._to_all or self._changes.may(request)):
            return False
        return takes_files(self._changes.of(request, model))

    async def take(self, request: Request, name: str, *, model: str | None, instead: bool) -> Response:
        """Keep the body of a request as a file of this name, and bring the index up to date.

        Raises:
            ApiError: no files are taken here, or this one is not; nothing was changed then.
        """
        folder = self._folder
        if folder is None:
            raise ApiError(
                403,
                "This server takes no files. The operator names a folder for them: rag serve --uploads FOLDER.",
                code="no_uploads",
            )
        if not self._to_all:
            self._changes.require_right(request)
        if not is_file_name(name):
            raise ApiError(
                400,
                "Nothing reads a file of this name. A name has no slash and no dot in front, and the ending of a kind that "
                "is read, such as .pdf or .md.",
                code="bad_file_name",
            )
        content = await request.body()

        def change(index: LocalIndex, _: object) -> IndexReport:
            if not takes_files(index):
                raise SpecError("this index says who may read each document, and a file does not say it")
            if (folder / name).exists() and not instead:
                raise ApiError(409, f"There is a file '{name}' already.", code="file_exists")
            own = f"{folder.name}/{name}"
            try:
                with kept(folder, name, content):
                    report = build_index(folder, index.name)
                    if own in report.unread:
                        raise Unread(next(str(each) for each in report.problems if each.name == own))
            except Unread:
                if instead:
                    build_index(folder, index.name)  # what it was to take the place of
                raise
            return replace(report, ids=(own,))

        return await self._changes.make(request, model, change)


def takes_files(index: Index | None) -> bool:
    """Whether files can come into an index: it lies in a directory, and shows all of its documents to everybody."""
    return isinstance(index, LocalIndex) and not is_labelled(index)


class Unread(SpecError):
    """The file came and nothing of it is in the index."""


@contextmanager
def kept(folder: Path, name: str, content: bytes) -> Iterator[None]:
    """A file under this name; what was there before comes back if what is done with it fails."""
    place, new, before = folder / name, folder / f".{name}.new", folder / f".{name}.before"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new.write_bytes(content)
        before.unlink(missing_ok=True)
        if place.exists():
            shutil.copy2(place, before)
        os.replace(new, place)
    except OSError as error:
        new.unlink(missing_ok=True)
        if not disk_is_full(error):
            raise
        raise NoRoom(f"no room to keep the file '{name}'") from error
    try:
        yield
    except BaseException:
        if before.exists():
            os.replace(before, place)
        else:
            place.unlink(missing_ok=True)
        raise
    before.unlink(missing_ok=True)


def router(uploads: Uploads) -> APIRouter:
    routes = APIRouter(tags=["documents"])

    @routes.post(
        FILES,
        summary="Add a file, or put it in the place of one of its name",
        response_model=DocumentsReply,
        responses=refusals(400, 403, 404, 409, 413, 500, 503, 507),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def come(request: Request, name: str, model: str | None = None, replace: bool = False) -> Response:
        return await uploads.take(request, name, model=model, instead=replace)

    return routes
