"""Documents that are added, updated and removed in Python: what may be given, what stays, and what is refused."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.core.errors import IndexBusy, IndexProblem, SpecError
from rag.core.types import Document
from rag.indexing import (
    add_documents,
    build_index,
    index_sources,
    merge_index,
    remove_documents,
    remove_from_index,
    update_documents,
)
from rag.indexing.chain import TIER
from retrievers.analysis.analyzer import Analyzer
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import PARTS
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import Index
from retrievers.legs import LEGS

OLDER = Path(__file__).parent / "older_index"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("apples", "pears", "plums"):
        (folder / f"{name}.md").write_text(f"# {name}\n\nAll about {name} and trees.\n")
    return folder


@pytest.fixture
def started(path: Path, notes: Path) -> Path:
    """An index of three files."""
    build_index(notes, path, legs=["lexical"])
    return path


def held(path: Path) -> list[str]:
    """Distinct documents in the order of their rows."""
    with LocalIndex.open(path) as index:
        index.verify()
        assert sum(record.n_units for source in index_sources(path) for record in source.records) == len(index)
        return list(dict.fromkeys(document.parent for document in index.documents))


def having(path: Path, word: str) -> list[str]:
    with LocalIndex.open(path) as index:
        leg = index.leg("lexical")
        rows, _ = leg.search([dict.fromkeys(leg.analyzer.terms(word), 1.0)], k=20)
        return sorted({index.documents[int(row)].parent for row in rows[0] if row >= 0})


# --- what may be given ---


@dataclass
class LikePandas:
    rows: list[dict[str, Any]]

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return self.rows


@dataclass
class LikePolars:
    rows: list[dict[str, Any]]

    def iter_rows(self, *, named: bool) -> Iterator[dict[str, Any]]:
        assert named
        return iter(self.rows)


ROWS = [{"id": "a", "text": "figs", "year": np.int64(2020)}, {"id": "b", "text": "dates", "year": float("nan")}]


@pytest.mark.parametrize(
    "table", [ROWS, LikePandas(ROWS), LikePolars(ROWS), iter(ROWS)], ids=lambda each: type(each).__name__
)
def test_records_and_tables(started: Path, table: Any) -> None:
    assert add_documents(table, started).n_parts == 2
    assert held(started)[3:] == ["a", "b"]
    with LocalIndex.open(started) as index:
        assert index.documents[index.documents.row("a")].metadata["year"] == 2020


def test_an_empty_cell_of_a_table_is_no_metadata(started: Path) -> None:
    add_documents(LikePolars(ROWS), started)
    with LocalIndex.open(started) as index:
        assert "year" not in index.documents[index.documents.row("b")].metadata


def test_a_document_comes_back_as_it_was(started: Path) -> None:
    document = Document(doc_id="a", text="figs\nand dates", title="Fruit", metadata={"n": 1, "tags": ["x", "y"]})
    add_documents(document, started)
    with LocalIndex.open(started) as index:
        kept = index.documents[index.documents.row("a")]
    assert (kept.doc_id, kept.text, kept.title) == (document.doc_id, document.text, document.title)
    assert {"source": "given", **document.metadata} == kept.metadata


def test_a_text_is_named_by_its_content(started: Path) -> None:
    add_documents("figs and dates", started)
    name = held(started)[-1]
    assert name.startswith("text-")
    with pytest.raises(SpecError, match=f"has a document '{name}'. To replace it, use update_documents"):
        add_documents(["figs and dates"], started)


def test_an_index_is_made_where_there_is_none(path: Path) -> None:
    report = add_documents(["figs", "dates"], path, legs=["lexical"])
    assert (report.n_units, report.n_parts) == (2, 1)
    assert having(path, "figs") == held(path)[:1]


def test_hostile_ids_are_kept_and_found_again(started: Path) -> None:
    odd = {"id": "../x\n\udc80\0", "text": "figs"}
    add_documents(odd, started)
    update_documents({**odd, "text": "dates"}, started)
    assert len(having(started, "dates")) == 1
    assert having(started, "figs") == []
    remove_documents(started, ids=[held(started)[-1]])
    assert len(held(started)) == 3


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "no documents were given"),
        (["figs", 7], "document 2 is int; documents are given as Document"),
        (3.5, "got float; documents are given as Document"),
        ([{"id": "a", "text": "figs"}, {"id": "a", "text": "dates"}], "document 2: its id 'a' is that of document 1"),
        ([{"id": "a", "text": ""}], "nothing to index in what was given"),
        ([{"id": "notes/apples.md", "text": "figs"}], "has a document 'notes/apples.md'"),
        ([{"id": "notes/apples.md#1", "text": "figs"}], "has a document 'notes/apples.md#1'"),
    ],
)
def test_what_cannot_be_added_changes_nothing(started: Path, documents: Any, message: str) -> None:
    before = held(started)
    with pytest.raises(SpecError, match=message):
        add_documents(documents, started)
    assert held(started) == before
    assert not list(started.glob("parts/*"))
    assert not list(started.glob("building-*"))


def test_a_generator_that_breaks_off_changes_nothing(started: Path) -> None:
    def broken() -> Iterator[str]:
        yield "figs"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_documents(broken(), started)
    assert len(held(started)) == 3


# --- update, remove ---


def test_a_document_of_a_file_is_updated_and_stays_so(started: Path, notes: Path) -> None:
    update_documents([{"id": "notes/pears.md", "text": "quinces"}], started)
    assert held(started) == ["notes/apples.md", "notes/plums.md", "notes/pears.md"]
    assert having(started, "pears") == []
    again = build_index([], started)
    assert (again.unchanged, again.n_parts) == (True, 2)
    (notes / "apples.md").write_text("figs")
    assert build_index([], started).n_parts == 1
    assert held(started) == ["notes/apples.md", "notes/plums.md", "notes/pears.md"]
    assert having(started, "quinces") == ["notes/pears.md"]


def test_removal_by_id_and_by_filter(started: Path) -> None:
    add_documents(
        [{"id": name, "text": "figs", "year": year} for name, year in (("a", 1), ("b", 2), ("c", 3))], started
    )
    assert remove_documents(started, where="year >= 3").n_documents == 5
    assert remove_documents(started, ids=["a", "notes/plums.md"]).n_documents == 3
    assert held(started) == ["notes/apples.md", "notes/pears.md", "b"]
    assert build_index([], started).unchanged, "what was removed stays out"


def test_what_was_given_and_removed_may_be_given_again(started: Path) -> None:
    add_documents([{"id": "a", "text": "figs"}, {"id": "b", "text": "dates"}], started)
    remove_documents(started, ids="a")
    add_documents([{"id": "a", "text": "figs"}], started)
    assert held(started)[3:] == ["b", "a"]
    merge_index(started)
    assert held(started)[3:] == ["b", "a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: update_documents([{"id": "zebra", "text": "figs"}], path), "has no document 'zebra'"),
        (lambda path: remove_documents(path, ids=["notes/apples.md", "zebra"]), "has no document 'zebra'"),
        (lambda path: remove_documents(path, ids=["notes/apples.md#1"]), "is a passage of 'notes/apples.md'"),
        (
            lambda path: remove_documents(path, ids=[f"notes/{n}.md" for n in ("apples", "pears", "plums")]),
            "nothing would be left",
        ),
        (
            lambda path: remove_from_index(
                [f"notes/{n}.md" for n in ("apples", "pears", "plums")], path, most_lost=1.0
            ),
            "nothing would be left",
        ),
        (lambda path: remove_documents(path), "takes either ids or where"),
        (lambda path: remove_documents(path, ids=["a"], where="a = 1"), "takes either ids or where"),
        (lambda path: remove_documents(path, where="colour = 1"), "no document has metadata 'colour'"),
    ],
)
def test_what_cannot_go_changes_nothing(started: Path, change: Any, message: str) -> None:
    with pytest.raises((IndexProblem, SpecError), match=message):
        change(started)
    assert len(held(started)) == 3


@pytest.mark.parametrize(
    "change",
    [lambda path: update_documents("a", path), lambda path: remove_documents(path, ids=["a"]), merge_index],
    ids=["update", "remove", "merge"],
)
def test_without_an_index_there_is_nothing_to_change(path: Path, change: Any) -> None:
    with pytest.raises(IndexProblem, match="no index at"):
        change(path)
    assert not path.exists()


@pytest.mark.parametrize("rewrite", [False, True])
def test_all_documents_of_a_corpus_cannot_go(path: Path, rewrite: bool) -> None:
    add_documents([{"id": "a", "text": "figs"}, {"id": "b", "text": "dates"}], path, legs=["lexical"])
    with pytest.raises(IndexProblem, match="nothing would be left"):
        remove_from_index(["a", "b"], path, most_lost=1.0, rewrite=rewrite)
    assert held(path) == ["a", "b"]


def test_nothing_to_remove_writes_nothing(started: Path) -> None:
    before = (started / "CURRENT").read_bytes()
    assert remove_documents(started, ids=[]).unchanged
    assert merge_index(started).unchanged
    assert (started / "CURRENT").read_bytes() == before


def test_everything_may_be_replaced(path: Path) -> None:
    add_documents([{"id": "a", "text": "figs"}, {"id": "b", "text": "dates"}], path, legs=["lexical"])
    update_documents([{"id": "b", "text": "plums"}, {"id": "a", "text": "pears"}], path)
    assert held(path) == ["b", "a"]
    assert [entry.name for entry in (path / PARTS).iterdir()] == ["part-000001"]


# --- parts ---


def test_the_index_that_was_there_is_not_written_again(started: Path) -> None:
    first = {file.name: file.stat().st_ino for file in started.rglob("documents.jsonl")}
    add_documents("figs", started)
    assert first["documents.jsonl"] in {file.stat().st_ino for file in started.rglob("documents.jsonl")}


def test_a_file_system_without_links_gets_copies(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any, **more: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    assert add_documents({"id": "a", "text": "figs"}, started).n_parts == 2
    assert held(started)[3:] == ["a"]


def test_readers_keep_their_parts_and_the_next_writer_takes_what_nobody_lists(started: Path) -> None:
    add_documents({"id": "a", "text": "figs"}, started)
    with LocalIndex.open(started) as reader:
        merge_index(started)
        add_documents({"id": "b", "text": "dates"}, started)
        assert len(reader) == 4, "loaded only now"
        assert reader.documents[3].doc_id == "a"
        assert reader.leg("lexical").document_frequency("fig") == 1
        assert reader.newest() != reader.generation
    remove_documents(started, ids=["b"])
    with LocalIndex.open(started) as index:
        assert {entry.name for entry in (started / PARTS).iterdir()} == {part.name for part in index.manifest.parts}


def test_many_small_adds_become_one_part(started: Path) -> None:
    for number in range(3 * TIER):
        report = add_documents({"id": f"d{number}", "text": f"fig {number}"}, started)
        assert report.n_parts <= TIER
    assert held(started)[3:] == [f"d{number}" for number in range(3 * TIER)]
    assert len(having(started, "fig")) == 20


def test_a_merge_reads_no_text_for_its_words(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_documents("figs and dates", started)
    before = having(started, "figs"), having(started, "trees")
    with monkeypatch.context() as patch:
        patch.setattr(Analyzer, "terms", None)
        merge_index(started)
    assert (having(started, "figs"), having(started, "trees")) == before


def test_near_duplicates_are_known_right_after_an_add(started: Path) -> None:
    text = " ".join(f"word{n}" for n in range(40))
    add_documents({"id": "a", "text": text}, started)
    add_documents({"id": "b", "text": text + " more"}, started)
    with LocalIndex.open(started) as index:
        rows = [index.documents.row(name) for name in ("a", "b")]
        assert index.near_duplicates().group(rows[1]) == rows


def test_a_merged_chain_lies_in_no_parts(started: Path) -> None:
    add_documents("figs", started)
    with LocalIndex.open(started) as index:
        assert len(index.manifest.parts) == 2
    merge_index(started)
    with LocalIndex.open(started) as index:
        assert not index.manifest.parts
    assert not (started / PARTS).exists()


def test_identity_follows_what_is_in_it_and_not_when_it_was_made(started: Path, tmp_path: Path) -> None:
    shutil.copytree(started, tmp_path / "other")
    said = set()
    for place in (started, tmp_path / "other"):
        add_documents([{"id": "a", "text": "figs"}, {"id": "b", "text": "dates"}], place)
        remove_documents(place, ids="a")
        with LocalIndex.open(place) as index:
            said.add(index.identity)
    assert len(said) == 1
    remove_documents(started, ids="notes/apples.md")
    with LocalIndex.open(started) as index:
        assert index.identity not in said


def test_memory_counts_all_parts(started: Path) -> None:
    def needed() -> int:
        with LocalIndex.open(started) as index:
            return sum(need.n_bytes for need in index.memory(["lexical"]))

    before = needed()
    add_documents("figs " * 1000, started)
    assert needed() > before


@pytest.mark.parametrize("name", ["documents.jsonl", "manifest.json", "lexical/counts.npy", "removed/0.npy"])
def test_a_flipped_byte_in_any_part_is_found(started: Path, name: str) -> None:
    add_documents({"id": "a", "text": "figs"}, started)
    remove_documents(started, ids="notes/apples.md")
    for file in [*started.rglob(name)]:
        whole = file.read_bytes()
        file.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(IndexProblem, match="is damaged"):
            LocalIndex.open(started)
        file.write_bytes(whole)


def test_a_part_that_is_missing_is_named(started: Path) -> None:
    add_documents({"id": "a", "text": "figs"}, started)
    shutil.rmtree(started / PARTS / "part-000001")
    with pytest.raises(IndexProblem, match="Build the index again"):
        LocalIndex.open(started)


def test_a_damaged_chain_reads_its_files_again_and_says_what_it_cannot(started: Path) -> None:
    add_documents({"id": "a", "text": "figs"}, started)
    (started / PARTS / "part-000001" / "documents.jsonl").write_text("{}")
    with pytest.raises(SpecError, match="handed over in Python, and what the index has of them is damaged"):
        build_index([], started)
    build_index(started.parent / "notes", started, prune=True, most_lost=1.0)
    assert len(held(started)) == 3


def test_a_second_writer_is_told_to_wait(started: Path) -> None:
    inside, done = threading.Event(), threading.Event()

    def slow() -> Iterator[str]:
        yield "figs"
        inside.set()
        done.wait(120)

    writer = threading.Thread(target=add_documents, args=(slow(), started))
    writer.start()
    inside.wait(120)
    with pytest.raises(IndexBusy, match="is being built by another process"):
        remove_documents(started, ids="notes/apples.md")
    done.set()
    writer.join()
    assert len(held(started)) == 4


# --- indexes that are written anew ---

ANEW = {
    "rank-bm25": {"bm25": {"variant": "okapi"}},
    "by language": {"analyzer": {"language": "each"}},
}


@pytest.mark.parametrize("kind", ANEW)
def test_a_leg_that_cannot_lie_in_parts_is_written_anew(path: Path, notes: Path, kind: str) -> None:
    build_index(notes, path, legs=["lexical"], settings=IndexSettings.model_validate(ANEW[kind]))
    assert add_documents({"id": "a", "text": "figs"}, path).n_parts == 1
    assert (
        update_documents([{"id": "a", "text": "dates"}, {"id": "notes/pears.md", "text": "quinces"}], path).n_parts == 1
    )
    assert remove_documents(path, ids="notes/apples.md").n_parts == 1
    assert held(path) == ["notes/plums.md", "a", "notes/pears.md"]
    with pytest.raises(SpecError, match="has a document 'a'"):
        add_documents({"id": "a", "text": "figs"}, path)
    with pytest.raises(IndexProblem, match="has no document 'zebra'"):
        update_documents({"id": "zebra", "text": "figs"}, path)
    with pytest.raises(IndexProblem, match="nothing would be left"):
        remove_documents(path, ids=held(path))


def test_an_index_of_an_older_version_is_written_anew(path: Path) -> None:
    shutil.copytree(OLDER, path)
    before = held(path)
    report = add_documents({"id": "a", "text": "figs"}, path)
    assert (report.n_parts, report.anew) == (1, "an older version made it")
    assert held(path) == [*before, "a"]
    assert add_documents({"id": "b", "text": "dates"}, path).n_parts == 1 + any(path.glob("parts/*"))


@pytest.mark.parametrize(
    ("leg", "facts", "why"),
    [
        ("lexical", {"counts": True}, ""),
        ("lexical", {"variant": "okapi"}, "bm25.variant okapi counts all documents"),
        ("lexical", {"n_by_language": {"de": 1}}, "analyzer.language each weighs the words of each language apart"),
        ("lexical", {"variant": "lucene"}, "a lexical leg of an older version keeps no counts"),
        ("dense", {"structure": "flat", "storage": "float32"}, ""),
        ("dense", {"structure": "flat", "storage": "int8"}, "vectors as flat, int8 are laid out by all of them"),
        ("dense", {"structure": "hnsw", "storage": "float32"}, "vectors as hnsw, float32 are laid out by all of them"),
        ("sparse", {}, ""),
        ("late_interaction", {}, "a late_interaction leg is one piece"),
    ],
)
def test_every_kind_of_leg_says_why_it_lies_in_one_part(leg: str, facts: dict[str, Any], why: str) -> None:
    assert LEGS.get(leg)().why_whole(facts) == why


# --- beside sources ---


def test_what_was_given_outlives_updates_by_sources(started: Path, notes: Path, tmp_path: Path) -> None:
    add_documents({"id": "a", "text": "figs"}, started)
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.md").write_text("dates")
    build_index(other, started)
    assert held(started)[-2:] == ["other/x.md", "a"], "what may be added to is last"
    add_documents({"id": "b", "text": "quinces"}, started)
    assert [source.source.name for source in index_sources(started)] == ["notes", "other", "given"]
    build_index(other, started, prune=True, most_lost=1.0)
    assert held(started) == ["other/x.md", "a", "b"]


def test_what_was_given_goes_by_its_name(started: Path) -> None:
    add_documents({"id": "a", "text": "figs"}, started)
    remove_from_index(["given"], started)
    assert len(held(started)) == 3
    add_documents({"id": "a", "text": "figs"}, started)
    remove_from_index(["a"], started)
    add_documents({"id": "a", "text": "figs"}, started)
    assert held(started)[3:] == ["a"]


def test_a_folder_of_the_same_name_is_another_source(path: Path, notes: Path) -> None:
    build_index(notes.rename(notes.parent / "given"), path, legs=["lexical"])
    add_documents({"id": "a", "text": "figs"}, path)
    add_documents({"id": "b", "text": "figs"}, path)
    assert [source.source.name for source in index_sources(path)] == ["given", "given~2"]
    assert len(held(path)) == 5


def test_a_file_of_the_same_name_is_another_record(path: Path, notes: Path) -> None:
    (notes / "apples.md").rename(notes.parent / "given")
    (notes.parent / "given").rename(notes.parent / "given.md")
    build_index(notes.parent / "given.md", path, name="given", legs=["lexical"])
    add_documents([{"id": "a", "text": "figs"}, {"id": "b", "text": "dates"}], path)
    remove_documents(path, ids="a")
    assert [record.name for source in index_sources(path) for record in source.records] == ["given", "given~2"]
    assert len(held(path)) == 2


def test_settings_and_legs_of_an_index_are_its_own(path: Path) -> None:
    add_documents({"id": "a", "text": "figs"}, path, legs=["lexical"])
    assert add_documents({"id": "b", "text": "figs"}, path, legs=["lexical"], settings=IndexSettings()).n_parts == 2
    other = IndexSettings.model_validate({"bm25": {"k1": 2.0}})
    for given in ({"settings": other}, {"legs": ["lexical", "dense"]}):
        with pytest.raises(SpecError, match="has legs lexical and settings of its own, and other ones are given"):
            add_documents({"id": "c", "text": "figs"}, path, **given)  # type: ignore[arg-type]


def test_a_passage_whose_id_is_taken_is_refused(path: Path) -> None:
    cut = IndexSettings.model_validate({"chunking": {"corpora": True, "tokens": 16, "overlap": 0}})
    add_documents([{"id": "a#2", "title": "figs"}], path, legs=["lexical"], settings=cut)
    with pytest.raises(SpecError, match=r"passage 'a#2' of what was given has the id of a document"):
        add_documents([{"id": "a", "text": "All about figs and trees. " * 30}], path)
    assert len(held(path)) == 1


def _keeps_the_protocol(index: LocalIndex) -> Index:
    return index
