"""The page of a passage over HTTP: who gets it, and what is told where there is none."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from plugins.media.tests.printed import LEFT, baseline, printed
from plugins.serve.tests.walled import client
from rag import build_index, load_pipeline
from rag.indexes import LocalIndex
from tests.scripted_graph import graph

RULES = [["Rules of the house", "All begin at nine."], ["Paid leave is thirty days a year. Ask early."]]
SECRET = [["The merger is on Friday."]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "manuals"
    home.mkdir()
    (home / "rules.pdf").write_bytes(printed(RULES))
    (home / "merger.pdf").write_bytes(printed(SECRET))
    (home / "notes.md").write_text("Paid leave is nice.\n")
    labels = [
        {"id": "manuals/rules.pdf", "public": True},
        {"id": "manuals/notes.md", "public": True},
        {"id": "manuals/merger.pdf", "tenant": "north", "users": ["ann"]},
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    build_index(home, tmp_path / "idx", legs=("lexical",), labels=tmp_path / "labels.jsonl")
    return tmp_path


@pytest.fixture
def asking(folder: Path) -> Iterator[TestClient]:
    with load_pipeline(graph(), index=folder / "idx") as pipeline, client(pipeline, asker_header="X-Asker") as made:
        yield made


def test_a_sentence_is_found_on_its_page_and_the_page_is_a_picture(asking: TestClient) -> None:
    asked = {"id": "manuals/rules.pdf#1", "text": "Paid leave is thirty days a year."}
    reply = asking.post("/v1/pages", json=asked).json()
    [page] = reply["pages"]
    assert (reply["n_pages"], page["page"], page["width"]) == (2, 2, 595)
    [box] = page["boxes"]
    assert box["left"] == pytest.approx(LEFT, abs=1)
    assert box["top"] < baseline(0) < box["bottom"]
    drawn = asking.get("/v1/pages/picture", params={"id": asked["id"], "page": 2})
    assert (drawn.headers["content-type"], drawn.headers["x-content-type-options"]) == ("image/webp", "nosniff")
    assert Image.open(io.BytesIO(drawn.content)).size == (1190, 1684)
    whole = asking.post("/v1/pages", json={"id": asked["id"]}).json()
    assert [page["page"] for page in whole["pages"]] == [1, 2], "all of the passage"
    nothing = asking.post("/v1/pages", json={"id": asked["id"], "text": "Nothing like it."}).json()
    assert [page["boxes"] for page in nothing["pages"]] == [[]], "its page, unmarked"


def test_whoever_may_not_read_a_passage_gets_no_page_of_it(asking: TestClient) -> None:
    ann = {"X-Asker": json.dumps({"user": "ann", "tenant": "north"})}
    hidden, missing = "manuals/merger.pdf#1", "manuals/nobody.pdf#1"
    for ask in (
        lambda passage, who: asking.post("/v1/pages", json={"id": passage}, headers=who),
        lambda passage, who: asking.get("/v1/pages/picture", params={"id": passage, "page": 1}, headers=who),
    ):
        assert ask(hidden, ann).status_code == 200
        refused = ask(hidden, {"X-Asker": json.dumps({"user": "bob"})})
        assert (refused.status_code, refused.json()) == (404, ask(missing, ann).json())


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"id": "manuals/notes.md#1", "page": 1}, "no_page"),
        ({"id": "manuals/rules.pdf#1", "page": 3}, "page_not_drawn"),
        ({"id": "manuals/rules.pdf#1", "page": 99}, "no_page"),
        ({"id": "manuals/rules.pdf#1", "page": -1}, "no_page"),
        ({"id": "../../etc/passwd", "page": 1}, "unknown_passage"),
    ],
)
def test_what_has_no_page_is_told(asking: TestClient, params: dict[str, object], code: str) -> None:
    reply = asking.get("/v1/pages/picture", params=params)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, code)


def test_a_file_that_moved_or_changed_is_told_and_no_path_is(asking: TestClient, folder: Path) -> None:
    file = folder / "manuals" / "rules.pdf"
    file.write_bytes(printed(SECRET))
    asked = {"id": "manuals/rules.pdf#1", "page": 1}
    changed = asking.get("/v1/pages/picture", params=asked)
    file.unlink()
    gone = asking.get("/v1/pages/picture", params=asked)
    assert (changed.status_code, gone.status_code) == (404, 404)
    assert "another one now" in changed.json()["error"]["message"]
    assert gone.json()["error"]["code"] == "file_gone"
    assert str(folder) not in changed.text + gone.text


def test_an_index_knows_the_file_of_each_row_in_all_of_its_parts(folder: Path) -> None:
    (folder / "manuals" / "late.pdf").write_bytes(printed([["Late and last."]]))
    build_index(folder / "manuals", folder / "idx")
    with LocalIndex.open(folder / "idx") as index:
        found = [index.file_of(row) for row in range(len(index))]
        sources = [document.metadata["source"] for document in index.documents]
        assert index.file_of(len(index)) is None
    assert [path.name for path, _ in filter(None, found)] == [Path(source).name for source in sources]
    assert [path.is_file() for path, _ in filter(None, found)] == [True] * 4
