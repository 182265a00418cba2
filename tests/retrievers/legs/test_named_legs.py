"""Several legs of one kind in one index: words and meanings by two encoders, each under a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag.cli import main
from rag.core.errors import IndexMismatch, IndexProblem, SpecError
from rag.core.types import Query
from rag.indexing import add_documents, build_index, merge_index, remove_documents
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.manifest import FORMAT_VERSION, read_manifest
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from tests.small_legs import SmallModels
from tests.threads import one_thread

TEXTS = {f"d{n}": text for n, text in enumerate(("paid leave of thirty days", "a lost laptop", "the frame of a wheel"))}
ALL = ("lexical", "dense", "other")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def section(models: SmallModels, **said: Any) -> dict[str, Any]:
    """Of an index with vectors of two models. `said`: more of the second one."""
    other = {"kind": "dense", "encoder": str(models.static), **said}
    return {"dense": {"encoder": str(models.sentences), "compute": "float32"}, "legs": {"other": other}}


def graph(models: SmallModels, **changed: Any) -> dict[str, Any]:
    nodes = {
        "words": {"use": "retrieve.bm25", "k": 9},
        "one": {"use": "retrieve.dense", "k": 9},
        "two": {"use": "retrieve.dense", "k": 9, "with": {"leg": "other"}},
        "all": {
            "use": "fuse.weighted",
            "in": ["words", "one", "two"],
            "k": 9,
            "with": {"norm": "corpus", "weights": {"words": 0.2, "one": 0.4, "two": 0.4}},
        },
    }
    return {"version": 1, "index": section(models), "nodes": nodes, "output": "all"} | changed


def written(folder: Path, said: dict[str, Any]) -> Path:
    path = folder / "graph.yaml"
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"_id": doc_id, "text": text}) + "\n" for doc_id, text in TEXTS.items()))
    return path


@pytest.fixture
def home(corpus: Path, small_models: SmallModels, tmp_path: Path) -> Path:
    settings = IndexSettings.model_validate(section(small_models))
    build_index([corpus], tmp_path / "index", settings=settings, legs=ALL)
    return tmp_path / "index"


def found(home: Path, leg: str, text: str = "paid leave") -> list[tuple[str, float]]:
    with LocalIndex.open(home) as index:
        [ranking] = DenseRetriever(index=index, leg=leg).retrieve([Query(qid="1", text=text)], k=9)
    return [(hit.doc_id, hit.score) for hit in ranking.hits]


def alone(corpus: Path, place: Path, encoder: Path, **more: Any) -> list[tuple[str, float]]:
    """What an index with that one encoder finds."""
    dense = {"encoder": str(encoder), **more}
    build_index([corpus], place, settings=IndexSettings.model_validate({"dense": dense}), legs=("dense",))
    return found(place, "dense")


def test_each_leg_answers_as_it_would_alone(
    home: Path, corpus: Path, small_models: SmallModels, tmp_path: Path
) -> None:
    first = alone(corpus, tmp_path / "first", small_models.sentences, compute="float32")
    second = alone(corpus, tmp_path / "second", small_models.static)
    assert found(home, "dense") == first
    assert found(home, "other") == second
    assert first != second


def test_the_manifest_names_the_kind_and_the_settings(home: Path) -> None:
    with LocalIndex.open(home) as index:
        said = json.loads(index.manifest.as_json())
    assert said["format_version"] == FORMAT_VERSION
    assert list(said["legs"]) == list(ALL)
    assert said["legs"]["other"]["kind"] == said["settings"]["legs"]["other"]["kind"] == "dense"
    assert "kind" not in said["legs"]["dense"]
    assert {"dense/vectors.npy", "other/vectors.npy"} <= set(said["files"])


def test_two_legs_that_round_keep_what_the_encoder_gave_apart(
    corpus: Path, small_models: SmallModels, tmp_path: Path
) -> None:
    said = section(small_models, storage="int8")
    said["dense"]["storage"] = "int8"
    settings = IndexSettings.model_validate(said)
    build_index([corpus], tmp_path / "index", settings=settings, legs=("dense", "other"))
    corpus.write_text(corpus.read_text() + json.dumps({"_id": "new", "text": "thirty wheels"}) + "\n")
    report = build_index([corpus], tmp_path / "index")
    with LocalIndex.open(tmp_path / "index") as index:
        assert {"encoded.npy", "other.encoded.npy"} <= set(index.manifest.files)
    assert [counts["n_encoded"] for counts in report.counts.values()] == [1, 1]


def test_an_index_without_such_legs_says_nothing_of_them(corpus: Path, tmp_path: Path) -> None:
    build_index([corpus], tmp_path / "plain", legs=("lexical",))
    with LocalIndex.open(tmp_path / "plain") as index:
        assert "legs" not in json.loads(index.manifest.as_json())["settings"]


def test_a_graph_builds_and_searches_them(corpus: Path, small_models: SmallModels, tmp_path: Path) -> None:
    path = written(tmp_path, graph(small_models))
    assert main(["index", str(corpus), "--index", str(tmp_path / "index"), "--graph", str(path), "--quiet"]) == 0
    with load_pipeline(str(path), index=str(tmp_path / "index")) as pipeline:
        assert pipeline.graph.legs == ("dense", "lexical", "other")
        [ranking] = pipeline.run(["paid leave"]).rankings
    assert {hit.doc_id for hit in ranking.hits} == set(TEXTS)


def test_changes_and_merging_keep_both(home: Path, small_models: SmallModels, corpus: Path, tmp_path: Path) -> None:
    add_documents([{"_id": "d9", "text": "a laptop on paid leave"}], home)
    remove_documents(home, ids=["d1"])
    more = tmp_path / "more.jsonl"
    left = {doc_id: text for doc_id, text in TEXTS.items() if doc_id != "d1"} | {"d9": "a laptop on paid leave"}
    more.write_text("".join(json.dumps({"_id": doc_id, "text": text}) + "\n" for doc_id, text in left.items()))
    whole = {
        "dense": alone(more, tmp_path / "first", small_models.sentences, compute="float32"),
        "other": alone(more, tmp_path / "second", small_models.static),
    }
    with LocalIndex.open(home) as index:
        assert len(index.manifest.parts) == 2
    assert {leg: found(home, leg) for leg in whole} == whole
    merge_index(home)
    with LocalIndex.open(home) as index:
        assert not index.manifest.parts
    assert {leg: found(home, leg) for leg in whole} == whole


def test_an_update_without_settings_keeps_them(home: Path, corpus: Path) -> None:
    corpus.write_text(corpus.read_text() + json.dumps({"_id": "new", "text": "thirty wheels"}) + "\n")
    report = build_index([corpus], home)
    assert report.legs == ALL
    assert {doc_id for doc_id, _ in found(home, "other")} == {*TEXTS, "new"}


def test_another_model_under_the_name_is_refused(home: Path, small_models: SmallModels, tmp_path: Path) -> None:
    said = graph(small_models)
    said["index"]["legs"]["other"]["encoder"] = str(small_models.sentences)
    with pytest.raises(IndexMismatch, match=r"it was built with other\.encoder"):
        load_pipeline(str(written(tmp_path, said)), index=str(home))


def test_another_kind_under_the_name_is_refused(home: Path, small_models: SmallModels, tmp_path: Path) -> None:
    said = graph(small_models)
    said["index"]["legs"]["other"] = {"kind": "sparse", "model": str(small_models.masked)}
    said["nodes"]["two"] = {"use": "retrieve.sparse", "k": 9, "with": {"leg": "other"}}
    with pytest.raises(IndexMismatch, match=r"other\.kind 'dense'; the graph asks for 'sparse'"):
        load_pipeline(str(written(tmp_path, said)), index=str(home))


@pytest.mark.parametrize(
    ("leg", "said"),
    [
        ("othr", "no dense leg 'othr'. Did you mean 'other'"),
        ("lexical", "no dense leg 'lexical'"),
        ("words", "no dense leg 'words'"),
    ],
)
def test_a_leg_that_the_graph_does_not_name_is_told(
    leg: str, said: str, small_models: SmallModels, tmp_path: Path
) -> None:
    asked = graph(small_models)
    asked["index"]["legs"]["words"] = {"kind": "lexical"}
    asked["nodes"]["two"]["with"]["leg"] = leg
    with pytest.raises(SpecError) as problem:
        load_pipeline(str(written(tmp_path, asked)))
    assert said in str(problem.value)


@pytest.mark.parametrize(
    ("legs", "said"),
    [
        ({"dense": {"kind": "dense"}}, "a leg cannot be called 'dense'"),
        ({"bm25": {"kind": "dense"}}, "a leg cannot be called 'bm25'"),
        ({"parts": {"kind": "dense"}}, "a leg cannot be called 'parts'"),
        ({"../up": {"kind": "dense"}}, "a leg cannot be called '../up'"),
        ({"a/b": {"kind": "dense"}}, "a leg cannot be called 'a/b'"),
        ({"x": {"kind": "nose"}}, "'lexical', 'dense'"),
        ({"x": {}}, "kind"),
        ({"x": {"kind": "dense", "encodr": "y"}}, "encodr"),
    ],
)
def test_what_cannot_be_a_leg_is_told(
    legs: dict[str, Any], said: str, small_models: SmallModels, tmp_path: Path
) -> None:
    asked = graph(small_models, index={"legs": legs})
    asked["nodes"].pop("two")
    asked["nodes"]["all"]["in"] = ["words", "one"]
    asked["nodes"]["all"]["with"]["weights"] = {"words": 0.5, "one": 0.5}
    with pytest.raises(SpecError) as problem:
        load_pipeline(str(written(tmp_path, asked)))
    assert said in str(problem.value)


def test_every_name_that_an_index_has_for_another_thing_is_taken(home: Path) -> None:
    """A folder of a leg beside those that an index has anyhow."""
    add_documents([{"_id": "d9", "text": "a wheel"}], home)
    remove_documents(home, ids=["d1"])
    folders = {path.name for path in home.rglob("*") if path.is_dir() and not path.name.startswith("generation-")}
    assert {"parts", "removed"} <= folders
    for name in folders - set(ALL):
        with pytest.raises(ValueError, match="cannot be called"):
            IndexSettings.model_validate({"legs": {name: {"kind": "dense"}}})


def test_a_manifest_with_a_kind_that_nobody_knows_is_told(home: Path) -> None:
    [manifest] = home.glob("generation-*/manifest.json")
    manifest.write_text(manifest.read_text().replace('"kind": "dense"', '"kind": "smells"'))
    with pytest.raises(IndexProblem, match="a leg 'smells', which is not known here"):
        read_manifest(manifest.parent, name="index")
