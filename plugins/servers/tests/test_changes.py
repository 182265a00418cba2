"""An index on a server that changes: updates, removals, kills, two builders, readers that stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plugins.servers.tests.conftest import Addresses
from rag import build_index, remove_from_index
from rag.errors import IndexProblem
from rag.indexes import SERVERS, IndexSettings, SentenceEncoder, open_index
from rag.indexing import IndexReport, index_exists, index_settings
from rag.indexing.place import writing
from rag.types import Query
from ragline_servers import writer
from ragline_servers.address import ServerAddress
from ragline_servers.parts import FORM
from ragline_servers.store import CollectionStore, Point, connect
from retrievers.legs.lexical.retriever import BM25Retriever
from tests.small_legs import SmallModels

LEGS = ("lexical", "dense", "sparse")


@pytest.fixture
def address(addresses: Addresses, request: pytest.FixtureRequest) -> str:
    """An index of each test's own."""
    return addresses("".join(filter(str.isalnum, request.node.originalname)))


@pytest.fixture
def settings(small_models: SmallModels) -> IndexSettings:
    return IndexSettings.model_validate(
        {
            "dense": {"encoder": str(small_models.sentences), "compute": "float32"},
            "sparse": {"model": str(small_models.masked), "dtype": "float32"},
        }
    )


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for n in range(6):
        (folder / f"d{n}.md").write_text(f"# Note {n}\n\nA wheel and a fork, number {n}.\n")
    return folder


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that went through the encoder as documents."""
    seen: list[str] = []
    encode = SentenceEncoder.encode

    def noted(self: SentenceEncoder, texts: Any, *, role: Any, **more: Any) -> Any:
        if role == "document":
            seen.extend(texts)
        return encode(self, texts, role=role, **more)

    monkeypatch.setattr(SentenceEncoder, "encode", noted)
    return seen


def build(texts: Path, address: str, settings: IndexSettings | None = None) -> IndexReport:
    return build_index(texts, address, settings=settings, legs=LEGS if settings else None)


def ids(address: str) -> list[str]:
    with open_index(address) as index:
        return [document.doc_id for document in index.documents]


def names(address: str) -> list[str]:
    parsed = ServerAddress.parse(address)
    store = connect(parsed)
    try:
        return sorted(name for name in store.collections() if name.startswith(f"{parsed.collection}__"))
    finally:
        store.close()


def test_an_update_encodes_what_is_new_and_gives_what_it_gives_in_a_directory(
    texts: Path, address: str, settings: IndexSettings, encoded: list[str], tmp_path: Path
) -> None:
    for place in (address, tmp_path / "index"):
        build_index(texts, place, settings=settings, legs=LEGS)
    (texts / "d6.md").write_text("# Note 6\n\nA new grinder.\n")
    (texts / "d2.md").unlink()
    encoded.clear()
    report = build(texts, address)
    assert (report.n_encoded, report.n_reused_vectors, len(encoded)) == (1, 5, 1)
    assert report.path == address
    build_index(texts, tmp_path / "index")
    with open_index(address) as served, open_index(tmp_path / "index") as local:
        assert served.identity == local.identity
        assert list(served.documents) == list(local.documents)
        served.verify()


def test_what_did_not_change_is_not_sent_again(texts: Path, address: str, settings: IndexSettings) -> None:
    build(texts, address, settings)
    before = names(address)
    assert build(texts, address).unchanged
    assert names(address) == before


def test_a_removal_takes_documents_out_and_keeps_them_out(texts: Path, address: str, settings: IndexSettings) -> None:
    build(texts, address, settings)
    remove_from_index(["texts/d3.md"], address)
    assert "texts/d3.md#1" not in ids(address)
    assert build(texts, address).unchanged
    with pytest.raises(IndexProblem, match=r"has no source, file or document 'texts/d9.md'"):
        remove_from_index(["texts/d9.md"], address)


def test_a_reader_keeps_its_generation_and_is_told_of_the_next(
    texts: Path, address: str, settings: IndexSettings
) -> None:
    build(texts, address, settings)
    with open_index(address) as reader:
        before = reader.newest()  # type: ignore[attr-defined]
        (texts / "d6.md").write_text("# Note 6\n\nA new grinder.\n")
        build(texts, address)
        assert reader.newest() != before  # type: ignore[attr-defined]
        search = BM25Retriever(index=reader)
        assert search.retrieve([Query(qid="1", text="wheel")], k=9)[0].hits
        assert not search.retrieve([Query(qid="1", text="grinder")], k=9)[0].hits
        (texts / "d7.md").write_text("# Note 7\n\nAnother.\n")
        build(texts, address)
        with pytest.raises(IndexProblem, match=r"open the index again"):
            search.retrieve([Query(qid="1", text="wheel")], k=9)
    assert len(names(address)) == 4  # two generations, each with its files


def test_an_index_whose_name_begins_with_that_of_another_is_left_alone(texts: Path, address: str) -> None:
    other = f"{address}__other"
    build_index(texts, other, legs=("lexical",))
    for n in range(2):
        (texts / f"more{n}.md").write_text(f"Another note, number {n}.")
        build_index(texts, address, legs=("lexical",))
    assert len(ids(other)) == 6


@pytest.mark.parametrize("step", ["create", "put", "finish", "switch"])
def test_a_killed_upload_leaves_readers_what_they_had_and_is_gone_on_with(
    step: str,
    texts: Path,
    address: str,
    settings: IndexSettings,
    encoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address += step
    monkeypatch.setattr(writer, "AT_ONCE", 2)
    build(texts, address, settings)
    (texts / "d6.md").write_text("# Note 6\n\nA new grinder.\n")
    kind = SERVERS.get(ServerAddress.parse(address).scheme).store
    done = getattr(kind, step)
    calls = []

    def killed(self: CollectionStore, *given: Any, **more: Any) -> Any:
        calls.append(given)
        if len(calls) == (3 if step == "put" else 1):
            raise KeyboardInterrupt
        return done(self, *given, **more)

    encoded.clear()
    with monkeypatch.context() as patch:
        patch.setattr(kind, step, killed)
        with pytest.raises(KeyboardInterrupt, match=r"is as it was; the next run goes on"):
            build(texts, address)
    assert "texts/d6.md#1" not in ids(address)
    assert len(encoded) == 1
    encoded.clear()
    report = build(texts, address)
    assert not encoded
    assert report.unchanged  # the draft was complete, and what was left was to send it
    assert "texts/d6.md#1" in ids(address)
    with open_index(address) as index:
        index.verify()
    assert len(names(address)) == 4


def test_of_what_a_killed_upload_sent_the_last_points_alone_are_sent_again(
    texts: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "AT_ONCE", 2)
    kind = SERVERS.get(ServerAddress.parse(address).scheme).store
    put = kind.put
    sent: list[list[int]] = []

    def noted(self: CollectionStore, collection: str, points: Sequence[Point]) -> None:
        sent.append([point.id for point in points])
        if sent == [[0, 1], [2, 3], [4, 5]]:
            raise KeyboardInterrupt
        put(self, collection, points)

    monkeypatch.setattr(kind, "put", noted)
    with pytest.raises(KeyboardInterrupt):
        build_index(texts, address, legs=("lexical",))
    build_index(texts, address)
    assert sent[3:5] == [[2, 3], [4, 5]]
    assert len(ids(address)) == 6


def test_a_first_upload_that_was_killed_is_gone_on_with(
    texts: Path, address: str, settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SERVERS.get(ServerAddress.parse(address).scheme).store, "switch", killed)
        with pytest.raises(KeyboardInterrupt, match=r"There is no index yet"):
            build(texts, address, settings)
    with pytest.raises(IndexProblem, match=r"no index at"):
        open_index(address)
    assert index_exists(address)
    assert index_settings(address).section("dense") == settings.section("dense")
    build(texts, address)
    assert len(ids(address)) == 6


def test_of_two_builders_the_second_to_finish_takes_nothing_away(
    texts: Path, address: str, settings: IndexSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build(texts, address, settings)
    send = writer.ServerWriter._send

    parsed = ServerAddress.parse(address)
    store = connect(parsed)
    other = f"{parsed.collection}__other"
    store.create(other, FORM)

    def overtaken(self: Any, *given: Any) -> None:
        send(self, *given)
        store.switch(parsed.collection, other)

    monkeypatch.setattr(writer.ServerWriter, "_send", overtaken)
    (texts / "d6.md").write_text("# Note 6\n\nA new grinder.\n")
    with pytest.raises(IndexProblem, match=r"somebody else has built it meanwhile, and readers have theirs. Run again"):
        build(texts, address)
    assert store.target(parsed.collection) == other
    store.close()


def test_one_process_at_a_time_builds_here(texts: Path, address: str, settings: IndexSettings) -> None:
    with (
        writing(address),
        pytest.raises(IndexProblem, match=r"another process on this machine builds it"),
    ):
        build(texts, address, settings)
    assert not index_exists(address)


def test_a_draft_of_an_earlier_state_is_thrown_away(
    texts: Path, address: str, settings: IndexSettings, caplog: pytest.LogCaptureFixture
) -> None:
    build(texts, address, settings)
    with writing(address) as opened:
        build_index(texts, opened.home, legs=("lexical",))
        (opened.home.parent / "base").write_text("notes__another")
    with writing(address) as opened:
        assert not opened.home.exists()
    assert "a draft of an earlier state is thrown away" in caplog.text


def test_a_damaged_index_is_built_anew_with_prune(texts: Path, address: str, settings: IndexSettings) -> None:
    build(texts, address, settings)
    parsed = ServerAddress.parse(address)
    store = connect(parsed)
    collection = store.target(parsed.collection)
    assert collection is not None
    [record] = store.get(f"{collection}_files", [0], fields=["part"])
    table = json.loads(record.fields["part"])
    table["manifest.json"][2] = "0" * 64
    store.put(f"{collection}_files", [Point(id=0, fields={"part": json.dumps(table)})])
    store.close()
    with pytest.raises(IndexProblem, match=r"manifest.json is not as it was written.*--prune"):
        open_index(address)
    with pytest.raises(IndexProblem, match=r"Name all its sources, and give --prune"):
        build(texts, address, settings)
    build_index(texts, address, settings=settings, legs=LEGS, prune=True)
    assert len(ids(address)) == 6
