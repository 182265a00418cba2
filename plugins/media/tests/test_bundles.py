"""An index as one file: it comes back as it was, and a changed byte refuses the whole."""

from __future__ import annotations

import io
import random
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from rag import build_index, remove_from_index
from rag.errors import IndexProblem, SpecError
from rag.indexes import LocalIndex
from ragline_media.bundles import bundle, unbundle


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    for number in range(3):
        (tmp_path / "notes" / f"{number}.txt").write_text(f"Note {number} is about buses.\n")
    build_index(tmp_path / "notes", tmp_path / "idx", legs=("lexical",))
    return tmp_path / "idx"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sealed(data: bytes) -> bytes:
    return data + sha256(data).hexdigest().encode()


def test_it_comes_back_byte_for_byte_and_without_what_is_being_built(index: Path, tmp_path: Path) -> None:
    whole = {name: data for name, data in files(index).items() if not name.endswith(".lock")}
    for left in ("building-000009", "generation-000009", "work", "parts/part-000009"):
        (index / left).mkdir(parents=True)
        (index / left / "secret.txt").write_text("of a build, or of a generation before")
    digest = bundle(index, tmp_path / "one.ragline")
    assert unbundle(tmp_path / "one.ragline", tmp_path / "back") == digest
    assert files(tmp_path / "back") == {**whole, "ragline.lock": b""}
    with LocalIndex.open(tmp_path / "back") as opened:
        assert len(opened.documents) == 3
    assert bundle(tmp_path / "back", tmp_path / "two.ragline") == digest, "nothing of when and by whom is in it"


def test_a_changed_index_with_several_parts_comes_back_too(index: Path, tmp_path: Path) -> None:
    (tmp_path / "notes" / "3.txt").write_text("A fourth one.\n")
    build_index(tmp_path / "notes", index)
    remove_from_index(["notes/0.txt"], index)
    bundle(index, tmp_path / "one.ragline")
    unbundle(tmp_path / "one.ragline", tmp_path / "back")
    (tmp_path / "notes" / "4.txt").write_text("A fifth one.\n")
    build_index(tmp_path / "notes", index)
    build_index(tmp_path / "notes", tmp_path / "back")
    with LocalIndex.open(index) as ours, LocalIndex.open(tmp_path / "back") as theirs:
        assert [each.doc_id for each in theirs.documents] == [each.doc_id for each in ours.documents]


@pytest.mark.parametrize("seed", range(8))
def test_one_changed_byte_refuses_the_whole(index: Path, tmp_path: Path, seed: int) -> None:
    bundle(index, tmp_path / "one.ragline")
    data = bytearray((tmp_path / "one.ragline").read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 1
    (tmp_path / "bad.ragline").write_bytes(data)
    with pytest.raises(IndexProblem, match="a byte of it changed"):
        unbundle(tmp_path / "bad.ragline", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob(".back-*"))


@pytest.mark.parametrize("data", [b"", b"short", bytes(10_000)])
def test_what_is_no_bundle_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.ragline").write_bytes(data)
    with pytest.raises(IndexProblem, match="no bundle of an index"):
        unbundle(tmp_path / "bad.ragline", tmp_path / "back")


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 3
        archive.addfile(member, io.BytesIO(b"bad"))
    (tmp_path / "bad.ragline").write_bytes(sealed(stream.getvalue()))
    (tmp_path / "inside").mkdir()
    with pytest.raises(IndexProblem, match="no plain file of an index"):
        unbundle(tmp_path / "bad.ragline", tmp_path / "inside" / "back")
    assert not (tmp_path / "out").exists()


def test_links_and_what_is_no_index_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.REGTYPE):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            member = tarfile.TarInfo("CURRENT")
            member.type, member.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(member, io.BytesIO(b""))
        (tmp_path / "bad.ragline").write_bytes(sealed(stream.getvalue()))
        with pytest.raises(IndexProblem):
            unbundle(tmp_path / "bad.ragline", tmp_path / "back")
        assert not (tmp_path / "back").exists()


def test_what_is_there_is_not_written_over(index: Path, tmp_path: Path) -> None:
    bundle(index, tmp_path / "one.ragline")
    with pytest.raises(SpecError, match="name another"):
        bundle(index, tmp_path / "one.ragline")
    with pytest.raises(SpecError, match="name another"):
        unbundle(tmp_path / "one.ragline", index)
