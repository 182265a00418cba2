"""A package that adds one of everything that serves: a route, a tool, a part of the page, a kind of content, an option."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rag.commands import ASKING
from rag.core import plugins
from rag.doors import CONTENTS
from ragline_serve.parts import PAGES, ROUTES, TOOLS
from rerankers import RERANKERS

TABLES = (ASKING, CONTENTS, PAGES, RERANKERS, ROUTES, TOOLS)

SERVING = {
    "toy/__init__.py": "",
    "toy/film.py": '''
from dataclasses import replace
from hashlib import sha256
from rag.ranking import ranked
from rag.types import Content, Ranking, ScoredDocument

def film(title):
    return Content(kind="film", uri=f"memory:{title}", sha256=sha256(title.encode()).hexdigest(), text=title)

class Film:
    """A film, by its title."""
    @staticmethod
    def shown(content):
        return {"kind": "film", "title": content.text}
    @staticmethod
    def read(data):
        if set(data) != {"kind", "title"} or not isinstance(data["title"], str):
            raise ValueError("a film has a title, and nothing else")
        return film(data["title"])

class FilmReranker:
    """Passages that have the title of a film of the question first; each shows the films that it was asked with."""
    reads = frozenset({"text", "film"})
    def rerank(self, rankings: "Sequence[Ranking]", *, k: int) -> list[Ranking]:
        """Same documents, in another order."""
        return [Ranking(query=r.query, hits=ranked([_scored(h, r.query.contents) for h in r.hits], k=k)) for r in rankings]

def _scored(hit, films):
    document = replace(hit.document, contents=films)
    return ScoredDocument(document=document, score=float(sum(film.text in document.text for film in films)))

from collections.abc import Sequence
''',
    "toy/routes.py": """
from fastapi import APIRouter, Request
from pydantic import BaseModel
from ragline_serve.parts import ApiError, Host
from rag.types import Query

class Toys(BaseModel):
    ids: list[str]

def routes(host: Host) -> APIRouter:
    router = APIRouter(tags=["toys"])

    @router.get("/v1/toys/{word}", summary="Passages with a word", response_model=Toys)
    def toys(word: str, request: Request, where: str | None = None, model: str | None = None) -> Toys:
        if word == "forbidden":
            raise ApiError(403, "No such toys.", code="no_toys")
        if word == "broken":
            raise RuntimeError("a secret path")
        pipeline = host.pipeline(request, model)
        ranking = pipeline.search(Query(qid="1", text=word, where=host.filter(request, where)))
        return Toys(ids=[hit.doc_id for hit in ranking.hits])

    @router.post("/v1/toys", summary="Bring a toy")
    def bring(toy: dict[str, str]) -> dict[str, int]:
        return {"n": len(toy)}

    return router
""",
    "toy/tools.py": '''
from __future__ import annotations
from typing import Annotated
from pydantic import Field
from rag import Pipeline, Query
from rag.filters import Filter
from ragline_serve.parts import ApiError

Word = Annotated[str, Field(max_length=40, description="a word")]

class Count:
    title = "Count passages"
    @staticmethod
    def offered(pipeline: Pipeline) -> bool:
        return pipeline.index is not None
    @staticmethod
    def call(pipeline: Pipeline, where: Filter | None, word: Word) -> dict[str, int]:
        """Count the passages of a word that whoever asks may read."""
        if word == "refused":
            raise ApiError(400, "this word is not counted: choose another")
        if word == "broken":
            raise RuntimeError("a secret path")
        return {"n": len(pipeline.search(Query(qid="1", text=word, where=where)).hits)}

class Never(Count):
    @staticmethod
    def offered(pipeline):
        return False
''',
    "toy/asking.py": """
from toy.film import film

class Options:
    @staticmethod
    def options(parser):
        parser.add_argument("--film", metavar="TITLE", help="a film that is asked about")
        parser.add_argument("--only", metavar="SOURCE", help="of this file alone")
    @staticmethod
    def contents(given):
        if given.film == "none":
            raise OSError("there is no such film")
        return [film(given.film)] if given.film else []
    @staticmethod
    def where(given):
        return [f'source = "{given.only}"'] if given.only else []
""",
    "toy/page/__init__.py": "",
    "toy/page/page.css": ".toy { color: green }\n",
    "toy/page/page.js": """
import { titleOf } from "./titles.js";

export default function (page) {
  page.drawPassage((source) => {
    if (source.title === "Illness") throw new Error("no drawing of this one");
    const drawing = document.createElement("p");
    drawing.className = "toy";
    drawing.textContent = titleOf(source);
    return source.contents ? drawing : null;
  });
  const element = document.createElement("input");
  element.ariaLabel = "Film";
  page.addInput({
    element,
    contents: () => (element.value ? [{ kind: "film", title: element.value }] : []),
    clear: () => (element.value = ""),
  });
}
""",
    "toy/page/titles.js": "export const titleOf = ({ contents = [] }) => `Films: ${contents.map(({ title }) => title).join()}`;\n",
    "toy-1.0.dist-info/METADATA": "Name: ragline-toy\nVersion: 1.0\n",
    "toy-1.0.dist-info/entry_points.txt": """
[ragline.rerank]
film = toy.film:FilmReranker
[ragline.content]
film = toy.film:Film
[ragline.route]
toys = toy.routes:routes
[ragline.tool]
count = toy.tools:Count
never = toy.tools:Never
[ragline.page]
toy = toy.page
[ragline.asking]
film = toy.asking:Options
""",
}
POINTS = "toy-1.0.dist-info/entry_points.txt"


def write(site: Path, changes: dict[str, str] | None = None) -> Path:
    """Install it there, with other texts of some files."""
    for name, text in (SERVING | (changes or {})).items():
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return site


@contextmanager
def installed(site: Path, changes: dict[str, str] | None = None) -> Iterator[Path]:
    """Installed for this process too, as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(write(site, changes))
        for table in TABLES:
            patch.setattr(table, "_table", dict(table._table))
        _forget()
        try:
            yield site
        finally:
            patch.undo()
            _forget()


def _forget() -> None:
    for cached in (plugins.all_shipped, plugins.shipped, plugins.shipped_files):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]
