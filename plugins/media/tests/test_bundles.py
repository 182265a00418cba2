"""An index as one file: it comes back as it was, and a changed byte refuses the whole."""

from __future__ import annotations

import io
import random
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from plugins.media.tests.printed import printed
from plugins.serve.tests.walled import client
from rag import build_index, load_pipeline, remove_from_index
from rag.cli import main
from rag.errors import IndexProblem, SpecError
from rag.indexes import LocalIndex
from ragline_media.bundles import bundle, unbundle
from tests.scripted_graph import graph


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


RULES = [["Rules of the house", "Paid leave is thirty days a year."]]


@pytest.fixture
def manuals(tmp_path: Path) -> Path:
    """Two folders with a PDF each and a text, and a PDF by itself: read, and then all gone but one."""
    for name in ("manuals/deep", "tools"):
        (tmp_path / "home" / name).mkdir(parents=True)
    home = tmp_path / "home"
    (home / "manuals" / "deep" / "rules.pdf").write_bytes(printed(RULES))
    (home / "manuals" / "notes.txt").write_text("A note.\n")
    (home / "tools" / "saw.pdf").write_bytes(printed([["A saw is no toy."]]))
    (home / "one.pdf").write_bytes(printed([["One of its own."]]))
    build_index([home / "manuals", home / "tools", home / "one.pdf"], tmp_path / "idx", legs=("lexical",))
    return tmp_path / "idx"


def drawn_at(index: Path) -> dict[str, Path]:
    """Where the index looks for the file of each document."""
    with LocalIndex.open(index) as opened:
        found = {each.parent: opened.file_of(row) for row, each in enumerate(opened.documents)}
    return {name: place[0] for name, place in found.items() if place is not None}


def test_the_files_of_pages_go_with_it_and_its_citations_open_there(manuals: Path, tmp_path: Path) -> None:
    missed, home = list[str](), tmp_path / "home"
    (home / "tools" / "saw.pdf").write_bytes(b"another one now")
    digest = bundle(manuals, tmp_path / "one.ragline", sources=True, missed=missed.append)
    assert missed == ["tools/saw.pdf"]
    home.rename(tmp_path / "elsewhere")
    assert unbundle(tmp_path / "one.ragline", tmp_path / "back", sources=tmp_path / "src") == digest
    assert {*files(tmp_path / "src")} == {"manuals/deep/rules.pdf", "one.pdf"}
    assert drawn_at(tmp_path / "back") == {
        "manuals/deep/rules.pdf": tmp_path / "src" / "manuals" / "deep" / "rules.pdf",
        "manuals/notes.txt": tmp_path / "src" / "manuals" / "notes.txt",
        "tools/saw.pdf": home / "tools" / "saw.pdf",
        "one.pdf": tmp_path / "src" / "one.pdf",
    }
    with load_pipeline(graph(), index=tmp_path / "back") as pipeline, client(pipeline) as asking:
        [page] = asking.post("/v1/pages", json={"id": "manuals/deep/rules.pdf#1", "text": RULES[0][1]}).json()["pages"]
        assert len(page["boxes"]) == 1
        shown = asking.get("/v1/pages/picture", params={"id": "one.pdf#1", "page": 1})
        assert shown.headers["content-type"] == "image/webp"
        gone = asking.post("/v1/pages", json={"id": "tools/saw.pdf#1"})
        assert gone.json()["error"]["code"] == "file_gone"
    with LocalIndex.open(manuals) as ours, LocalIndex.open(tmp_path / "back") as theirs:
        assert theirs.manifest.identity == ours.manifest.identity, "nothing but the place is another"


def test_a_bundle_without_them_and_one_that_is_read_without_are_as_before(manuals: Path, tmp_path: Path) -> None:
    digest = bundle(manuals, tmp_path / "none.ragline")
    with pytest.raises(SpecError, match="has no sources in it"):
        unbundle(tmp_path / "none.ragline", tmp_path / "back", sources=tmp_path / "src")
    bundle(manuals, tmp_path / "with.ragline", sources=True)
    unbundle(tmp_path / "with.ragline", tmp_path / "back")
    assert bundle(tmp_path / "back", tmp_path / "again.ragline") == digest
    assert {path.name for path in tmp_path.iterdir()} == {
        "idx",
        "home",
        "back",
        "none.ragline",
        "with.ragline",
        "again.ragline",
    }


@pytest.mark.parametrize("seed", range(4))
def test_one_changed_byte_lays_out_nothing(manuals: Path, tmp_path: Path, seed: int) -> None:
    bundle(manuals, tmp_path / "one.ragline", sources=True)
    data = bytearray((tmp_path / "one.ragline").read_bytes())
    at = data.find(b"%PDF") if seed == 0 else random.Random(seed).randrange(len(data))
    data[at] ^= 1
    (tmp_path / "bad.ragline").write_bytes(data)
    with pytest.raises(IndexProblem, match="a byte of it changed"):
        unbundle(tmp_path / "bad.ragline", tmp_path / "back", sources=tmp_path / "src")
    assert {path.name for path in tmp_path.iterdir()} == {"idx", "home", "one.ragline", "bad.ragline"}


@pytest.mark.parametrize(
    "names",
    [
        ["sources/../out.pdf"],
        ["sources//../../out.pdf"],
        ["sources"],
        ["sources/a/../../../out.pdf"],
        ["sources/a", "sources/a/b"],
        ["sources/a", "sources/a"],
        [f"sources/{'a' * 300}"],
    ],
)
def test_no_source_leads_out_of_its_folder(manuals: Path, tmp_path: Path, names: list[str]) -> None:
    bundle(manuals, tmp_path / "one.ragline")
    stream = io.BytesIO((tmp_path / "one.ragline").read_bytes()[:-64])
    with tarfile.open(fileobj=stream, mode="a") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"bad"))
    (tmp_path / "bad.ragline").write_bytes(sealed(stream.getvalue()))
    (tmp_path / "inside").mkdir()
    with pytest.raises(IndexProblem, match=r"no plain file of an index|no bundle of an index"):
        unbundle(tmp_path / "bad.ragline", tmp_path / "inside" / "back", sources=tmp_path / "inside" / "src")
    assert not [*(tmp_path / "inside").iterdir()]
    assert not [*tmp_path.rglob("out.pdf")]


def test_a_link_among_the_sources_is_refused(manuals: Path, tmp_path: Path) -> None:
    bundle(manuals, tmp_path / "one.ragline")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        stream = io.BytesIO((tmp_path / "one.ragline").read_bytes()[:-64])
        with tarfile.open(fileobj=stream, mode="a") as archive:
            member = tarfile.TarInfo("sources/manuals")
            member.type, member.linkname = kind, "/etc"
            archive.addfile(member)
        (tmp_path / "bad.ragline").write_bytes(sealed(stream.getvalue()))
        with pytest.raises(IndexProblem, match="no plain file of an index"):
            unbundle(tmp_path / "bad.ragline", tmp_path / "back", sources=tmp_path / "src")
        assert not (tmp_path / "src").exists()


def test_the_two_folders_are_two(manuals: Path, tmp_path: Path) -> None:
    bundle(manuals, tmp_path / "one.ragline", sources=True)
    for index, sources in (("a", "a"), ("a", "a/b"), ("a/b", "a")):
        with pytest.raises(SpecError, match="neither within the other"):
            unbundle(tmp_path / "one.ragline", tmp_path / index, sources=tmp_path / sources)
        assert not (tmp_path / "a").exists()
    with pytest.raises(SpecError, match="name another"):
        unbundle(tmp_path / "one.ragline", tmp_path / "back", sources=tmp_path / "home")


def test_the_commands_say_what_did_not_go_with_it(
    manuals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home" / "one.pdf").unlink()
    one, back, src = (str(tmp_path / name) for name in ("one.ragline", "back", "src"))
    assert main(["bundle", "--index", str(manuals), "-o", one, "--sources"]) == 0
    told = capsys.readouterr()
    assert "1 files are not as they were read, and so not in it; first: one.pdf" in told.err
    assert f"rag unbundle {one} --index DIR --sources DIR" in told.out
    assert main(["unbundle", one, "--index", back, "--sources", src]) == 0
    assert {*files(tmp_path / "src")} == {"manuals/deep/rules.pdf", "tools/saw.pdf"}
