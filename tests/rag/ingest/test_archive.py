"""Zip archives as folders of files: what is read is named by its place, and what is not is counted and costs no other."""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import docx
import pytest

from rag.core.errors import IngestError
from rag.indexing import build_index, remove_from_index
from rag.ingest import Limits, Problem, Reader, SourceFile, discover
from retrievers.index.directory import LocalIndex
from tests.rag.ingest.alone import read

At = Callable[..., SourceFile]


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def word(text: str) -> bytes:
    file, document = io.BytesIO(), docx.Document()
    document.add_paragraph(text)
    document.save(file)
    return file.getvalue()


FILES: dict[str, str | bytes] = {
    "guide/leave.md": "# Leave\n\nThirty days.",
    "rows.csv": "id,city\n7,Berlin\n8,Rome\n",
    "lines.jsonl": '{"id": "a", "text": "A wheel."}\n{"id": "b", "text": "A cart."}\n',
    "mails.mbox": "From x\nSubject: Wheels\n\nThey are round.\n",
    "setup.docx": word("Turn it on."),
}


def test_each_file_is_read_by_its_own_reader_and_named_by_its_place(tmp_path: Path, at: At, reader: Reader) -> None:
    documents = {each.doc_id: each for each in reader.read(at(zipped(tmp_path / "all.zip", FILES)))}
    assert {doc_id: (each.title, each.metadata["source"]) for doc_id, each in documents.items()} == {
        "all.zip/guide/leave.md": ("Leave", "all.zip/guide/leave.md"),
        "all.zip/lines.jsonl:a": ("lines", "all.zip/lines.jsonl"),
        "all.zip/lines.jsonl:b": ("lines", "all.zip/lines.jsonl"),
        "all.zip/mails.mbox:1": ("Wheels", "all.zip/mails.mbox"),
        "all.zip/rows.csv:7": ("rows", "all.zip/rows.csv"),
        "all.zip/rows.csv:8": ("rows", "all.zip/rows.csv"),
        "all.zip/setup.docx": ("setup", "all.zip/setup.docx"),
    }
    assert documents["all.zip/setup.docx"].text == "Turn it on."
    assert documents["all.zip/rows.csv:7"].metadata["city"] == "Berlin"


def test_a_file_in_an_archive_reads_as_it_does_in_a_folder(tmp_path: Path, at: At, reader: Reader) -> None:
    (tmp_path / "leave.md").write_text("# Leave\n\nThirty days.\n\n## More\n\nOne more at a wedding.")
    (alone,) = reader.read(at(tmp_path / "leave.md"))
    (inside,) = reader.read(at(zipped(tmp_path / "a.zip", {"leave.md": (tmp_path / "leave.md").read_bytes()})))
    assert (inside.text, inside.blocks, inside.title) == (alone.text, alone.blocks, alone.title)


def test_what_a_folder_would_pass_over_is_passed_over(tmp_path: Path, at: At) -> None:
    told: list[Problem] = []
    files = {
        "./a.md": "words",
        ".git/b.md": "x",
        "__MACOSX/._a.md": "x",
        "node_modules/c.js": "x",
        "d\\": "",
        "d\\e.md": "words",
    }
    documents = read(at(zipped(tmp_path / "a.zip", files)), report=told.append)
    assert [each.doc_id for each in documents] == ["a.zip/a.md", "a.zip/d/e.md"]
    assert told == []


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("../out.md", "x", "names that lead out of the archive left out: 1, first ../out.md"),
        ("/etc/out.md", "x", "names that lead out of the archive left out: 1, first etc/out.md"),
        ("C:\\out.md", "x", "names that lead out of the archive left out: 1, first C:/out.md"),
        ("photo.png", "x", "files without a reader left out: 1, first photo.png"),
        ("more.zip", "x", "archives within the archive left out: 1, first more.zip"),
        ("page.md.gz", gzip.compress(b"x", mtime=0), "archives within the archive left out: 1, first page.md.gz"),
        ("long.txt", "x" * 2_000, "files of more than 1,000 bytes left out: 1, first long.txt"),
        ("torn.csv", 'a,b\n"x', "not read: not a table: unexpected end of data: 1, first in a.zip/torn.csv"),
        ("none.txt", "", "not read: empty: 1, first in a.zip/none.txt"),
        ("none.html", "<p> </p>", "files without text: 1, first in a.zip/none.html"),
        ("odd.pdf", "%PDF-1.7 broken", "not read: the pdf parser gave up: PdfStreamError: 1, first in a.zip/odd.pdf"),
    ],
)
def test_what_is_left_out_is_counted_and_the_rest_is_read(
    tmp_path: Path, at: At, name: str, content: str | bytes, reason: str
) -> None:
    told: list[Problem] = []
    path = zipped(tmp_path / "a.zip", {"a.md": "words", name: content})
    documents = read(at(path), limits=Limits(file_bytes=1_000), report=told.append)
    assert [each.doc_id for each in documents] == ["a.zip/a.md"]
    assert [(each.reason, each.lost) for each in told] == [(reason, True)]


def test_locked_files_links_and_damage_are_counted(tmp_path: Path, at: At) -> None:
    told: list[Problem] = []
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.md")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.md", "words")
        archive.writestr(link, "/etc/hostname")
        archive.writestr("locked.md", "secret")
        archive.writestr("torn.md", "to be changed")
    data = bytearray(path.read_bytes().replace(b"to be changed", b"to be Changed"))
    data[data.rindex(b"locked.md") - 38] |= 1  # in the directory at the end: encrypted
    path.write_bytes(data)
    assert [each.text for each in read(at(path), report=told.append)] == ["words"]
    assert sorted(each.reason.partition(":")[0] for each in told) == [
        "encrypted files left out",
        "not read",
        "symbolic links left out",
    ]


def test_an_archive_of_which_nothing_can_be_read_says_why(tmp_path: Path, at: At, reader: Reader) -> None:
    with pytest.raises(IngestError, match=r"a.zip: nothing in it that can be read; files without a reader left out: 2"):
        reader.read(at(zipped(tmp_path / "a.zip", {"a.png": "x", "b.png": "x"})))
    (tmp_path / "b.zip").write_bytes(b"hello")
    with pytest.raises(IngestError, match=r"b.zip: not a zip archive"):
        reader.read(at(tmp_path / "b.zip"))


@pytest.mark.parametrize("files", [{"a.txt": b"0" * 40_000_000}, {f"{i}.md": b"x" for i in range(20_001)}])
def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, at: At, reader: Reader, files: dict[str, bytes]
) -> None:
    with pytest.raises(IngestError, match=r"a.zip: unpacks to .*bomb\? Unpack it, if it is what it should be"):
        reader.read(at(zipped(tmp_path / "a.zip", files)))


def test_a_bomb_in_an_office_file_in_it_is_held_to_what_it_takes_in_the_archive(tmp_path: Path, at: At) -> None:
    inner, told = zipped(tmp_path / "bomb.docx", {"word/document.xml": b"0" * 40_000_000}), list[Problem]()
    path = zipped(tmp_path / "a.zip", {"a.md": "words", "bomb.docx": inner.read_bytes()})
    assert [each.text for each in read(at(path), report=told.append)] == ["words"]
    assert told[0].reason.startswith("not read: unpacks to more than 200 times its")


def test_an_archive_is_a_file_of_its_folder_and_a_file_in_it_a_document(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    zipped(tmp_path / "src" / "all.zip", FILES)
    assert [file.name for file in discover(tmp_path / "src").files] == ["all.zip"]
    report = build_index([tmp_path / "src"], tmp_path / "idx", legs=["lexical"])
    assert (report.n_files, report.n_documents, report.problems) == (1, 7, ())
    remove_from_index(["src/all.zip/guide/leave.md"], tmp_path / "idx")
    with LocalIndex.open(tmp_path / "idx") as index:
        assert {document.parent for document in index.documents} == {
            f"src/all.zip/{name}"
            for name in ("lines.jsonl:a", "lines.jsonl:b", "mails.mbox:1", "rows.csv:7", "rows.csv:8", "setup.docx")
        }


def test_names_that_come_twice_and_look_like_rows_stay_distinct(tmp_path: Path, at: At) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("r.csv", "id,x\n1.md,a\n")
        archive.writestr("r.csv:1.md", "words")
        archive.writestr("b.md", "# First\n\nwords")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("b.md", "# Second\n\nwords")
    documents = {each.doc_id: each.title for each in read(at(tmp_path / "a.zip"))}
    assert len(documents) == 4
    assert (documents["a.zip/b.md"], documents["a.zip/b.md~2"]) == ("First", "Second")
