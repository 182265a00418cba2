"""Tables in an index: who may read them, what becomes of them, and where people and programs see them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from starlette.testclient import TestClient

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.media.tests.tabled import PARTS, data_uri, odf, odf_table, web, web_table, word_table
from plugins.media.tests.test_page import complaints_of
from plugins.serve.tests.mcp.calling import called, refused
from plugins.serve.tests.served import served
from plugins.serve.tests.walled import client
from rag import Asker, build_index, load_pipeline
from rag.graphs import load_spec
from rag.indexes import LocalIndex, contents_of
from rag.types import Content, Query
from ragline_media.figures.table import csv_of, rows_of
from ragline_serve import ServeSettings, create_app
from ragline_serve.mcp.server import create_server
from tests.browser import PATIENCE_MS, keep
from tests.scripted_graph import graph

SECRET = [["name", "salary"], ["Ann", "90"], ["Bob", "\u202e80"]]
LONG = [["n", "square"], *([str(n), str(n * n)] for n in range(900))]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page for all, with a picture, and a text for Ann alone."""
    home = tmp_path_factory.mktemp("tables")
    (home / "docs").mkdir()
    picture = data_uri(encoded(drawings(1)[0].picture(120)))
    squares = f"<p>Table 2: squares</p>{web_table(LONG)}"
    (home / "docs" / "parts.html").write_bytes(
        web(f'<p>A red disc</p><p><img src="{picture}"></p>', web_table(caption="All parts of the pump"), squares)
    )
    (home / "docs" / "pay.odt").write_bytes(odf(f"<text:p>What people earn</text:p>{odf_table(SECRET)}"))
    (home / "docs" / "order.docx").write_bytes(word_table())
    labels = [
        {"id": "docs/parts.html", "public": True},
        {"id": "docs/order.docx", "public": True},
        {"id": "docs/pay.odt", "tenant": "north", "users": ["ann"]},
    ]
    (home / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    models = {"tower": str(random_tower(home / "tower")), "encoder": str(random_encoder(home / "encoder"))}
    spec = load_spec(graph() | {"index": {"pictures": models, "reading": {"figures": True}}})
    report = build_index(
        home / "docs", home / "idx", settings=spec.graph.index, legs=("lexical",), labels=home / "labels.jsonl"
    )
    assert (report.legs, report.counts["pictures"]) == (("lexical", "pictures"), {"n_seen": 1}), "a table is no picture"
    return home / "idx"


@pytest.fixture
def asking(index: Path) -> Iterator[TestClient]:
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, asker_header="X-Asker") as made:
        yield made


def tables_of(index: Path) -> dict[str, Content]:
    with LocalIndex.open(index) as opened:
        held = ((each.doc_id, content) for each in opened.documents for content in each.contents)
        return {doc_id: content for doc_id, content in held if content.kind == "table"}


ANN = {"X-Asker": json.dumps({"user": "ann", "tenant": "north"})}


def test_a_table_is_kept_beside_its_rows(index: Path) -> None:
    found = tables_of(index)
    assert {*found} == {
        f"docs/{name}" for name in ("parts.html@table1", "parts.html@table2", "pay.odt@table1", "order.docx@table1")
    }
    with LocalIndex.open(index) as opened:
        store = contents_of(opened)
        content = found["docs/parts.html@table1"]
        assert rows_of(store.read(content.sha256)) == PARTS
        assert store.thumbnail(content.sha256) == b""
        assert {opened.documents[row].parent for row in store.rows(content.sha256)} == {
            "docs/parts.html",
            "docs/order.docx",
        }
        assert any("part: pump; price: 20" in each.text for each in opened.documents if not each.contents)
    with load_pipeline(graph(), index=index) as pipeline:
        assert "docs/order.docx@table1" in pipeline.search("Table 1 parts and prices").doc_ids


def test_its_bytes_are_for_whoever_may_read_it(asking: TestClient, index: Path) -> None:
    found = tables_of(index)
    parts, pay = (found[f"docs/{name}@table1"].sha256 for name in ("parts.html", "pay.odt"))
    reply = asking.get(f"/v1/contents/{parts}")
    assert (reply.status_code, reply.content) == (200, csv_of(PARTS))
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert asking.get(f"/v1/contents/{parts}/thumbnail").json()["error"]["code"] == "no_content"
    assert asking.get(f"/v1/contents/{pay}").json()["error"]["code"] == "no_content"
    assert asking.get(f"/v1/contents/{pay}", headers=ANN).content == csv_of(SECRET)


def test_nobody_asks_with_a_table_for_a_picture(index: Path) -> None:
    sha256 = tables_of(index)["docs/parts.html@table1"].sha256
    asked = Content(kind="picture", uri=f"sha256:{sha256}", sha256=sha256)
    only = graph() | {"nodes": {"found": {"use": "retrieve.pictures", "in": "query", "k": 3}}, "output": "found"}
    with load_pipeline(only, index=index) as pipeline, pytest.raises(Exception, match="is no picture"):
        pipeline.search(Query(qid="1", text="", contents=(asked,)))


def test_an_erased_document_takes_its_tables(index: Path, tmp_path: Path) -> None:
    import shutil

    from rag.erasure import erase_from_index

    shutil.copytree(index, tmp_path / "idx")
    receipt = erase_from_index(["docs/pay.odt"], tmp_path / "idx", most_lost=1.0, wait_s=0)
    assert receipt.clean
    left = b"".join(each.read_bytes() for each in (tmp_path / "idx").rglob("*") if each.is_file())
    assert csv_of(SECRET) not in left
    assert csv_of(PARTS) in left, "another document has the same"
    assert "docs/pay.odt@table1" not in tables_of(tmp_path / "idx")


def read_table(server: Any, **arguments: Any) -> str:
    async def call() -> Any:
        async with Client(server) as client:
            return await client.call_tool("read_table", arguments)

    [block] = asyncio.run(call()).content
    return str(block.text)


def test_a_client_reads_a_table_and_goes_on_where_it_ended(index: Path) -> None:
    found = tables_of(index)
    with load_pipeline(graph(), index=index) as pipeline:
        server = create_server(pipeline)
        hits = called(server, "search", query="all parts of the pump")["hits"]
        hit = next(each for each in hits if each["doc_id"] == "docs/parts.html@table1")
        assert hit["contents"][0]["kind"] == "table"
        said = read_table(server, sha256=hit["contents"][0]["sha256"])
        assert said == csv_of(PARTS).decode()
        long, begun = found["docs/parts.html@table2"].sha256, 0
        rows = list[list[str]]()
        while True:
            said = read_table(server, sha256=long, start=begun)
            csv, more, start = said.partition("... ")
            rows += rows_of(csv.encode())
            if not more:
                break
            begun = int(start.rpartition("=")[2])
            assert len(rows) == begun
        assert rows == LONG
        for sha256 in (found["docs/pay.odt@table1"].sha256, "0" * 64):
            assert "no such table that you may read" in refused(server, "read_table", sha256=sha256)
        ann = create_server(pipeline, asker=Asker(user="ann", tenant="north"))
        assert read_table(ann, sha256=found["docs/pay.odt@table1"].sha256) == csv_of(SECRET).decode()


def test_a_search_prints_its_first_rows(index: Path) -> None:
    asked = ["--graph", "bm25", "--no-server", "--index", str(index), "--as", ANN["X-Asker"]]
    done = subprocess.run(
        [sys.executable, "-m", "rag", "search", "what people earn", *asked], capture_output=True, timeout=300
    )
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stderr.decode()
    place = next(at for at, line in enumerate(lines) if "[table text/csv" in line)
    assert lines[place + 1 : place + 4] == ["     name | salary", "     Ann | 90", "     Bob |  80"], (
        "nothing turns the line"
    )


def test_a_question_is_no_table(index: Path) -> None:
    from rag.doors import content_of_request

    with pytest.raises(ValueError, match="no content of kind 'table' is taken here"):
        content_of_request({"kind": "table", "media_type": "text/csv", "data": "YQ=="})


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_a_cited_table_is_shown_as_one(browser: Any, index: Path, width: int, scheme: Any) -> None:
    from playwright.sync_api import expect

    asked = {"replies": ["It costs twenty [1]."]}
    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph(**asked), index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(
            closing(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
        )
        page.set_default_timeout(PATIENCE_MS)
        complaints = complaints_of(page)
        page.goto(server.url)
        page.get_by_label("Question").fill("all parts of the pump")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        table = page.locator("#passage-text .media-table table")
        expect(table.locator("caption")).to_have_text("All parts of the pump")
        assert table.locator("th[scope=col]").all_text_contents() == PARTS[0]
        assert [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()] == PARTS[1:]
        assert table.locator("td b").count() == 0, "what looks like markup is text"
        with page.expect_download() as kept:
            page.get_by_role("link", name="Save as CSV").click()
        assert Path(kept.value.path()).read_bytes() == csv_of(PARTS)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is wider than the page"
        keep(page, f"a-table-{width}-{scheme}")
        assert complaints == []
