"""What the page is made of, without a browser: which files are served, and that none of them needs more than they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ragline_serve.http import page
from ragline_serve.service.walls import HEADERS, SafeHeaders

PARTS = page.parts_of(page.HERE)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(page.router())
    app.add_middleware(SafeHeaders)
    with TestClient(app) as made:
        yield made


def test_the_page_and_all_that_it_names_are_served_with_its_policy(client: TestClient) -> None:
    index = client.get("/")
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(page/[^"]+)"', index.text)
    assert sorted(named) == ["page/icon.svg", "page/page.css", "page/page.js"]
    for path in ["", *named, *(f"page/{name}" for name in PARTS)]:
        response = client.get(f"/{path}")
        assert response.status_code == 200
        wanted = HEADERS | {b"cache-control": b"no-cache"}
        for name, value in wanted.items():
            assert response.headers[name.decode()] == value.decode()
    assert set(page.HEADERS) == {"Cache-Control"}, "one policy, in one place"


def test_scripts_import_only_scripts_that_are_there() -> None:
    for part in PARTS.values():
        for name in re.findall(r'from "([^"]+)"', part.read_text(encoding="utf-8") if part.suffix == ".js" else ""):
            assert name.removeprefix("./") in PARTS


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "__init__.py", "..%2F__init__.py", "%2Fetc%2Fpasswd"])
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize("name", ["index.html", *sorted(PARTS)])
def test_no_part_holds_inline_code_or_an_address_elsewhere_or_writes_markup(name: str) -> None:
    text = (page.HERE / name).read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|//\w+\.\w|@import", text.replace("// ", ""))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc", text)
    if name == "index.html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]* src=)", text)
