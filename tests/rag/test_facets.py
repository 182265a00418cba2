"""Counts by the values of fields, against counting by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.access import Asker
from rag.core.errors import IndexMismatch, SpecError
from rag.core.filters import asked_by
from rag.core.types import Query
from rag.indexing import add_documents, build_index, remove_documents
from rag.pipeline import load_pipeline
from rag.pipeline.facets import MOST_FIELDS, MOST_VALUES, Facet, facets
from retrievers.index.directory import LocalIndex
from retrievers.index.joined import JoinedIndex
from retrievers.index.settings import IndexSettings

AUTHORS = ("Ann", "Bo", "Cy")


def written(folder: Path, records: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def records(n: int = 60) -> list[dict[str, Any]]:
    """Every second one is about wheels, every third about frames."""
    return [
        {
            "_id": f"d{i}",
            "text": " ".join(["a wheel"] * (i % 2 == 0) + ["the frame"] * (i % 3 == 0) + ["of nothing"]),
            "author": AUTHORS[i % 3],
            "year": 2000 + i % 5,
            "tags": ["old", "new"][: 1 + i % 2],
        }
        for i in range(n)
    ]


def by_hand(found: list[dict[str, Any]], field: str) -> dict[Any, int]:
    values = (value for one in found for value in (one[field] if isinstance(one[field], list) else [one[field]]))
    return dict(Counter(values))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("facets")
    build_index([written(folder, records())], folder / "index", legs=("lexical",))
    with LocalIndex.open(folder / "index") as opened:
        yield opened


def counted(facet: Facet) -> dict[Any, int]:
    return dict(facet.values)


def asked(text: str, where: Any = None) -> Query:
    return Query(qid="1", text=text, where=where)


@pytest.mark.parametrize(("text", "word"), [("wheel", "wheel"), ("frames", "frame"), ("wheel frame", "")])
def test_all_hits_are_counted_and_nothing_else(index: LocalIndex, text: str, word: str) -> None:
    found = [one for one in records() if word in one["text"] and ("wheel" in one["text"] or "frame" in one["text"])]
    made = facets(index, asked(text), ["author", "year", "tags"])
    assert {field: counted(facet) for field, facet in made.items()} == {
        field: by_hand(found, field) for field in ("author", "year", "tags")
    }
    assert all(facet.others == 0 for facet in made.values())


def test_the_most_frequent_come_first(index: LocalIndex) -> None:
    counts = [n for _, n in facets(index, asked("frame"), ["author"])["author"].values]
    assert counts == sorted(counts, reverse=True)


def test_a_filter_holds(index: LocalIndex) -> None:
    found = [one for one in records() if "wheel" in one["text"] and one["year"] == 2001]
    assert counted(facets(index, asked("wheel", {"year": 2001}), ["author"])["author"]) == by_hand(found, "author")


def test_passages_of_a_document_count_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        text = "\n\n".join(f"The wheel number {n} is round and turns for {n} days." for n in range(60))
        (tmp_path / f"{name}.md").write_text(f"---\nauthor: {name}\n---\n\n{text}\n")
    build_index([tmp_path], tmp_path / "index", legs=("lexical",))
    with LocalIndex.open(tmp_path / "index") as opened:
        assert len(opened) > 4
        assert counted(facets(opened, asked("wheel"), ["author"])["author"]) == {"one": 1, "two": 1}


def test_no_hits_no_counts(index: LocalIndex) -> None:
    assert facets(index, asked("zebra"), ["author"])["author"] == Facet(values=())


def test_a_misspelt_word_counts_what_the_search_finds(index: LocalIndex) -> None:
    found = [one for one in records() if "wheel" in one["text"]]
    assert counted(facets(index, asked("wheell"), ["author"])["author"]) == by_hand(found, "author")


def test_a_field_that_no_document_has_is_told(index: LocalIndex) -> None:
    with pytest.raises(SpecError, match=r"no document has metadata 'autor'\. Did you mean 'author'"):
        facets(index, asked("wheel"), ["autor"])


def test_too_many_fields_are_refused(index: LocalIndex) -> None:
    with pytest.raises(SpecError, match="at most 10 fields, got 11"):
        facets(index, asked("wheel"), ["author"] * (MOST_FIELDS + 1))


def test_without_an_index_there_is_nothing_to_count() -> None:
    with pytest.raises(SpecError, match="searches no index"):
        facets(None, asked("wheel"), ["author"])


def test_of_many_values_some_are_told_and_the_others_counted(tmp_path: Path) -> None:
    many = [{"_id": f"d{i}", "text": "a wheel", "number": i} for i in range(3_000)]
    build_index([written(tmp_path, many)], tmp_path / "index", legs=("lexical",))
    with LocalIndex.open(tmp_path / "index") as opened:
        facet = facets(opened, asked("wheel"), ["number"])["number"]
    assert len(facet.values) == MOST_VALUES
    assert facet.others == 3_000 - MOST_VALUES


def test_a_field_of_very_many_values_tells_as_few_as_any_other(tmp_path: Path) -> None:
    many = [{"_id": f"d{i}", "text": "a wheel", "number": [*range(i * 500, i * 500 + 1_000)]} for i in range(99)]
    build_index([written(tmp_path, many)], tmp_path / "index", legs=("lexical",))
    with LocalIndex.open(tmp_path / "index") as opened:
        facet = facets(opened, asked("wheel"), ["number"])["number"]
    assert len(facet.values) == MOST_VALUES
    assert {n for _, n in facet.values} == {2}, "the most frequent come first, however many there are"
    assert facet.others == 50_000 - MOST_VALUES


def test_an_index_in_parts_counts_what_is_left(tmp_path: Path) -> None:
    build_index([written(tmp_path, records())], tmp_path / "index", legs=("lexical",))
    add_documents([{"_id": "new", "text": "a wheel", "author": "Ann", "year": 1999}], tmp_path / "index")
    remove_documents(tmp_path / "index", ids=["d0", "d2"])
    left = [one for one in records() if one["_id"] not in ("d0", "d2") and "wheel" in one["text"]]
    left.append({"author": "Ann"})
    with LocalIndex.open(tmp_path / "index") as opened:
        assert opened.manifest.parts
        assert counted(facets(opened, asked("wheel"), ["author"])["author"]) == by_hand(left, "author")


def test_several_indexes_count_together(tmp_path: Path) -> None:
    first, second = records()[:30], [{**one, "_id": f"x{one['_id']}"} for one in records()[30:]]
    del second[0]["author"]
    for name, some in (("a", first), ("b", second)):
        build_index([written(tmp_path / name, some)], tmp_path / name / "index", legs=("lexical",))
    found = [one for one in (*first, *second) if "wheel" in one["text"] and "author" in one]
    with JoinedIndex([LocalIndex.open(tmp_path / name / "index") for name in ("a", "b")]) as joined:
        assert counted(facets(joined, asked("wheel"), ["author"])["author"]) == by_hand(found, "author")


def test_what_somebody_may_not_read_counts_nothing(tmp_path: Path) -> None:
    own: list[dict[str, Any]] = [{"tenant": "t", "users": ["ann"]}, {"tenant": "t", "users": ["bo"]}, {"public": True}]
    labelled = [{**one, "who": own[i % 3]} for i, one in enumerate(records())]
    labelled[1]["secret"] = "x"  # bo's
    settings = IndexSettings.model_validate({"reading": {"access": "who"}})
    build_index([written(tmp_path, labelled)], tmp_path / "index", settings=settings, legs=("lexical",))
    with LocalIndex.open(tmp_path / "index") as opened:
        for user, mine in (("ann", (0, 2)), ("bo", (1, 2)), ("", (2,))):
            who = Asker(tenant="t", user=user) if user else None
            found = [one for i, one in enumerate(records()) if i % 3 in mine and "wheel" in one["text"]]
            got = facets(opened, asked("wheel", asked_by(who, None)), ["year"])["year"]
            assert counted(got) == by_hand(found, "year"), user
        with pytest.raises(SpecError, match="no document has metadata 'secret'"):
            facets(opened, asked("wheel", asked_by(Asker(tenant="t", user="ann"), None)), ["secret"])


def test_an_index_without_words_cannot_count(tmp_path: Path) -> None:
    from tests.retrievers.tiny_encoders import tiny_static

    settings = IndexSettings.model_validate({"dense": {"encoder": str(tiny_static(tmp_path / "static"))}})
    build_index([written(tmp_path, records(6))], tmp_path / "index", settings=settings, legs=("dense",))
    with LocalIndex.open(tmp_path / "index") as opened, pytest.raises(IndexMismatch, match="it has no lexical leg"):
        facets(opened, asked("wheel"), ["author"])


def test_the_command_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_index([written(tmp_path, records())], tmp_path / "index", legs=("lexical",))
    asking = ["search", "wheel", "--index", str(tmp_path / "index"), "--graph", "bm25", "--no-server"]
    assert main([*asking, "--facets", "author, year,author"]) == 0
    assert "author: Ann 10, Bo 10, Cy 10\nyear: 2000 6, 2001 6, 2002 6, 2003 6, 2004 6" in capsys.readouterr().out
    assert main([*asking, "--facets", "author", "--json"]) == 0
    facet = json.loads(capsys.readouterr().out)["facets"]["author"]
    assert facet == {"values": [{"value": name, "documents": 10} for name in AUTHORS], "others": 0}
    assert main([*asking, "--facets", "autor"]) == 2
    assert "no document has metadata 'autor'. Did you mean 'author'" in capsys.readouterr().err


def test_a_pipeline_counts(index: LocalIndex) -> None:
    with load_pipeline("bm25", index=index) as pipeline:
        assert pipeline.facets("wheel", ["author"]) == facets(index, asked("wheel"), ["author"])
        assert counted(pipeline.facets("wheel", ["author"], where={"year": 2000})["author"]) == {
            "Ann": 2,
            "Bo": 2,
            "Cy": 2,
        }
