"""An index of several sources: what a build adds, what it leaves alone, and what goes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import IndexProblem, SpecError
from rag.indexing import IndexReport, TooMuchLost, build_index, index_sources, remove_from_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

OLDER = Path(__file__).parent / "older_index"
"""Made by the version before sources were recorded, from `OLD_PAGES`."""
OLD_PAGES = {
    "handbook/leave.md": "# Leave\n\nEveryone has thirty days of paid leave.\n",
    "travel.txt": "Take the train.\n",
}


def write(folder: Path, **texts: str) -> Path:
    """Text files; `_` in a name stands for the dot of its suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def build(path: Path, *sources: Path, **options: Any) -> IndexReport:
    return build_index(sources, path, **{"legs": ["lexical"], **options})


def ids(path: Path) -> list[str]:
    with LocalIndex.open(path) as index:
        index.verify()
        return sorted({document.parent for document in index.documents})


def names(path: Path) -> list[str]:
    return [holding.source.name for holding in index_sources(path)]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return write(tmp_path / "notes", a_md="# A\n\nApples.", b_txt="Bananas.")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write(tmp_path / "other", c_csv="id,text\n1,cherries\n2,damsons\n", d_txt="Elderberries.")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


BOTH = ["notes/a.md", "notes/b.txt", "other/c.csv:1", "other/c.csv:2", "other/d.txt"]


def test_a_second_source_is_added_to_the_first(path: Path, notes: Path, other: Path) -> None:
    build(path, notes)
    report = build(path, other)
    assert (report.n_sources, report.n_files, report.n_reused_files, report.losses) == (2, 4, 2, ())
    assert ids(path) == BOTH
    assert [(h.source.name, h.source.root) for h in index_sources(path)] == [
        ("notes", str(notes)),
        ("other", str(other)),
    ]


def test_the_same_in_one_go_is_the_same_index(tmp_path: Path, path: Path, notes: Path, other: Path) -> None:
    build(path, notes)
    build(path, other)
    build(tmp_path / "at once", notes, other)
    with LocalIndex.open(path) as one, LocalIndex.open(tmp_path / "at once") as two:
        assert one.identity == two.identity


def test_where_the_sources_lie_is_no_part_of_what_an_index_is(tmp_path: Path, path: Path, notes: Path) -> None:
    build(path, notes)
    build(tmp_path / "second", shutil.copytree(notes, tmp_path / "elsewhere" / "notes"))
    with LocalIndex.open(path) as one, LocalIndex.open(tmp_path / "second") as two:
        assert one.identity == two.identity


def test_ids_do_not_depend_on_what_else_is_named(tmp_path: Path, notes: Path, other: Path) -> None:
    for number, sources in enumerate(([notes, other], [other, notes], [other])):
        build(tmp_path / str(number), *sources)
        assert "other/d.txt" in ids(tmp_path / str(number))


def test_named_sources_are_brought_up_to_date_and_others_are_not_even_looked_at(
    path: Path, notes: Path, other: Path
) -> None:
    build(path, notes, other)
    write(notes, e_txt="Figs.")
    (notes / "b.txt").unlink()
    (other / "d.txt").write_text("Grapes.")
    report = build(path, notes)
    assert [(loss.name, loss.n_documents) for loss in report.losses] == [("notes/b.txt", 1)]
    assert ids(path) == ["notes/a.md", "notes/e.txt", "other/c.csv:1", "other/c.csv:2", "other/d.txt"]
    with LocalIndex.open(path) as index:
        assert index.documents[index.documents.row("other/d.txt#1")].text == "Elderberries."
    build(path)
    with LocalIndex.open(path) as index:
        assert index.documents[index.documents.row("other/d.txt#1")].text == "Grapes."


def test_a_source_that_is_not_there_keeps_what_it_gave(path: Path, notes: Path, other: Path, tmp_path: Path) -> None:
    build(path, notes, other)
    notes.rename(tmp_path / "moved")
    report = build(path)
    assert [str(problem) for problem in report.problems] == [
        "notes: no such file or folder; what the index has of it stays as it is"
    ]
    assert (report.unread, report.unchanged, ids(path)) == ((), True, BOTH)
    with pytest.raises(SpecError, match=r"nothing to index in .*notes.* no file that can be read"):
        build(path, notes)
    assert ids(path) == BOTH


def test_an_emptied_folder_is_a_source_that_is_not_there(path: Path, notes: Path, other: Path) -> None:
    """Such is a disk that is not mounted."""
    build(path, notes, other)
    for file in notes.iterdir():
        file.unlink()
    assert "there is no file in it that can be read; what the index has of it stays" in str(build(path).problems[0])
    assert ids(path) == BOTH


def test_a_folder_that_may_not_be_looked_into_keeps_its_files(
    path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(notes / "deep", f_txt="Figs.")
    build(path, notes)
    scandir = os.scandir

    def refuse(folder: Any) -> Any:
        if str(folder).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    report = build(path, notes)
    assert ids(path) == ["notes/a.md", "notes/b.txt", "notes/deep/f.txt"]
    assert (report.losses, len(report.problems)) == ((), 1)


def test_a_moved_source_is_told_by_its_name(path: Path, notes: Path, other: Path, tmp_path: Path) -> None:
    build(path, notes, other)
    moved = notes.rename(tmp_path / "moved")
    report = build(path, moved, name="notes")
    assert (report.n_reused_files, report.n_sources, ids(path)) == (4, 2, BOTH)
    assert build(path, moved).unchanged


def test_a_source_may_be_updated_by_its_name_alone(
    path: Path, notes: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(path, notes, other)
    write(notes, e_txt="Figs.")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert build(path, Path("notes")).n_files == 5


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\x1b[31m"])
def test_a_name_that_cannot_be_one_is_refused(path: Path, notes: Path, name: str) -> None:
    with pytest.raises(SpecError, match="cannot name a source"):
        build(path, notes, name=name)


def test_one_name_is_for_one_source(path: Path, notes: Path, other: Path) -> None:
    with pytest.raises(SpecError, match="a name is for one source, and 2 are given"):
        build(path, notes, other, name="x")


def test_folders_of_one_name_are_told_apart(path: Path, notes: Path, tmp_path: Path) -> None:
    second = write(tmp_path / "x" / "notes", a_md="Second.")
    build(path, notes)
    build(path, second)
    assert ids(path) == ["notes/a.md", "notes/b.txt", "notes~2/a.md"]
    assert build(path).unchanged


def test_a_file_stays_with_the_source_that_gave_it(path: Path, notes: Path, tmp_path: Path) -> None:
    deep = write(notes / "deep", f_txt="Figs.")
    build(path, deep)
    build(path, notes)
    assert ids(path) == ["deep/f.txt", "notes/a.md", "notes/b.txt"]
    assert build(path).unchanged
    write(deep, g_txt="Grapes.")
    build(path, notes)
    assert "notes/deep/g.txt" in ids(path), "new there, and the source `deep` was not looked at"
    build(tmp_path / "fresh", notes, deep, notes / "a.md")
    assert ids(tmp_path / "fresh") == ["notes/a.md", "notes/b.txt", "notes/deep/f.txt", "notes/deep/g.txt"]
    assert names(tmp_path / "fresh") == ["notes"]


def test_a_file_is_a_source_of_its_own_name(path: Path, notes: Path) -> None:
    build(path, notes / "a.md")
    assert ids(path) == ["a.md"]
    assert build(path, notes / "a.md").unchanged


@pytest.mark.parametrize("target", ["other", "ROOT"])
def test_a_source_is_removed_by_name_or_place(path: Path, notes: Path, other: Path, target: str) -> None:
    build(path, notes, other)
    report = remove_from_index([str(other) if target == "ROOT" else target], path, most_lost=1.0)
    assert [(loss.name, loss.n_documents) for loss in report.losses] == [("other/c.csv", 2), ("other/d.txt", 1)]
    assert (ids(path), names(path)) == (["notes/a.md", "notes/b.txt"], ["notes"])
    assert build(path).unchanged


@pytest.mark.parametrize(
    ("target", "left"),
    [
        ("other/c.csv:1", ["notes/a.md", "notes/b.txt", "other/c.csv:2", "other/d.txt"]),
        ("other/c.csv", ["notes/a.md", "notes/b.txt", "other/d.txt"]),
        ("notes/a.md", ["notes/b.txt", "other/c.csv:1", "other/c.csv:2", "other/d.txt"]),
    ],
)
def test_what_was_removed_stays_out_until_it_is_named(
    path: Path, notes: Path, other: Path, target: str, left: list[str]
) -> None:
    build(path, notes, other)
    remove_from_index([target], path)
    assert ids(path) == left
    assert build(path).unchanged
    build(path, notes, other)
    assert ids(path) == left
    for folder in (notes, other):
        for file in folder.iterdir():
            os.utime(file, (1, 1))
            file.write_text(file.read_text() + "\n")
    build(path)
    assert ids(path) == left, "also when the file is read again"
    build(path, notes, other, settings=IndexSettings.model_validate({"chunking": {"tokens": 50}}))
    assert ids(path) == left, "also when all is read again"
    build(path, notes.parent / target.split(":")[0])
    assert ids(path) == BOTH


def test_removal_needs_no_source(path: Path, notes: Path, other: Path) -> None:
    build(path, notes, other)
    shutil.rmtree(other)
    remove_from_index(["other/c.csv:1", "other/d.txt"], path)
    assert ids(path) == ["notes/a.md", "notes/b.txt", "other/c.csv:2"]


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (["others"], r"no source, file or document 'others'. Did you mean 'other'"),
        (["other/d.txt", "nonsense"], r"no source, file or document 'nonsense'.*Nothing was removed"),
        (["other/d.txt#1"], r"'other/d.txt#1' is a passage of 'other/d.txt'"),
        (["notes", "other"], "nothing would be left"),
    ],
)
def test_a_removal_that_cannot_be_changes_nothing(
    path: Path, notes: Path, other: Path, targets: list[str], says: str
) -> None:
    build(path, notes, other)
    with pytest.raises(IndexProblem, match=says):
        remove_from_index(targets, path, most_lost=1.0)
    assert ids(path) == BOTH


def test_losing_more_than_half_wants_to_be_said(path: Path, notes: Path, other: Path) -> None:
    build(path, notes, other)
    with pytest.raises(
        TooMuchLost, match=r"(?s)3 of the 5 documents .* would go:.*2 of other/c.csv.*Nothing was changed"
    ):
        remove_from_index(["other"], path)
    with pytest.raises(TooMuchLost) as caught:
        build(path, notes, prune=True)
    assert (sum(loss.n_documents for loss in caught.value.losses), caught.value.n_before) == (3, 5)
    assert ids(path) == BOTH
    (other / "c.csv").write_text("id,text\n1,cherries\n")
    assert build(path).losses[0].n_documents == 1
    build(path, notes, prune=True, most_lost=1.0)
    assert ids(path) == ["notes/a.md", "notes/b.txt"]


def test_prune_drops_what_is_not_named_or_not_there(path: Path, notes: Path, other: Path) -> None:
    build(path, notes, other)
    (other / "c.csv").unlink()
    build(path, notes, prune=True, most_lost=1.0)
    assert names(path) == ["notes"]
    build(path, other)
    shutil.rmtree(other)
    report = build(path, prune=True, most_lost=1.0)
    assert names(path) == ["notes"]
    assert str(report.problems[0]) == "other: no such file or folder; dropped from the index"


def test_other_settings_read_every_source_again(path: Path, notes: Path, other: Path) -> None:
    build(path, notes, other)
    wide = IndexSettings.model_validate({"chunking": {"tokens": 50}})
    assert build(path, notes, settings=wide).n_reused_files == 0
    assert ids(path) == BOTH
    shutil.rmtree(other)
    with pytest.raises(SpecError, match=r"source 'other' .*: no such file or folder\. .* has to be read again"):
        build(path, notes, settings=IndexSettings())
    assert ids(path) == BOTH


def test_settings_and_legs_are_those_of_the_index_where_none_are_given(path: Path, notes: Path, other: Path) -> None:
    settings = IndexSettings.model_validate({"chunking": {"tokens": 50}, "bm25": {"k1": 2.0}})
    build(path, notes, settings=settings)
    build_index(other, path)
    with LocalIndex.open(path) as index:
        assert index.legs == ("lexical",)
        assert (index.manifest.settings.chunking.tokens, index.manifest.settings.bm25.k1) == (50, 2.0)
    assert build_index([], path).unchanged


def older(folder: Path) -> Path:
    return Path(shutil.copytree(OLDER, folder))


def old_pages(folder: Path) -> Path:
    for name, text in OLD_PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_an_older_index_keeps_its_ids_and_gets_a_source(path: Path, tmp_path: Path, notes: Path) -> None:
    older(path)
    assert (ids(path), names(path)) == (sorted(OLD_PAGES), ["earlier"])
    pages = old_pages(tmp_path / "pages")
    build(path, pages)
    assert (ids(path), names(path)) == (sorted(OLD_PAGES), ["pages"])
    write(pages, c_txt="Cherries.")
    (pages / "travel.txt").unlink()
    assert [loss.name for loss in build(path, pages, notes).losses] == ["travel.txt"]
    assert ids(path) == ["c.txt", "handbook/leave.md", "notes/a.md", "notes/b.txt"]


def test_a_source_that_is_new_leaves_what_an_older_index_holds(path: Path, tmp_path: Path, notes: Path) -> None:
    """Its rows were made by older readers, so they have to be read again; until somebody says where, nothing goes."""
    older(path)
    with pytest.raises(SpecError, match=r"source 'earlier': nobody has said where it lies.*--name 'earlier'"):
        build(path, notes)
    assert ids(path) == sorted(OLD_PAGES)
    build(path, old_pages(tmp_path / "pages"), name="earlier")
    build(path, notes)
    assert ids(path) == ["handbook/leave.md", "notes/a.md", "notes/b.txt", "travel.txt"]
    assert names(path) == ["earlier", "notes"]


def test_rows_of_an_older_index_stay_where_its_readers_are_still_those_of_today(
    path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(path)
    monkeypatch.setattr("rag.indexing.units.UnitMaker.may_copy", lambda *_: True)
    build(path, notes)
    assert ids(path) == ["handbook/leave.md", "notes/a.md", "notes/b.txt", "travel.txt"]
    assert names(path) == ["earlier", "notes"]


def test_of_a_damaged_index_all_sources_are_read_again(
    path: Path, notes: Path, other: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(path, notes, other)
    (next(path.glob("generation-*")) / "documents.jsonl").write_bytes(b"")
    assert build(path, notes).n_reused_files == 0
    assert "reading all its sources again" in caplog.text
    assert ids(path) == BOTH


def test_of_a_damaged_index_that_cannot_say_its_sources_nothing_is_dropped_unasked(
    path: Path, notes: Path, other: Path
) -> None:
    build(path, notes, other)
    generation = next(path.glob("generation-*"))
    (generation / "documents.jsonl").write_bytes(b"")
    (generation / "roots.json").write_bytes(b"[]x")
    with pytest.raises(IndexProblem, match="Name all its sources, and give --prune"):
        build(path, notes)
    build(path, notes, other, prune=True)
    assert ids(path) == BOTH


def test_a_removal_from_a_damaged_index_is_refused(path: Path, notes: Path, other: Path) -> None:
    build(path, notes, other)
    (next(path.glob("generation-*")) / "documents.jsonl").write_bytes(b"")
    with pytest.raises(IndexProblem, match="damaged"):
        remove_from_index(["other"], path)


def test_a_list_of_sources_that_does_not_fit_is_damage(path: Path, notes: Path) -> None:
    build(path, notes)
    generation = next(path.glob("generation-*"))
    roots = json.loads((generation / "roots.json").read_text())
    roots[0]["n_files"] += 1
    (generation / "roots.json").write_text(json.dumps(roots))
    with pytest.raises(IndexProblem, match=r"roots.json"):
        index_sources(path)
