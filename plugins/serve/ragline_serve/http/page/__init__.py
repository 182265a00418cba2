"""The built-in page at `/`: plain HTML, CSS and JavaScript that talk to `/v1/chat/completions` like any other client.

Nothing is built and nothing is fetched from elsewhere; the policy that `ragline_serve.service.walls` sends along lets a
browser load and run only what this server sends. Addresses in the page are relative, so an application may mount the server
under any path.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, JSONResponse

from rag.doors import Registry

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {"Cache-Control": "no-cache"}
"""A browser may keep the page and asks whether it is still the same. What else is sent is every response's."""

PAGES = Registry("page", {})
"""Name -> a package with `page.js`, whose default export is called with what a plug-in may add (`parts.js`), with what that
imports, and `page.css` if it likes."""


def parts_of(folder: Path) -> dict[str, Path]:
    """The files of a folder that a page is made of, by their names.

    Raises:
        ValueError: a name has other characters than ASCII letters, digits, -, _ and dots.
    """
    found = {path.name: path for path in sorted(folder.iterdir()) if path.suffix in TYPES}
    if strange := [name for name in found if not re.fullmatch(r"[\w-]+(\.[\w-]+)+", name, re.ASCII)]:
        raise ValueError(f"a file of a page is named by ASCII letters, digits, -, _ and dots, not {strange[0]!r}")
    return found


def _added(name: str, package: ModuleType) -> dict[str, Path]:
    """The files of a plug-in, in a folder of its name."""
    found = parts_of(Path(package.__path__[0]))
    if "page.js" not in found or not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise ValueError("a part of the page has a page.js, and a name of ASCII letters, digits, - and _")
    return {f"{name}/{each}": path for each, path in found.items()}


def router() -> APIRouter:
    """The page, and what plug-ins add to it. One that cannot be served is told in the log and left out."""
    routes, parts = APIRouter(include_in_schema=False), parts_of(HERE)
    for more in PAGES.each(_added):
        parts |= more
    begun = [name for name in parts if name.endswith(("/page.css", "/page.js"))]

    @routes.get("/")
    def index() -> FileResponse:
        """The page."""
        return FileResponse(HERE / "index.html", media_type="text/html", headers=HEADERS)

    @routes.get("/page/parts.json")
    def begin() -> JSONResponse:
        """The styles and scripts that plug-ins add."""
        return JSONResponse(begun, headers=HEADERS)

    @routes.get("/page/{name:path}")
    def part(name: str) -> FileResponse:
        """Style, scripts and icon, by name from a fixed table: no part of the address becomes a path."""
        if name not in parts:
            raise HTTPException(404, "the page has no such part")
        return FileResponse(parts[name], media_type=TYPES[parts[name].suffix], headers=HEADERS)

    return routes
