"""Citations of several indexes that are asked as one, and of an index that was brought to another place."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.media.tests.printed import baseline, printed
from plugins.serve.tests.walled import client
from rag import build_index, load_pipeline
from rag.graphs import load_spec
from ragline_media.bundles import bundle, unbundle
from tests.scripted_graph import graph

PICTURE = encoded(drawings(1)[0].picture())
RULES, MORE = (
    [["Rules of the house", "Paid leave is thirty days a year."]],
    [["Tools", "Goggles are worn at the grinder."]],
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two indexes: of manuals that all may read but one, and of tools with a picture."""
    for folder in ("manuals", "tools"):
        (tmp_path / folder).mkdir()
    (tmp_path / "manuals" / "merger.pdf").write_bytes(printed([["The merger is on Friday."]]))
    (tmp_path / "manuals" / "rules.pdf").write_bytes(printed(RULES))
    (tmp_path / "tools" / "goggles.pdf").write_bytes(printed(MORE))
    (tmp_path / "tools" / "goggles.png").write_bytes(PICTURE)
    labels = [
        {"id": "manuals/rules.pdf", "public": True},
        {"id": "manuals/merger.pdf", "tenant": "north", "users": ["ann"]},
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    build_index(tmp_path / "manuals", tmp_path / "one", legs=("lexical",), labels=tmp_path / "labels.jsonl")
    pictures = {"tower": str(random_tower(tmp_path / "tower")), "encoder": str(random_encoder(tmp_path / "encoder"))}
    build_index(
        tmp_path / "tools",
        tmp_path / "two",
        settings=load_spec(graph() | {"index": {"pictures": pictures}}).graph.index,
        legs=("lexical",),
    )
    return tmp_path


def page_of(asking: TestClient, passage: str, words: str) -> dict[str, float]:
    """The box of the words on the only page that they stand on."""
    [page] = asking.post("/v1/pages", json={"id": passage, "text": words}).json()["pages"]
    [box] = page["boxes"]
    picture = asking.get("/v1/pages/picture", params={"id": passage, "page": page["page"]})
    assert picture.headers["content-type"] == "image/webp"
    found: dict[str, float] = box
    return found


def test_of_several_indexes_each_citation_opens_in_its_own(home: Path) -> None:
    ann = {"X-Asker": json.dumps({"user": "ann", "tenant": "north"})}
    with (
        load_pipeline(graph(), index=[home / "one", home / "two"]) as pipeline,
        client(pipeline, asker_header="X-Asker") as asking,
    ):
        for passage, (_, words) in (("one/manuals/rules.pdf#1", RULES[0]), ("two/tools/goggles.pdf#1", MORE[0])):
            box = page_of(asking, passage, words)
            assert box["top"] < baseline(1) < box["bottom"]
        hidden = {"id": "one/manuals/merger.pdf#1"}
        assert asking.post("/v1/pages", json=hidden).json()["error"]["code"] == "unknown_passage"
        assert asking.post("/v1/pages", json=hidden, headers=ann).status_code == 200
        content = f"/v1/contents/{sha256(PICTURE).hexdigest()}"
        assert asking.get(content).content == PICTURE
        assert asking.get(f"{content}/thumbnail").headers["content-type"] == "image/webp"


def test_a_page_opens_again_where_the_files_came_along(home: Path) -> None:
    bundle(home / "one", home / "one.ragline")
    bundle(home / "two", home / "two.ragline")
    there = home / "there"
    unbundle(home / "one.ragline", there / "one")
    unbundle(home / "two.ragline", there / "two")
    (home / "manuals").rename(there / "manuals")
    (home / "tools").rename(there / "tools")
    with load_pipeline(graph(), index=there / "two") as pipeline, client(pipeline) as asking:
        gone = asking.post("/v1/pages", json={"id": "tools/goggles.pdf#1"})
        assert gone.json()["error"]["code"] == "file_gone"
        assert asking.get(f"/v1/contents/{sha256(PICTURE).hexdigest()}").content == PICTURE
    for name, source in (("one", "manuals"), ("two", "tools")):
        report = build_index(there / source, there / name, name=source)
        assert report.n_reused_files == report.n_files, "nothing is read again"
    with load_pipeline(graph(), index=there / "two") as pipeline, client(pipeline) as asking:
        assert page_of(asking, "tools/goggles.pdf#1", MORE[0][1])["top"] < baseline(1)
    with load_pipeline(graph(), index=there / "one") as pipeline, client(pipeline, asker_header="X-Asker") as asking:
        assert page_of(asking, "manuals/rules.pdf#1", RULES[0][1])["top"] < baseline(1)
