"""Builds with a dense leg: what is encoded again, what a kill leaves, and which encoder answers."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.core.errors import IndexMismatch, IndexProblem, MissingModel
from rag.core.types import Query
from rag.indexing import IndexReport, build_index, index_key
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.lexical.retriever import BM25Retriever
from tests.stopped import kill, killed
from tests.threads import one_thread
from tests.tiny_models import tiny_sentence_model

TEXTS = ("wheels are trued", "frames are brazed", "forks are straight", "lamps are lit")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def other_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "other", seed=1)


def write_corpus(folder: Path, texts: Sequence[str] = TEXTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    records = [{"_id": f"r{n}", "title": "", "text": text} for n, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def build(
    path: Path, source: Path, encoder: Path, legs: Sequence[str] = ("lexical", "dense"), **dense: Any
) -> IndexReport:
    settings = IndexSettings.model_validate({"dense": {"encoder": str(encoder), "compute": "float32", **dense}})
    return build_index([source], path, settings=settings, legs=legs)


def nearest(path: Path, text: str) -> str:
    with LocalIndex.open(path) as index:
        rows, _ = index.leg("dense").search(index.leg("dense").encoder.encode([text], role="query"), k=1)
        return index.documents[int(rows[0, 0])].text


def all_vectors(path: Path) -> Any:
    with LocalIndex.open(path) as index:
        return index.leg("dense").vectors(np.arange(len(index)))


def test_both_legs_are_built_and_the_manifest_names_the_encoder(tmp_path: Path, encoder: Path) -> None:
    report = build(tmp_path / "index", write_corpus(tmp_path / "beir"), encoder)
    assert (report.n_encoded, report.n_reused_vectors, report.n_reused_files) == (4, 0, 0)
    assert set(report.seconds) == {"read", "near-duplicates", "lexical", "encode", "dense", "digests", "publish"}
    assert [nearest(tmp_path / "index", text) for text in TEXTS] == list(TEXTS)
    with LocalIndex.open(tmp_path / "index") as index:
        facts = index.manifest.legs["dense"]["encoder"]
        assert facts is not None
        assert (facts["dim"], facts["pooling"], facts["normalise"], facts["compute"]) == (16, ["mean"], True, "float32")
        assert len(str(facts["weights_sha256"])) == 64
        assert index.manifest.ruler["kind"] == "encoder tokens"
    assert not (tmp_path / "index" / "work").exists()


def test_chunks_are_measured_in_tokens_of_the_encoder(tmp_path: Path, encoder: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefgh. " * 8)  # this encoder reads letter by letter
    settings = IndexSettings.model_validate(
        {"dense": {"encoder": str(encoder)}, "chunking": {"tokens": 20, "overlap": 0}}
    )
    dense = build_index([tmp_path / "a.txt"], tmp_path / "dense", settings=settings, legs=["dense"])
    lexical = build_index([tmp_path / "a.txt"], tmp_path / "lexical", settings=settings, legs=["lexical"])
    assert (dense.n_units, lexical.n_units) == (4, 1)


@pytest.mark.parametrize("dense", [{}, {"storage": "int8"}, {"structure": "hnsw"}])
def test_unchanged_texts_are_not_encoded_again_and_the_vectors_equal_a_fresh_build(
    tmp_path: Path, encoder: Path, dense: dict[str, str]
) -> None:
    source = write_corpus(tmp_path / "beir")
    build(tmp_path / "index", source, encoder, **dense)
    write_corpus(source, ["bells are rung", *TEXTS[1:], "wheels are round"])
    report = build(tmp_path / "index", source, encoder, **dense)
    assert (report.n_encoded, report.n_reused_vectors, report.n_reused_files) == (2, 3, 0)
    build(tmp_path / "fresh", source, encoder, **dense)
    np.testing.assert_allclose(all_vectors(tmp_path / "index"), all_vectors(tmp_path / "fresh"), atol=1e-6)


def test_another_structure_takes_the_vectors_that_are_there(tmp_path: Path, encoder: Path) -> None:
    source = write_corpus(tmp_path / "beir")
    build(tmp_path / "index", source, encoder)
    for dense in ({"storage": "int8"}, {"structure": "hnsw"}, {}):
        report = build(tmp_path / "index", source, encoder, **dense)
        assert (report.n_encoded, report.n_reused_vectors, report.unchanged) == (0, 4, False)
    build(tmp_path / "fresh", source, encoder)
    np.testing.assert_array_equal(all_vectors(tmp_path / "index"), all_vectors(tmp_path / "fresh"))


def test_another_encoder_encodes_all_again(tmp_path: Path, encoder: Path, other_encoder: Path) -> None:
    source = write_corpus(tmp_path / "beir")
    build(tmp_path / "index", source, encoder)
    report = build(tmp_path / "index", source, other_encoder)
    assert (report.n_encoded, report.n_reused_vectors, report.n_reused_files) == (4, 0, 0)
    assert nearest(tmp_path / "index", TEXTS[2]) == TEXTS[2]


def test_a_text_that_appears_twice_is_encoded_once(tmp_path: Path, encoder: Path) -> None:
    assert build(tmp_path / "index", write_corpus(tmp_path / "beir", ["same", "same", "other"]), encoder).n_encoded == 2
    vectors = all_vectors(tmp_path / "index")
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_rows_of_a_long_table_share_a_vector_and_are_found_by_words(tmp_path: Path, encoder: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rows = "".join(f"A{number},Berlin\n" for number in range(1_005))
    (source / "orders.csv").write_text(f"order,city\n{rows}")
    (source / "log.jsonl").write_text(
        "".join(json.dumps({"job": number, "state": "done"}) + "\n" for number in range(1_002))
    )
    report = build(tmp_path / "index", source, encoder)
    assert (report.n_units, report.n_encoded) == (2_007, 2_002)
    assert [problem.name for problem in report.problems] == ["source/log.jsonl", "source/orders.csv"]
    with LocalIndex.open(tmp_path / "index") as index:
        rows_of = {document.metadata.get("order"): row for row, document in enumerate(index.documents)}
        vectors = index.leg("dense").vectors(np.array([rows_of[f"A{number}"] for number in (999, 1_000, 1_004)]))
        assert np.array_equal(vectors[1], vectors[2])
        assert not np.array_equal(vectors[0], vectors[1])
        [ranking] = BM25Retriever(index=index).retrieve([Query(qid="q", text="A1003")], k=2)
    assert [hit.document.text for hit in ranking.hits] == ["order: A1003\ncity: Berlin"]
    (source / "note.txt").write_text("Wheels are trued.")
    assert build(tmp_path / "index", source, encoder).n_encoded == 1


def test_the_encoder_answers_only_if_its_files_are_those_of_the_index(
    tmp_path: Path, encoder: Path, other_encoder: Path
) -> None:
    mine = shutil.copytree(encoder, tmp_path / "mine")
    build(tmp_path / "index", write_corpus(tmp_path / "beir"), mine)
    shutil.copy(other_encoder / "model.safetensors", mine / "model.safetensors")
    with LocalIndex.open(tmp_path / "index") as index:
        assert len(index.leg("dense")) == 4
        with pytest.raises(IndexMismatch, match=r"weights_sha256: the index has \w{64}, the model here \w{64}"):
            index.leg("dense").encoder  # noqa: B018


def test_a_missing_encoder_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no model folder at"):
        build(tmp_path / "index", write_corpus(tmp_path / "beir"), tmp_path / "nowhere")
    assert not list((tmp_path / "index").glob("generation-*"))


def test_leaving_a_leg_out_and_taking_it_back(tmp_path: Path, encoder: Path) -> None:
    source = write_corpus(tmp_path / "beir")
    build(tmp_path / "index", source, encoder)
    with pytest.raises(IndexProblem, match=r"has a dense leg, which the graph does not search.*--prune"):
        build(tmp_path / "index", source, encoder, legs=["lexical"])
    assert build_index(source, tmp_path / "index", legs=["lexical"], prune=True).legs == ("lexical",)
    with LocalIndex.open(tmp_path / "index") as index, pytest.raises(IndexMismatch, match="it has no dense leg"):
        index.check(IndexSettings(), ["lexical", "dense"])
    assert build(tmp_path / "index", source, encoder).n_encoded == 4


@pytest.mark.parametrize(("dense", "room"), [({}, 60_000), ({"structure": "hnsw"}, 190_000)])
def test_a_disk_that_fills_up_with_vectors_leaves_the_old_index(
    tmp_path: Path, dense: dict[str, str], room: int
) -> None:
    wide = tiny_sentence_model(tmp_path / "wide", dim=64)
    source, path = write_corpus(tmp_path / "beir"), tmp_path / "index"
    build(path, source, wide, legs=["dense"], **dense)
    before = all_vectors(path)
    write_corpus(source, [f"{n}" for n in range(600)])
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, old[1]))
    try:
        with pytest.raises(
            IndexProblem, match=r"(?s)no room to write the index .* The index that was there is as it was"
        ):
            build(path, source, wide, legs=["dense"], **dense)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    np.testing.assert_array_equal(all_vectors(path), before)
    assert build(path, source, wide, legs=["dense"], **dense).n_units == 600


def test_room_for_the_vectors_is_checked_before_they_are_encoded(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=895))
    # 4 texts: shard, result and leg of 16 numbers of 4 bytes, and a digest of 32 bytes
    with pytest.raises(IndexProblem, match=r"no room .* vectors need 0.000 GB"):
        build(tmp_path / "index", write_corpus(tmp_path / "beir"), encoder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=896))
    assert build(tmp_path / "index", write_corpus(tmp_path / "beir"), encoder).n_encoded == 4


def test_the_key_follows_the_encoder_only_for_a_dense_leg(tmp_path: Path, encoder: Path, other_encoder: Path) -> None:
    source = write_corpus(tmp_path / "beir")

    def key(encoder: Path, *legs: str) -> str:
        settings = IndexSettings.model_validate({"dense": {"encoder": str(encoder)}})
        return index_key([source], settings=settings, legs=legs)

    assert key(encoder, "lexical") == key(other_encoder, "lexical")
    assert key(encoder, "dense") == key(encoder, "dense")
    assert len({key(encoder, "dense"), key(other_encoder, "dense"), key(encoder, "lexical", "dense")}) == 3


def test_a_killed_build_goes_on_from_its_last_shard(tmp_path: Path, encoder: Path) -> None:
    texts = [f"{n} {n * n}" for n in range(2500)]
    source, path = write_corpus(tmp_path / "beir", texts), tmp_path / "index"
    settings = IndexSettings.model_validate({"dense": {"encoder": str(encoder)}})

    def die(what: str, done: int, total: int) -> None:
        if what == "encode" and done >= 2048:
            kill()

    with one_thread():  # a fork has none of the others
        assert killed(lambda: build_index([source], path, settings=settings, legs=["dense"], progress=die))
    report = build_index([source], path, settings=settings, legs=["dense"])
    assert (report.n_units, report.n_encoded) == (2500, 2500 - 2048)
    assert not (path / "work").exists()
    with LocalIndex.open(path) as index:
        expected = index.leg("dense").encoder.encode([texts[7], texts[2400]], role="document")
        np.testing.assert_allclose(index.leg("dense").vectors(np.array([7, 2400])), expected, atol=2e-2)
