"""A list counts for the documents whose language its model was made for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.core.access import Asker
from rag.core.filters import asked_by
from rag.core.types import Document, Query
from rag.indexing import build_index
from rag.models.table import PACKAGED
from rag.pipeline import load_pipeline
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.language_fit import fit_of
from tests.retrievers.tiny_encoders import tiny_static

ENGLISH = "The leave of the team is paid, and it is for all of them."
POLISH = "Urlop jest dla wszystkich, a to jest na rok i nie do sprzedania, bo się go nie da."
OF_ANN = {"tenant": "north", "owner": "ann"}
ANN = Asker(user="ann", tenant="north")


def documents(*texts: str, **metadata: Any) -> list[Document]:
    return [Document(doc_id=str(n), text=text, metadata=metadata) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("given", "fit"),
    [
        (documents(*[ENGLISH] * 3), 1.0),
        (documents(*[POLISH] * 3), 0.0),
        (documents(ENGLISH, POLISH, "x = 12"), 0.5),  # what shows no language counts as the others do
        (documents("x = 12", "42"), 1.0),
        (documents(POLISH, *["x = 12"] * 4), 0.0),
        (documents(POLISH, *["x = 12"] * 9), 0.9),  # one letter among the rows of a table
        (documents(POLISH, *["x = 12"] * 99), 1.0),
        (documents(*[ENGLISH] * 39, POLISH), 1.0),  # one of forty was taken for a language
        (documents("x = 12", lang="pl"), 0.0),  # metadata says it
        ([], 1.0),
    ],
)
def test_a_fit_is_the_part_in_a_language_of_the_model(given: list[Document], fit: float) -> None:
    assert fit_of(given, ("en",)) == fit


def built(place: Path, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]], **reading: Any) -> Path:
    """An index whose encoder says that it was made for English, as a packaged one does."""
    encoder = str(tiny_static(place / "static"))
    known = replace(PACKAGED["all-minilm-l6-v2"], name=encoder)
    monkeypatch.setattr("retrievers.legs.language_fit.PACKAGED", {**PACKAGED, encoder: known})
    (place / "c.jsonl").write_text(
        "".join(json.dumps({"_id": f"d{n}", **each}) + "\n" for n, each in enumerate(records))
    )
    settings = IndexSettings.model_validate({"dense": {"encoder": encoder}, "reading": reading})
    build_index([place / "c.jsonl"], place / "index", settings=settings, legs=("lexical", "dense"))
    return place / "index"


def test_over_another_language_a_hybrid_search_is_that_of_words_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [f"{POLISH} {word}" for word in ("alfa", "beta", "beta gamma", "gamma gamma", "delta")]
    place = built(tmp_path, monkeypatch, [{"text": text} for text in texts])
    with load_pipeline("hybrid", index=place) as hybrid, load_pipeline("bm25", index=place) as words:
        for asked in ("beta", "gamma beta", "gamma"):
            found = words.search(asked).doc_ids
            assert hybrid.search(asked).doc_ids[: len(found)] == found
    said = [record.getMessage() for record in caplog.records if "was not made for" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("retrieve.dense: 100% of the documents are in a language that")


def test_the_fit_is_that_of_what_whoever_asks_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"text": ENGLISH, "acl": {"public": True}}, {"text": POLISH, "acl": OF_ANN}]
    with LocalIndex.open(built(tmp_path, monkeypatch, records, access="acl")) as index:
        for asker, fit in ((None, 1.0), (ANN, 0.5)):
            query = Query(qid="q", text="leave", where=None if asker is None else asked_by(asker))
            [population] = DenseRetriever(index=index).populations([query])
            assert population is not None
            assert population.fit == fit


def test_a_model_that_does_not_say_its_languages_fits_all(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"_id": "a", "text": POLISH}))
    settings = IndexSettings.model_validate({"dense": {"encoder": str(tiny_static(tmp_path / "static"))}})
    build_index([tmp_path / "c.jsonl"], tmp_path / "index", settings=settings, legs=("dense",))
    with LocalIndex.open(
        tmp_path / "index",
    ) as index:
        [population] = DenseRetriever(index=index).populations([Query(qid="q", text="leave")])
        assert population is not None
        assert population.fit == 1.0
