"""Mailboxes of one file and of a folder: every mail is a document, and one that is broken costs no other."""

from __future__ import annotations

import gzip
import mailbox
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from rag.core.errors import IngestError
from rag.indexing import build_index
from rag.ingest import Limits, ParsedDocument, Problem, SourceFile, discover
from rag.ingest.formats import parser_of
from retrievers.index.directory import LocalIndex
from tests.rag.ingest.alone import read

At = Callable[..., SourceFile]
Told = list[Problem]


def mail(subject: str, text: str, *, message_id: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["Subject"], message["Date"] = "ann@x.org", subject, "Mon, 04 Mar 2024 10:00:00 +0000"
    if message_id:
        message["Message-ID"] = message_id
    message.set_content(text)
    return message


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """As Python's own library writes one: two mails, of which the first begins a line as a mail begins."""
    written = mailbox.mbox(tmp_path / "team.mbox")
    written.add(mail("Leave", "Thirty days.\n\nFrom May on 31.\n", message_id="<a@x.org>"))
    written.add(mail("Wheels", "They are round."))
    written.close()
    return tmp_path / "team.mbox"


def texts(documents: list[ParsedDocument]) -> list[str]:
    return [document.text for document in documents]


def test_every_mail_of_a_mailbox_is_a_document(box: Path, at: At) -> None:
    leave, wheels = read(at(box))
    assert (leave.doc_id, leave.title) == ("team.mbox:a@x.org", "Leave")
    assert leave.metadata["date"] == "2024-03-04T10:00:00+00:00"
    assert leave.text.endswith("Thirty days.\n\nFrom May on 31.")
    assert (wheels.doc_id, wheels.metadata["source"]) == ("team.mbox:2", "team.mbox")


def test_a_packed_mailbox_and_one_without_a_suffix_are_read(box: Path, at: At) -> None:
    packed, bare = box.with_name("old.mbox.gz"), box.with_name("mbox")
    packed.write_bytes(gzip.compress(box.read_bytes()))
    bare.write_bytes(box.read_bytes().replace(b"\n", b"\r\n"))
    assert [document.title for document in read(at(packed))] == ["Leave", "Wheels"]
    assert texts(read(at(bare))) == texts(read(at(box)))


def test_a_mail_that_is_none_is_counted_and_the_others_are_read(box: Path, at: At) -> None:
    told: Told = []
    box.write_bytes(b"From x\n\nno header\n\n" * 3 + b"\n" + box.read_bytes())
    assert len(read(at(box), report=told.append)) == 2
    assert [(each.reason, each.lost) for each in told] == [
        ("mails left out: not a mail: it has no From, To, Date or Subject: 3, first in mail 1", True)
    ]


def test_a_long_mail_is_cut_and_the_next_one_is_read(box: Path, at: At) -> None:
    told: Told = []
    long = b"From x\nSubject: Long\n\n" + b"A line of it.\n" * 10_000 + b"\n"
    box.write_bytes(long + box.read_bytes())
    first, *rest = read(at(box), limits=Limits(record_bytes=10_000), report=told.append)
    assert 9_000 < len(first.text) < 11_000
    assert [document.title for document in rest] == ["Leave", "Wheels"]
    assert [(each.reason, each.lost) for each in told] == [("mails cut after 10,000 bytes: 1, first in mail 1", True)]


def test_two_mails_of_one_id_are_two_documents(box: Path, at: At) -> None:
    box.write_bytes(2 * box.read_bytes())
    ids = [document.doc_id for document in read(at(box), report=lambda problem: None)]
    assert ids == ["team.mbox:a@x.org", "team.mbox:2", "team.mbox:a@x.org~2", "team.mbox:4"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no mail in it"),
        (b"Hello\n", "not a mailbox: its first line does not begin with 'From '"),
        (b"From x\n\n" * 1000, "no mail in it; mails left out: not a mail: it has no From, To, Date or Subject: 1,000"),
    ],
)
def test_what_is_no_mailbox_says_so(tmp_path: Path, at: At, content: bytes, reason: str) -> None:
    (tmp_path / "a.mbox").write_bytes(content)
    with pytest.raises(IngestError) as error:
        read(at(tmp_path / "a.mbox"))
    assert str(error.value).startswith(f"a.mbox: {reason}")


def test_a_mailbox_may_be_longer_than_a_file_and_a_bomb_of_one_ends(box: Path, at: At) -> None:
    assert len(read(at(box), limits=Limits(file_bytes=10))) == 2
    bomb = box.with_name("bomb.mbox.gz")
    bomb.write_bytes(gzip.compress(b"From x\nSubject: x\n\n" + bytes(40_000_000)))
    with pytest.raises(IngestError, match=r"bomb.mbox.gz: unpacks to more than 200 times"):
        read(at(bomb))


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """As Python's own library writes one, with a folder in it, and a mail that is on its way in."""
    (tmp_path / "src").mkdir()
    written = mailbox.Maildir(tmp_path / "src" / "Mail", create=True)
    seen = mailbox.MaildirMessage(mail("Leave", "Thirty days."))
    seen.set_subdir("cur")
    seen.add_flag("S")
    written.add(seen)
    written.add(mail("Wheels", "They are round."))
    written.add_folder("Sent").add(mail("Re: Wheels", "Indeed."))
    (tmp_path / "src" / "Mail" / "tmp" / "1.2.host").write_text("Subject: half")
    (tmp_path / "src" / ".hidden").mkdir()
    (tmp_path / "src" / ".hidden" / "a.md").write_text("words")
    return tmp_path / "src"


def test_every_mail_of_a_maildir_is_a_document(maildir: Path) -> None:
    found = discover(maildir)
    assert found.problems == ()
    assert {file.layout for file in found.files} == {"mail"}
    assert [name.rpartition("/")[0] for name in (file.name for file in found.files)] == [
        "Mail/.Sent/new",
        "Mail/cur",
        "Mail/new",
    ]
    assert sorted(read(file)[0].title for file in found.files) == ["Leave", "Re: Wheels", "Wheels"]


def test_a_name_that_ends_as_source_code_does_is_a_mail_in_a_maildir(maildir: Path) -> None:
    place = maildir / "Mail" / "new" / "1700000000.M1P2.host.example.pl"
    place.write_text("Subject: From Poland\n\nHello.\n")
    assert parser_of(place.name) == "code"
    assert "From Poland" in [read(file)[0].title for file in discover(maildir).files]


def test_a_maildir_is_not_read_again_where_it_is_as_it_was(maildir: Path, tmp_path: Path) -> None:
    build_index([maildir], tmp_path / "idx", legs=["lexical"])
    assert build_index([maildir], tmp_path / "idx").unchanged
    with LocalIndex.open(tmp_path / "idx") as index:
        assert {document.title for document in index.documents} == {"Leave", "Re: Wheels", "Wheels"}


def test_a_folder_that_only_has_a_folder_of_the_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "page.md").write_text("words")
    assert [file.layout for file in discover(tmp_path).files] == ["file"]
