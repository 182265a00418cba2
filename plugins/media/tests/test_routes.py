"""Bytes over HTTP: to whoever may read a passage that holds them, as what they are, in stretches, and to nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from plugins.media.tests.drawn import drawings, encoded, random_encoder, random_tower
from plugins.serve.tests.walled import client
from rag import build_index, load_pipeline
from rag.graphs import load_spec
from rag.indexes import LocalIndex, contents_of
from tests.scripted_graph import graph

SECRET, OPEN = (encoded(each.picture()) for each in drawings(1)[:2])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, of which one is for Ann alone."""
    home = tmp_path_factory.mktemp("routes")
    encoder = str(random_encoder(home / "encoder"))
    (home / "photos").mkdir()
    (home / "photos" / "secret.png").write_bytes(SECRET)
    (home / "photos" / "open.png").write_bytes(OPEN)
    labels = [
        {"id": "photos/secret.png", "tenant": "north", "users": ["ann"]},
        {"id": "photos/open.png", "public": True},
    ]
    (home / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    spec = load_spec(
        {
            "version": 1,
            "index": {"pictures": {"tower": str(random_tower(home / "tower")), "encoder": encoder}},
            "nodes": {"best": {"use": "retrieve.bm25", "in": "query", "k": 3}},
            "output": "best",
        }
    )
    build_index(
        home / "photos", home / "idx", settings=spec.graph.index, legs=("lexical",), labels=home / "labels.jsonl"
    )
    return home / "idx"


@pytest.fixture(scope="module")
def asking(index: Path) -> Iterator[TestClient]:
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, asker_header="X-Asker") as made:
        yield made


def address(data: bytes) -> str:
    return f"/v1/contents/{sha256(data).hexdigest()}"


def test_a_public_picture_comes_as_what_it_is(asking: TestClient) -> None:
    reply = asking.get(address(OPEN))
    assert (reply.status_code, reply.content) == (200, OPEN)
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["accept-ranges"] == "bytes"
    assert "default-src 'self'" in reply.headers["content-security-policy"]
    small = asking.get(address(OPEN) + "/thumbnail")
    assert (small.status_code, small.headers["content-type"], small.content[8:12]) == (200, "image/webp", b"WEBP")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=10-", 10, None), ("bytes=-5", -5, None), ("bytes=5-99999999", 5, None)],
)
def test_a_stretch_is_given_to_who_asks_for_one(asking: TestClient, asked: str, first: int, last: int | None) -> None:
    reply = asking.get(address(OPEN), headers={"Range": asked})
    wanted = OPEN[first:] if last is None else OPEN[first : last + 1]
    start = first if first >= 0 else len(OPEN) + first
    assert (reply.status_code, reply.content) == (206, wanted)
    assert reply.headers["content-range"] == f"bytes {start}-{start + len(wanted) - 1}/{len(OPEN)}"


@pytest.mark.parametrize("asked", ["bytes=1-2,5-6", "lines=1-2", "bytes=-", "bytes=a-b"])
def test_what_is_no_stretch_is_answered_by_all_of_it(asking: TestClient, asked: str) -> None:
    reply = asking.get(address(OPEN), headers={"Range": asked})
    assert (reply.status_code, reply.content) == (200, OPEN)


def test_a_stretch_behind_the_end_is_refused(asking: TestClient) -> None:
    reply = asking.get(address(OPEN), headers={"Range": f"bytes={len(OPEN)}-"})
    assert (reply.status_code, reply.headers["content-range"]) == (416, f"bytes */{len(OPEN)}")


@pytest.mark.parametrize("end", ["", "/thumbnail"])
def test_what_somebody_may_not_read_is_not_there_for_them(asking: TestClient, end: str) -> None:
    missing = asking.get(f"/v1/contents/{'0' * 64}{end}")
    hidden = asking.get(address(SECRET) + end)
    assert (hidden.status_code, hidden.json()) == (missing.status_code, missing.json()) == (404, missing.json())
    assert missing.json()["error"]["code"] == "no_content"
    allowed = asking.get(address(SECRET) + end, headers={"X-Asker": json.dumps({"user": "ann", "tenant": "north"})})
    assert allowed.status_code == 200
    assert asking.get(address(SECRET) + end, headers={"X-Asker": json.dumps({"user": "bob"})}).status_code == 404
    for name in ("..%2f..%2fetc%2fpasswd", "x", sha256(OPEN).hexdigest().upper()):
        assert asking.get(f"/v1/contents/{name}{end}").status_code == 404


def test_an_erased_picture_is_not_there_for_anybody(index: Path, tmp_path: Path) -> None:
    import shutil

    from rag.erasure import erase_from_index

    shutil.copytree(index, tmp_path / "idx")
    receipt = erase_from_index(["photos/secret.png"], tmp_path / "idx", most_lost=1.0, wait_s=0)
    assert receipt.clean
    with LocalIndex.open(tmp_path / "idx") as opened:
        assert [*contents_of(opened)] == [sha256(OPEN).hexdigest()]
        assert len(opened.leg("pictures").rows) == 1
    left = b"".join(each.read_bytes() for each in (tmp_path / "idx").rglob("*") if each.is_file())
    assert SECRET not in left
    assert OPEN in left


def test_a_copy_of_an_erased_picture_is_told_of_wherever_it_lies(index: Path, tmp_path: Path) -> None:
    """Nothing is said of the picture in words: it is known by its bytes, and by those of its thumbnail and its vector."""
    import shutil

    from rag.erasure import erase_from_index

    shutil.copytree(index, tmp_path / "idx")
    (tmp_path / "copies").mkdir()
    with LocalIndex.open(index) as opened:
        small = [contents_of(opened).thumbnail(sha256(each).hexdigest()) for each in (SECRET, OPEN)]
    copies = {"whole": b"before" + SECRET + b"behind", "part": SECRET[len(SECRET) // 2 :], "small": small[0]}
    copies |= {"digest": sha256(SECRET).hexdigest().encode(), "open": OPEN, "open.small": small[1]}
    for name, data in copies.items():
        (tmp_path / "copies" / name).write_bytes(data)
    receipt = erase_from_index(
        ["photos/secret.png"], tmp_path / "idx", also=[tmp_path / "copies"], most_lost=1.0, wait_s=0
    )
    left = {Path(place.path).name: sorted(Path(name).name for name in place.left) for place in receipt.places}
    assert left.pop("copies") == ["digest", "part", "small", "whole"]
    assert not any(left.values())
    assert not receipt.clean
