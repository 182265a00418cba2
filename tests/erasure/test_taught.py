"""A model that a document taught is named in the receipt of its erasure, and nothing that it did not teach is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import main
from rag.core.errors import SpecError
from rag.erasure import Place, erase_from_index
from retrievers.index.directory import LocalIndex
from tests.erasure.test_erase import made_index


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Its encoder was taught by the documents 1 and 7."""
    index = made_index(tmp_path, 20)
    wrote_training(tmp_path / "static", ["person-1", "person-7"])
    return index


def wrote_training(folder: Path, documents: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text("{}")
    (folder / "training.json").write_text(json.dumps({"gained": True, "documents": documents}))
    return folder


def model_places(places: tuple[Place, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(Path(place.path).name, place.taught) for place in places if place.kind == "model"]


def test_a_model_that_the_index_names_is_told_of(index: Path, tmp_path: Path) -> None:
    other = wrote_training(tmp_path / "reranker", ["person-3", "person-7"])
    receipt = erase_from_index(["person-2"], index, also=[tmp_path / "static", other])
    assert model_places(receipt.places) == [("static", ()), ("reranker", ())]
    assert receipt.clean
    receipt = erase_from_index(["person-7", "person-4"], index, also=[other])
    assert model_places(receipt.places) == [("reranker", ("person-7",)), ("static", ("person-7",))]
    assert not receipt.clean, "what a model learnt is still there"
    receipt.write(tmp_path / "receipt.json")
    written = json.loads((tmp_path / "receipt.json").read_text())
    assert [place["taught"] for place in written["places"] if place["kind"] == "model"] == [["person-7"]] * 2


def test_the_command_says_so_and_fails(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["remove", "person-1", "--index", str(index), "--receipt", str(tmp_path / "r.json")]
    assert main(given) == 1
    said = capsys.readouterr().out
    assert "what 1 of them taught stays in the model" in said
    assert "NOT all of it is gone" in said


@pytest.mark.parametrize("written", ["{", "[]", '{"documents": 3}', "{}"])
def test_a_model_that_cannot_tell_stops_it_before_the_index_changes(index: Path, tmp_path: Path, written: str) -> None:
    (tmp_path / "static" / "training.json").write_text(written)
    with pytest.raises(SpecError, match="nobody can say which documents taught this model"):
        erase_from_index(["person-1"], index)
    with LocalIndex.open(index) as opened:
        assert len(opened) == 20
