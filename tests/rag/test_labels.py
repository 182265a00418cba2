"""Labels of an index that is built: from a file, from metadata, kept, changed, missing and broken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.access import Asker
from rag.core.errors import SpecError
from rag.core.filters import asked_by
from rag.indexing import IndexReport, add_documents, build_index, remove_documents, remove_from_index
from retrievers.index.access import CODES, LABELS
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

ANN, BOB = Asker(user="ann", tenant="north"), Asker(user="bob", tenant="north")
OF_ANN: Mapping[str, Any] = {"tenant": "north", "owner": "ann"}
BY_METADATA = IndexSettings.model_validate({"reading": {"access": "acl"}})


def corpus(folder: Path, **metadata: Mapping[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    records = [{"_id": doc_id, "text": f"paid leave {doc_id}", **more} for doc_id, more in metadata.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder / "corpus.jsonl"


def labels(path: Path, **of: Any) -> Path:
    path.write_text("".join(json.dumps({"_id": doc_id, **label}) + "\n" for doc_id, label in of.items()))
    return path


def built(source: Path | list[Path], place: Path, **more: Any) -> IndexReport:
    return build_index(source, place, **{"legs": ("lexical",), **more})


def read_by(place: Path, asker: Asker | None) -> set[str]:
    with LocalIndex.open(place) as index:
        return {document.doc_id for document in index.documents.many(index.rows(asked_by(asker)))}


def test_metadata_says_who_reads_and_what_is_missing_or_broken_is_nobodys_and_counted(tmp_path: Path) -> None:
    source = corpus(
        tmp_path / "c",
        a={"acl": OF_ANN},
        b={"acl": {"public": True}},
        c={},
        d={"acl": "public"},
        e={"acl": {"public": True, "deny_groups": ["x"]}},
        f={"acl": {**OF_ANN, "users": "bob"}},
    )
    report = built(source, tmp_path / "i", settings=BY_METADATA)
    assert read_by(tmp_path / "i", ANN) == {"a", "b"}
    assert read_by(tmp_path / "i", BOB) == read_by(tmp_path / "i", None) == {"b"}
    [told] = [problem.reason for problem in report.problems]
    assert told.startswith("passages that nobody may read, as their label is missing or cannot be understood: 4: ")
    assert "there is no label (1)" in told
    assert "it is no object but str (1)" in told
    assert not report.unread


def test_an_index_without_labels_is_what_it_was(tmp_path: Path) -> None:
    built(corpus(tmp_path / "c", a={"access": OF_ANN}, b={}), tmp_path / "i")
    assert read_by(tmp_path / "i", ANN) == read_by(tmp_path / "i", None) == {"a", "b"}
    with LocalIndex.open(tmp_path / "i") as index:
        assert not index.labelled
        assert index.mask(None) is None
        assert "access" not in str(index.manifest.settings.counted(index.legs))


def test_a_file_of_labels_beats_metadata_and_the_next_builds_keep_it(tmp_path: Path) -> None:
    source = corpus(tmp_path / "c", a={"access": {"public": True}}, b={"access": {"public": True}})
    report = built(source, tmp_path / "i", labels=labels(tmp_path / "l", a=OF_ANN, gone={"public": True}))
    assert [problem.reason for problem in report.problems] == [
        "labels of documents that are not there: 1, such as 'gone'"
    ]
    for asker, ids in ((ANN, {"a", "b"}), (BOB, {"b"}), (None, {"b"})):
        assert read_by(tmp_path / "i", asker) == ids
    assert built(source, tmp_path / "i").unchanged
    other = corpus(tmp_path / "more", c={"access": {"public": True}}, d={})
    built(other, tmp_path / "i", settings=IndexSettings())  # a graph that says nothing of labels
    assert read_by(tmp_path / "i", None) == {"b", "c"}
    assert read_by(tmp_path / "i", ANN) == {"a", "b", "c"}
    remove_from_index(["b"], tmp_path / "i", most_lost=1.0)
    assert read_by(tmp_path / "i", None) == {"c"}


def test_documents_come_and_go_with_their_labels(tmp_path: Path) -> None:
    source = corpus(tmp_path / "c", a={"year": 1}, b={"year": 2}, c={"year": 1})
    public = {"public": True}
    built(source, tmp_path / "i", labels=labels(tmp_path / "l", a=OF_ANN, b=public, c=public))
    added = [{"id": "d", "text": "paid leave d", "access": OF_ANN}, {"id": "e", "text": "paid leave e"}]
    add_documents(added, tmp_path / "i")
    assert read_by(tmp_path / "i", None) == {"b", "c"}
    assert read_by(tmp_path / "i", ANN) == {"a", "b", "c", "d"}
    remove_documents(tmp_path / "i", where="year = 1")  # who keeps the index takes out what not everybody may read, too
    assert read_by(tmp_path / "i", ANN) == {"b", "d"}


def test_other_labels_alone_are_a_change(tmp_path: Path) -> None:
    source = corpus(tmp_path / "c", a={}, b={})
    built(source, tmp_path / "i", labels=labels(tmp_path / "l", a=OF_ANN, b=OF_ANN))
    with LocalIndex.open(tmp_path / "i") as index:
        before = index.identity
    assert built(source, tmp_path / "i", labels=labels(tmp_path / "l", a=OF_ANN, b=OF_ANN)).unchanged
    report = built(source, tmp_path / "i", labels=labels(tmp_path / "l", a=OF_ANN, b={"public": True}))
    assert not report.unchanged
    assert report.n_reused_files == 1
    assert read_by(tmp_path / "i", None) == {"b"}
    with LocalIndex.open(tmp_path / "i") as index:
        assert index.identity != before


def test_every_passage_has_the_label_of_its_document(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name in ("mine", "open"):
        (tmp_path / "c" / f"{name}.md").write_text("# Leave\n\n" + "Paid leave is thirty days. " * 200)
    labels(tmp_path / "l", **{"c/mine.md": OF_ANN, "c/open.md": {"public": True}})
    built(tmp_path / "c", tmp_path / "i", labels=tmp_path / "l")
    anybody, ann = read_by(tmp_path / "i", None), read_by(tmp_path / "i", ANN)
    assert len(anybody) > 3
    assert all("open.md#" in doc_id for doc_id in anybody)
    assert len(ann) == 2 * len(anybody)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('{"public": true}\n', "no id of a document"),
        ("nonsense\n", "not JSON"),
        ('{"_id": "a"}\n' * 2, "has a label already"),
    ],
)
def test_a_file_of_labels_that_cannot_be_read_stops_the_build(tmp_path: Path, lines: str, why: str) -> None:
    (tmp_path / "l").write_text(lines)
    with pytest.raises(SpecError, match=why):
        built(corpus(tmp_path / "c", a={}), tmp_path / "i", labels=tmp_path / "l")
    assert not (tmp_path / "i" / "CURRENT").exists()


def test_labels_that_were_taken_away_or_changed_are_damage(tmp_path: Path) -> None:
    from rag.core.errors import IndexProblem

    built(corpus(tmp_path / "c", a={"acl": OF_ANN}), tmp_path / "i", settings=BY_METADATA)
    [generation] = (tmp_path / "i").glob("generation-*")
    for name in (LABELS, CODES):
        kept = (generation / name).read_bytes()
        (generation / name).unlink()
        with pytest.raises(IndexProblem, match=name):
            LocalIndex.open(tmp_path / "i")
        (generation / name).write_bytes(kept[:-1] + b"x")
        with pytest.raises(IndexProblem, match=name):
            LocalIndex.open(tmp_path / "i")
        (generation / name).write_bytes(kept)


@pytest.mark.parametrize("broken", ["manifest.json", "documents.jsonl"])
def test_a_damaged_index_does_not_come_back_open(tmp_path: Path, broken: str) -> None:
    source = corpus(tmp_path / "c", a={}, b={"access": {"public": True}})
    built(source, tmp_path / "i", labels=labels(tmp_path / "l", a=OF_ANN))
    [generation] = (tmp_path / "i").glob("generation-*")
    (generation / broken).write_bytes(b"damaged")
    built(source, tmp_path / "i", settings=IndexSettings(), prune=True)
    assert read_by(tmp_path / "i", None) == read_by(tmp_path / "i", ANN) == {"b"}


def test_a_passage_has_no_label_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.md").write_text("# Leave\n\n" + "Paid leave is thirty days. " * 200)
    given = labels(tmp_path / "l", **{"c/mine.md#1": {"public": True}})
    report = built(tmp_path / "c", tmp_path / "i", labels=given)
    assert any("not there: 1, such as 'c/mine.md#1'" in problem.reason for problem in report.problems)
    for _ in range(2):
        assert read_by(tmp_path / "i", None) == set()
        (tmp_path / "c" / "other.md").write_text("More on leave.")
        built(tmp_path / "c", tmp_path / "i")


def test_commands_take_labels_and_who_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "i")
    source = corpus(tmp_path / "c", a={"acl": OF_ANN}, b={"acl": {"public": True}})
    assert main(["index", str(source), "--index", place, "--graph", "bm25", "--access-key", "acl"]) == 0
    who = json.dumps(ANN.as_dict())

    def hits(*more: str) -> set[str]:
        capsys.readouterr()
        assert main(["search", "paid leave", "--index", place, "--graph", "bm25", "--json", "--no-server", *more]) == 0
        return {hit["doc_id"] for hit in json.loads(capsys.readouterr().out)["hits"]}

    assert hits() == {"b"}
    assert hits("--as", who) == {"a", "b"}
    assert main(["show", "a", "--index", place]) == 2
    assert main(["show", "a", "--index", place, "--as", who]) == 0
    assert "paid leave a" in capsys.readouterr().out
    assert main(["search", "paid leave", "--index", place, "--graph", "bm25", "--as", "{"]) == 2
    assert "--as: not JSON" in capsys.readouterr().err
