"""Several indexes searched as one: against one index of all that they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.cli import main
from rag.core.errors import IndexMismatch, IndexProblem, SpecError
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.joined import JoinedIndex, joined_address
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from tests.tiny_models import tiny_sentence_model

TEXTS = {
    "one": {"a.txt": "brazed steel frames", "b.txt": "thirty days of leave"},
    "two": {"c.txt": "steel wheels and steel frames", "d.txt": "soup of the day"},
}
GRAPH: dict[str, Any] = {
    "version": 1,
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "k": 4},
        "dense": {"use": "retrieve.dense", "k": 4},
        "fused": {"use": "fuse.rrf", "in": ["bm25", "dense"], "k": 4},
    },
    "output": "fused",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two indexes, `one` and `two`, and `all` of both."""
    folder = tmp_path_factory.mktemp("joined")
    encoder = tiny_sentence_model(folder / "encoder")
    settings = IndexSettings.model_validate({"dense": {"encoder": str(encoder), "compute": "float32"}})
    for name, texts in TEXTS.items():
        (folder / "texts" / name).mkdir(parents=True)
        for file, text in texts.items():
            (folder / "texts" / name / file).write_text(text)
        build_index(folder / "texts" / name, folder / name, settings=settings)
    build_index([folder / "texts" / name for name in TEXTS], folder / "all", settings=settings)
    return folder


@pytest.fixture(scope="module")
def joined(folder: Path) -> Any:
    return open_index(joined_address([folder / "one", folder / "two"]))


def test_documents_stand_one_after_the_other_under_the_names_of_their_indexes(joined: Any) -> None:
    assert [each.doc_id for each in joined.documents] == [
        "one/one/a.txt#1",
        "one/one/b.txt#1",
        "two/two/c.txt#1",
        "two/two/d.txt#1",
    ]
    for row, document in enumerate(joined.documents):
        assert joined.documents.row(document.doc_id) == row
        assert joined.documents[row - 4] == document
    third = joined.documents[2]
    assert (third.parent, third.metadata["source"], third.metadata["index_name"]) == (
        "two/two/c.txt",
        "two/c.txt",
        "two",
    )
    assert len(joined) == len(joined.documents) == 4
    for wrong in ("one/c.txt#1", "three/x", "a.txt#1", ""):
        with pytest.raises(KeyError):
            joined.documents.row(wrong)


def test_dense_hits_are_those_of_one_index_of_all(joined: Any, folder: Path) -> None:
    with open_index(folder / "all") as whole:
        vectors = whole.leg("dense").encoder.encode(["steel", "leave", "x y"], role="query")
        for k in (1, 3, 6):
            rows, scores = joined.leg("dense").search(vectors, k=k)
            wanted_rows, wanted_scores = whole.leg("dense").search(vectors, k=k)
            np.testing.assert_array_equal(rows, wanted_rows)
            np.testing.assert_allclose(scores, wanted_scores, atol=1e-6)
        np.testing.assert_allclose(
            joined.leg("dense").vectors(np.array([3, 0, 2])), whole.leg("dense").vectors(np.array([3, 0, 2])), atol=1e-6
        )


def test_words_are_found_in_both_and_counted_over_both(joined: Any, folder: Path) -> None:
    leg = joined.leg("lexical")
    with open_index(folder / "all") as whole:
        for term in ("steel", "frame", "leav", "zebra"):
            assert leg.document_frequency(term) == whole.leg("lexical").document_frequency(term)
            assert (term in leg) == (term in whole.leg("lexical"))
        assert leg.n_docs == whole.leg("lexical").n_docs
    rows, scores = leg.search([{"steel": 1.0}, {"soup": 1.0}, {"zebra": 1.0}], k=5)
    assert [set(each[each >= 0].tolist()) for each in rows] == [{0, 2}, {3}, set()]
    assert (np.diff(scores[0][:2]) <= 0).all()


def test_a_graph_runs_over_both(folder: Path) -> None:
    with load_pipeline(GRAPH, index=[folder / "one", folder / "two"]) as pipeline:
        assert {hit.doc_id for hit in pipeline.search("steel frames")} >= {"one/one/a.txt#1", "two/two/c.txt#1"}
        only = pipeline.search("steel frames", where={"source": "two/c.txt"})
        assert only.doc_ids == ("two/two/c.txt#1",)
        with pytest.raises(SpecError, match="no document has metadata 'colour'"):
            pipeline.search("steel", where={"colour": "red"})
    with load_pipeline(GRAPH, index=[folder / "one"]) as alone:
        assert alone.search("steel").doc_ids[0] == "one/a.txt#1"


def test_the_command_takes_several(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--index", str(folder / "one"), "--index", str(folder / "two")]
    assert main(["search", "steel frames", *places, "--graph", "bm25"]) == 0
    out = capsys.readouterr().out
    assert "one: one/a.txt" in out
    assert "two: two/c.txt" in out
    assert (
        main(["search", "x", "--index", str(folder / "one"), "--index", str(tmp_path / "none"), "--graph", "bm25"]) == 4
    )
    assert "no index at" in capsys.readouterr().err


def test_the_identity_is_of_all_parts_and_their_order(folder: Path, tmp_path: Path) -> None:
    one, two = folder / "one", folder / "two"
    same, other = open_index(joined_address([one, two])), open_index(joined_address([two, one]))
    assert same.identity == open_index(same.address).identity != other.identity


def test_indexes_that_do_not_fit_together_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tiny_sentence_model(tmp_path / "other", seed=1)
    settings = IndexSettings.model_validate({"dense": {"encoder": str(other)}, "analyzer": {"language": "de"}})
    build_index(folder / "texts" / "two", tmp_path / "two", settings=settings)
    joined = open_index(joined_address([folder / "one", tmp_path / "two"]))
    for leg, part in (("dense", "encoder"), ("lexical", "analyzer")):
        with pytest.raises(IndexMismatch, match=rf"cannot be searched together: the {part} of their {leg} leg"):
            joined.leg(leg)
    with pytest.raises(IndexMismatch, match="cannot be searched together"):
        load_pipeline(GRAPH, index=[folder / "one", tmp_path / "two"])
    build_index(folder / "texts" / "two", tmp_path / "words", legs=["lexical"])
    assert open_index(joined_address([folder / "one", tmp_path / "words"])).legs == ("lexical",)
    with pytest.raises(IndexProblem, match="two or more"):
        JoinedIndex([open_index(folder / "one")])


def test_parts_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(folder / "two")
    joined = open_index(joined_address([folder / "one", tmp_path / "one"]))
    assert {each.doc_id.partition("/")[0] for each in joined.documents} == {"one", "one~2"}


def test_a_leg_that_cannot_be_merged_says_so(joined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from retrievers.legs.lexical.kind import LexicalKind

    monkeypatch.setattr(LexicalKind, "joins", False)
    with pytest.raises(IndexMismatch, match="cannot be searched over several indexes"):
        joined.leg("lexical")
