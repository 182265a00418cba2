"""What an index knows of how a file was read: it is read again where that changed, and only there."""

from __future__ import annotations

import pytest

from rag.indexing.units import UnitMaker
from rag.ingest import word_spans
from rag.ingest.formats import VERSIONS
from retrievers.index.settings import IndexSettings
from retrievers.legs.protocol import LegRuler


@pytest.fixture
def maker() -> UnitMaker:
    """One that cuts corpora, so that all files depend on their parsers."""
    settings = IndexSettings.model_validate({"chunking": {"corpora": True}})
    return UnitMaker(settings, LegRuler(spans=word_spans, facts={}))


def test_what_was_handed_over_depends_on_no_parser(maker: UnitMaker) -> None:
    """Its name says nothing, and it cannot be made again."""
    assert VERSIONS["jsonl"] > 1
    assert maker.made_by("added", "corpus") == maker.made_by("added.txt", "corpus")
    assert maker.made_by("added", "corpus") != maker.made_by("added.jsonl", "corpus")


def test_a_mail_of_a_maildir_depends_on_the_reader_of_mails_whatever_its_name(
    maker: UnitMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("cur/1700.M1P2.host:2,S", "cur/1700.M1P2.host.example.pl")
    before = {maker.made_by(name, "mail") for name in names}
    assert len(before) == 1
    monkeypatch.setitem(VERSIONS, "mail", VERSIONS["mail"] + 1)
    assert not before & {maker.made_by(name, "mail") for name in names}


def test_an_archive_is_read_again_when_any_reader_changes(maker: UnitMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    before, other = maker.made_by("a.zip", "file"), maker.made_by("a.csv", "file")
    monkeypatch.setitem(VERSIONS, "rst", VERSIONS["rst"] + 1)
    assert maker.made_by("a.zip", "file") != before
    assert maker.made_by("a.csv", "file") == other
