"""A shadow takes the place of its index whole or not at all: own changes, kills, full disks, and what is left of them."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import IndexProblem
from rag.indexing import add_documents, merge_index, remove_documents
from rag.indexing.publish import verified
from rag.indexing.shadow import build_shadow, drop_shadow, promote_shadow, shadow_of
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import Building
from tests.rag.shadows import encoder_of, make, some_texts, two_encoders
from tests.stopped import disk_full, failing_at, files_of_at_most, killed_at

TEXTS = some_texts()
MORE = {"id": "more", "text": "wordz wordy wordx"}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return two_encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture
def index(tmp_path: Path, encoders: dict[str, str]) -> Path:
    """Made with `poor`, with a shadow that is made with `good`."""
    made = make(tmp_path, TEXTS, encoders["poor"])
    build_shadow(made, encoder=encoders["good"])
    return made


def held(path: Path) -> list[str]:
    with LocalIndex.open(path) as opened:
        opened.verify()
        return [document.doc_id for document in opened.documents]


ALL = [f"d{i}" for i in range(len(TEXTS))]


def test_a_shadow_that_was_written_to_is_not_promoted_and_nothing_moves(
    index: Path, tmp_path: Path, encoders: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(MORE) + "\n")
    shadow = str(shadow_of(index))
    assert main(["add", str(tmp_path / "x.jsonl"), "--index", shadow]) == 0
    assert main(["index", "--index", str(index), "--shadow", "--promote"]) == 4
    said = capsys.readouterr().err
    assert f"the shadow of index '{index}' was changed after it was built" in said
    assert f"rag index --index {index} --shadow --encoder NAME" in said
    assert held(index) == ALL
    assert held(shadow_of(index)) == [*ALL, "more"]
    assert main(["index", "--index", str(index), "--shadow", "--encoder", encoders["good"], "--promote"]) == 0
    assert held(index) == ALL
    assert not shadow_of(index).exists()


def test_whatever_changes_a_shadow_is_seen(index: Path, encoders: dict[str, str]) -> None:
    shadow = shadow_of(index)
    add_documents(MORE, shadow)
    with pytest.raises(IndexProblem, match="was changed after it was built"):
        promote_shadow(index)
    remove_documents(shadow, ids="more")
    with pytest.raises(IndexProblem, match="was changed after it was built"):
        promote_shadow(index)
    build_shadow(index, encoder=encoders["good"])
    promote_shadow(index)
    assert held(index) == ALL


def test_parts_of_a_shadow_come_with_it(index: Path, encoders: dict[str, str]) -> None:
    """The same was added to both, so bringing the shadow up to date leaves it as it is: in parts."""
    add_documents(MORE, index)
    add_documents(MORE, shadow_of(index))
    assert build_shadow(index, encoder=encoders["good"]).unchanged
    with LocalIndex.open(shadow_of(index)) as shadow:
        assert len(shadow.manifest.parts) == 2
    promote_shadow(index)
    with LocalIndex.open(index) as opened:
        assert encoder_of(opened) == encoders["good"]
    assert held(index) == [*ALL, "more"]
    add_documents({"id": "last", "text": "worda wordb"}, index)
    merge_index(index)
    assert held(index) == [*ALL, "more", "last"]


def test_what_does_not_read_back_as_it_was_written_is_not_published(index: Path, encoders: dict[str, str]) -> None:
    with LocalIndex.open(index) as opened:
        folder = opened.folder

    def damaged(new: Building) -> None:
        shutil.copytree(folder, new.folder, dirs_exist_ok=True)
        (new.folder / "documents.jsonl").write_bytes((folder / "documents.jsonl").read_bytes().replace(b"d7", b"d8"))

    with pytest.raises(IndexProblem, match=r"was not changed: .* documents.jsonl: content changed"):  # noqa: SIM117
        with verified(index) as new:
            damaged(new)
    assert state_of(index, ALL) == encoders["poor"]


# --- kills and full disks ---

Change = Callable[[Path], Any]


def in_two_parts(index: Path) -> None:
    """The same document is added to the index and to its shadow."""
    add_documents(MORE, index)
    add_documents(MORE, shadow_of(index))


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process leaves to the system what it wrote, and here no machine loses power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module", params=["promote", "promote in parts", "roll back", "drop"])
def change(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, encoders: dict[str, str]
) -> tuple[Path, Change, tuple[str, str], list[str]]:
    """An index, what is done to it, encoders before and after, and its documents."""
    index = make(tmp_path_factory.mktemp("change"), TEXTS, encoders["poor"])
    build_shadow(index, encoder=encoders["good"])
    documents, before, after = ALL, "poor", "good"
    if request.param == "promote in parts":
        in_two_parts(index)
        build_shadow(index, encoder=encoders["good"])
        documents = [*ALL, "more"]
    if request.param == "roll back":
        promote_shadow(index)
        build_shadow(index, encoder=encoders["poor"])
        before, after = "good", "poor"
    if request.param == "drop":
        return index, drop_shadow, (encoders["poor"], encoders["poor"]), documents
    return index, promote_shadow, (encoders[before], encoders[after]), documents


def state_of(index: Path, documents: list[str]) -> str:
    """The encoder of a whole index that holds what it should."""
    assert held(index) == documents
    with LocalIndex.open(index) as opened:
        return encoder_of(opened)


def is_gone_on_with(index: Path, change: Change, encoders: tuple[str, str], documents: list[str]) -> None:
    """What was stopped is done again, and ends as it would have; nothing is left of the shadow or of drafts."""
    if state_of(index, documents) == encoders[0] and (shadow_of(index) / "CURRENT").exists():
        assert held(shadow_of(index)) == documents
        change(index)
    drop_shadow(index)
    assert state_of(index, documents) == encoders[1]
    add_documents({"id": "last", "text": "worda"}, index)  # the next write tidies
    names = {entry.name.partition("-")[0] for entry in index.iterdir()}
    assert names == {"CURRENT", "generation", "parts", "ragline.lock"}
    assert len(list(index.glob("generation-*"))) == 1
    with LocalIndex.open(index) as opened:
        assert {entry.name for entry in (index / "parts").iterdir()} == {each.name for each in opened.manifest.parts}


def some_steps() -> Iterator[int]:
    """Ascending, drawn by chance. RAGLINE_EVERY_STEP asks for all of them."""
    chance, step = random.Random(), 0
    while True:
        step += 1 if "RAGLINE_EVERY_STEP" in os.environ else chance.randint(1, 23 if step else 11)
        yield step


@pytest.mark.parametrize("how", ["killed", "disk full"])
def test_a_stop_at_any_step_leaves_the_index_whole_and_the_change_is_done_again(
    change: tuple[Path, Change, tuple[str, str], list[str]],
    how: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    made, do, encoders, documents = change
    n = 0
    for step in some_steps():
        index = tmp_path / f"{step}" / "idx"
        shutil.copytree(made, index)
        if how == "killed":
            reached = killed_at(step, partial(do, index))
        else:
            with failing_at(step, disk_full) as were_there, suppress(IndexProblem):
                do(index)
            reached = were_there()
        assert state_of(index, documents) in encoders, step
        is_gone_on_with(index, do, encoders, documents)
        shutil.rmtree(index)
        if not reached:
            break
        n += 1
    record_property("stops", n)
    assert n


@pytest.mark.parametrize("room", [0, 200, 2_000])
def test_a_full_disk_is_told_and_leaves_both(index: Path, room: int, encoders: dict[str, str]) -> None:
    """A real limit: this process may write files of so many bytes."""
    with files_of_at_most(room), pytest.raises(IndexProblem, match=r"no room .* The index that was there is as it was"):
        promote_shadow(index)
    assert state_of(index, ALL) == encoders["poor"]
    promote_shadow(index)
    assert state_of(index, ALL) == encoders["good"]


@pytest.mark.parametrize("room", [0, 20, 2_000])
def test_a_shadow_that_finds_no_room_leaves_the_index_and_is_built_later(
    index: Path, room: int, encoders: dict[str, str]
) -> None:
    drop_shadow(index)
    with files_of_at_most(room), pytest.raises(IndexProblem, match="no room"):
        build_shadow(index, encoder=encoders["good"])
    assert state_of(index, ALL) == encoders["poor"]
    with pytest.raises(IndexProblem, match="shadow"):
        promote_shadow(index)
    build_shadow(index, encoder=encoders["good"])
    promote_shadow(index)
    assert state_of(index, ALL) == encoders["good"]
