"""The built-in page at `/`: plain HTML, CSS and JavaScript that talk to `/v1/chat/completions` like any other client.

Nothing is built and nothing is fetched from elsewhere; the policy that `rag.service.walls` sends along lets a browser load
and run only what this server sends. Addresses in the page are relative, so an application may mount the server under any path.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PARTS = {path.name: path for path in sorted(HERE.iterdir()) if path.suffix in TYPES}
HEADERS = {"Cache-Control": "no-cache"}
"""A browser may keep the page and asks whether it is still the same. What else is sent is every response's."""

router = APIRouter(include_in_schema=False)


@router.get("/")
def index() -> FileResponse:
    """The page."""
    return FileResponse(HERE / "index.html", media_type="text/html", headers=HEADERS)


@router.get("/page/{name}")
def part(name: str) -> FileResponse:
    """Style, scripts and icon, by name from a fixed table: no part of the address becomes a path."""
    if name not in PARTS:
        raise HTTPException(404, "the page has no such part")
    return FileResponse(PARTS[name], media_type=TYPES[PARTS[name].suffix], headers=HEADERS)
