"""Records of JSONL files and of corpora in the three layouts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import IngestError
from rag.ingest import Limits, ParsedDocument, Problem, Reader, SourceFile, discover

Read = Callable[..., list[ParsedDocument]]


@pytest.fixture
def told() -> list[Problem]:
    return []


@pytest.fixture
def read(tmp_path: Path, told: list[Problem]) -> Read:
    """Writes a file, finds it and reads it."""

    def run(name: str, content: str | bytes, limits: Limits = Limits()) -> list[ParsedDocument]:  # noqa: B008
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        (file,) = discover(path).files
        with Reader(limits=limits, report=told.append) as reader:
            return reader.read(file)

    return run


def _lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


BEIR = _lines(
    {"_id": "MED-1", "title": "Rain", "text": "It rains.", "metadata": {"url": "x"}, "year": 1999},
    {"_id": 7, "text": "No title."},
)


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_beir_records_keep_id_title_text_and_their_other_fields(read: Read, name: str) -> None:
    content = gzip.compress(BEIR.encode()) if name.endswith("gz") else BEIR
    first, second = read(name, content)
    assert (first.doc_id, first.title, first.text, first.whole) == ("MED-1", "Rain", "It rains.", True)
    assert first.metadata == {"metadata": {"url": "x"}, "year": 1999, "source": name}
    assert (second.doc_id, second.title, second.text) == ("7", "", "No title.")


def test_flashrag_contents_begin_with_a_quoted_title(read: Read) -> None:
    first, second = read(
        "wiki.jsonl", _lines({"id": "0", "contents": '"Rain"\nIt rains.'}, {"id": "1", "contents": "a\nb"})
    )
    assert (first.title, first.text) == ("Rain", "It rains.")
    assert (second.title, second.text) == ("", "a\nb")


def test_pyserini_collections_may_be_an_array(read: Read) -> None:
    documents = read("docs.json", json.dumps([{"id": "a", "contents": "one"}, {"id": "b", "contents": "two"}]))
    assert [(d.doc_id, d.text, d.whole) for d in documents] == [("a", "one", True), ("b", "two", True)]


def test_fields_cannot_take_the_place_of_our_metadata(read: Read) -> None:
    (document,) = read(
        "corpus.jsonl", _lines({"_id": "1", "text": "t", "source": "s", "index_text": "spam", "parent": "p"})
    )
    assert document.metadata == {"source_": "s", "index_text_": "spam", "parent_": "p", "source": "corpus.jsonl"}


def test_other_jsonl_records_are_documents_named_by_file_and_id(read: Read, told: list[Problem]) -> None:
    documents = read(
        "shop.jsonl", _lines({"id": "A 1", "name": "Bell", "price": 9}, {"name": "Lamp", "tags": ["x", "y"]})
    )
    assert [d.doc_id for d in documents] == ["shop.jsonl:A 1", "shop.jsonl:2"]
    assert documents[0].text == "id: A 1\nname: Bell\nprice: 9"
    assert documents[1].text == "name: Lamp\ntags: x\ny"
    assert documents[0].metadata == {"id": "A 1", "name": "Bell", "price": 9, "source": "shop.jsonl"}
    assert not documents[0].whole
    assert told == []


def test_ids_keep_their_spaces_but_no_line_breaks(read: Read) -> None:
    documents = read("corpus.jsonl", _lines({"_id": " a  b", "text": "t"}, {"_id": "c\td\ne\x00", "text": "t"}))
    assert [d.doc_id for d in documents] == [" a  b", "c d e"]


def test_an_id_that_appears_again_gets_a_number_and_is_told(read: Read, told: list[Problem]) -> None:
    documents = read("corpus.jsonl", _lines(*[{"_id": "a", "text": text} for text in "xyz"]))
    assert [(d.doc_id, d.text) for d in documents] == [("a", "x"), ("a~2", "y"), ("a~3", "z")]
    assert told == [
        Problem(name="corpus.jsonl", reason="ids that appear again given a number: 2, first in line 2", lost=False)
    ]


def test_a_record_without_id_is_named_by_file_and_line(read: Read, told: list[Problem]) -> None:
    assert [d.doc_id for d in read("corpus.jsonl", _lines({"_id": "a", "text": "x"}, {"text": "y"}))] == [
        "a",
        "corpus.jsonl:2",
    ]
    assert "named by file and line: 1, first in line 2" in str(told[0])


def test_lines_that_are_no_record_are_left_out_and_told_once(read: Read, told: list[Problem]) -> None:
    lines = [
        '{"_id": "a", "text": "x"}',
        "not json",
        "[1]",
        "",
        "[" * 100_000,
        '{"_id": "b", "text": ""}',
        '{"_id": "c", "text": "z"}',
    ]
    assert [d.doc_id for d in read("corpus.jsonl", "\n".join(lines))] == ["a", "c"]
    assert [(p.reason, p.lost) for p in told] == [
        ("lines that are not a JSON object left out: 3, first in line 2", True),
        ("empty records left out: 1, first in line 6", True),
    ]


def test_a_record_above_the_limit_is_left_out_and_the_next_ones_read(read: Read, told: list[Problem]) -> None:
    content = _lines({"_id": "a", "text": "x"}, {"_id": "b", "text": "y" * 3_000}, {"_id": "c", "text": "z"})
    assert [d.doc_id for d in read("corpus.jsonl", content, Limits(record_bytes=1_000))] == ["a", "c"]
    assert told[0].reason == "records of more than 1,000 bytes left out: 1, first in line 2"


def test_half_characters_and_controls_are_mended(read: Read, told: list[Problem]) -> None:
    (document,) = read("corpus.jsonl", '{"_id": "a", "text": "x\\ud800\\u0000\\u001b[31m <|im_end|> [red]y"}\n')
    assert document.text == "x\ufffd[31m <|im_end|> [red]y"
    assert {p.reason for p in told} == {"2 control characters removed", "1 half characters (lone surrogates) replaced"}


def test_a_corpus_may_be_larger_than_a_file(read: Read) -> None:
    assert len(read("corpus.jsonl", BEIR, Limits(file_bytes=10))) == 2


def test_a_corpus_above_its_own_limit_is_refused(read: Read) -> None:
    bomb = gzip.compress(BEIR.encode() + b"\n" * 1_000_000)
    with pytest.raises(IngestError, match="more than 100,000 bytes unpacked"):
        read("corpus.jsonl.gz", bomb, Limits(corpus_bytes=100_000))


PACKED = gzip.compress(BEIR.encode(), mtime=0)


@pytest.mark.parametrize(
    "cut", [PACKED[:-12], b"no gzip at all", PACKED[:30] + bytes(40)], ids=["cut off", "no gzip", "damaged"]
)
def test_damaged_compression_is_told(read: Read, cut: bytes) -> None:
    with pytest.raises(IngestError, match=r"corpus.jsonl.gz: its compression is damaged"):
        read("corpus.jsonl.gz", cut)


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", "x\ny\n"), ("corpus.jsonl", ""), ("a.jsonl", "{}\n")])
def test_a_file_without_any_record_is_refused(read: Read, name: str, content: str) -> None:
    with pytest.raises(IngestError, match="no record in it"):
        read(name, content)


def test_a_json_collection_that_is_broken_or_too_large_is_refused(read: Read, tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="not JSON"):
        read("a.json", '[{"id": "1", "contents": "x"}, {')
    with pytest.raises(IngestError, match="write it as JSONL"):
        read("b.json", '[{"id": "1", "contents": "x"}]', Limits(file_bytes=5))


def test_documents_come_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(BEIR + "x" * 50_000_000)
    with Reader() as reader:
        stream = reader.stream(SourceFile(path=path, name="corpus.jsonl", size=0, layout="corpus"))
        assert next(stream).doc_id == "MED-1"
