"""Chunks: exact spans, everything kept, limits held, and headings where a reader would want them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.types import Document
from rag.ingest import Block, ParsedDocument, Ruler, chunk, code, word_spans
from rag.ingest.layout import Layout
from rag.ingest.pieces import fits, pieces
from rag.ingest.settings import ChunkSettings

WORDS = [f"word{i}" for i in range(400)]


def _three_letter_spans(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """A ruler that cuts inside words as word-piece vocabularies do, and skips what is not a letter."""
    return [
        [
            (at, min(at + 3, word.end()))
            for word in re.finditer(r"[a-z\u4e00-\u9fff]+", text)
            for at in range(word.start(), word.end(), 3)
        ]
        for text in texts
    ]


def _sentence(n: int, start: int = 0) -> str:
    """A sentence of n words and a full stop: n + 1 tokens of the word ruler."""
    return " ".join(WORDS[start : start + n]).capitalize() + "."


def _chunks(layout: Layout, *, tokens: int = 48, overlap: int = 0, title: str = "") -> list[Document]:
    document = layout.document("docs/guide.md", title=title)
    return chunk(document, settings=ChunkSettings(tokens=tokens, overlap=overlap), spans=word_spans)


_text = st.text(st.sampled_from("ab c.\n\t-!世界?x1é\u200b "), max_size=120) | st.sampled_from(
    ["x" * 300, "世" * 150, " ", "!" * 90]
)
_step = st.tuples(st.sampled_from(["heading", "block", "lines", "tight"]), st.integers(1, 3), _text)


@settings(max_examples=150)
@given(
    steps=st.lists(_step, max_size=14),
    tokens=st.integers(16, 60),
    overlap=st.integers(0, 60),
    ruler=st.sampled_from([word_spans, _three_letter_spans]),
)
def test_any_document_is_cut_exactly(
    steps: list[tuple[str, int, str]], tokens: int, overlap: int, ruler: Ruler
) -> None:
    layout = Layout()
    for kind, level, text in steps:
        if kind == "heading":
            layout.heading(level, text)
        else:
            layout.block(text, lines=kind == "lines", tight=kind == "tight")
    document = layout.document("a.md")
    if not document.text:
        return
    chunks = chunk(document, settings=ChunkSettings(tokens=tokens, overlap=overlap), spans=ruler)
    kept = bytearray(len(document.text))
    starts = []
    for number, each in enumerate(chunks, start=1):
        start, end = each.metadata["start"], each.metadata["end"]
        assert each.text == document.text[start:end]
        assert each.doc_id == f"a.md#{number}"
        assert each.metadata["parent"] == each.metadata["source"] == "a.md"
        assert len(ruler([each.text])[0]) <= tokens
        kept[start:end] = b"\x01" * (end - start)
        starts.append(start)
    assert starts == sorted(set(starts))
    assert all(kept[i] for i, character in enumerate(document.text) if not character.isspace())


def test_chunks_break_between_sentences() -> None:
    layout = Layout()
    layout.block(" ".join([_sentence(19), _sentence(19, 20), _sentence(19, 40)]))
    assert [each.text for each in _chunks(layout)] == [
        f"{_sentence(19)} {_sentence(19, 20)}",
        _sentence(19, 40),
    ]


def test_overlap_repeats_whole_sentences() -> None:
    layout = Layout()
    layout.block(" ".join([_sentence(30), _sentence(9, 30), _sentence(30, 40)]))
    assert [each.text for each in _chunks(layout, overlap=12)] == [
        f"{_sentence(30)} {_sentence(9, 30)}",
        f"{_sentence(9, 30)} {_sentence(30, 40)}",
    ]


def test_a_heading_begins_a_chunk_and_names_it() -> None:
    layout = Layout()
    layout.heading(1, "Guide")
    layout.heading(2, "Fit")
    layout.block(_sentence(9))
    layout.heading(2, "Care")
    layout.block(_sentence(9, 10))
    fit, care = _chunks(layout)
    assert fit.text == f"Guide\n\nFit\n\n{_sentence(9)}"
    assert (fit.title, fit.metadata["headings"]) == ("Guide › Fit", ["Guide", "Fit"])
    assert care.text == f"Care\n\n{_sentence(9, 10)}"
    assert care.title == "Guide › Care"


def test_title_of_the_document_comes_before_its_headings_unless_it_is_the_first() -> None:
    layout = Layout()
    layout.heading(1, "Fit")
    layout.block(_sentence(9))
    assert _chunks(layout, title="Handbook")[0].title == "Handbook › Fit"
    assert _chunks(layout, title="fit")[0].title == "Fit"


def test_tiny_sections_share_a_chunk_under_what_their_headings_share() -> None:
    layout = Layout()
    layout.heading(1, "Terms")
    for name in ("Hub", "Rim", "Cog"):
        layout.heading(2, name)
        layout.block("x.")
    only = _chunks(layout, tokens=120)[0]
    assert only.text == "Terms\n\nHub\n\nx.\n\nRim\n\nx.\n\nCog\n\nx."
    assert only.title == "Terms"


def test_a_tiny_section_stays_with_its_own_chapter() -> None:
    layout = Layout()
    layout.heading(1, "One")
    layout.block(_sentence(20))
    layout.heading(2, "Note")
    layout.block("x.")
    layout.heading(1, "Two")
    layout.block(_sentence(20, 30))
    one, two = _chunks(layout, tokens=60)
    assert one.text.endswith("Note\n\nx.")
    assert one.title == "One"
    assert two.text.startswith("Two")


def test_the_page_is_that_of_most_of_the_chunk() -> None:
    layout = Layout()
    layout.block(_sentence(5), page=1)
    layout.block(_sentence(20, 10), page=2)
    assert _chunks(layout)[0].metadata["page"] == 2


def test_lines_are_not_cut_where_the_limit_allows() -> None:
    layout = Layout()
    layout.block("\n".join(f"    a{i} = f(b. C{i})" for i in range(12)), lines=True)
    for each in _chunks(layout, overlap=10):
        assert all(line.startswith("    a") and line.endswith(")") for line in each.text.split("\n"))


def test_code_has_line_numbers() -> None:
    source = (
        b"\n\nimport os\n\n\ndef one():\n    return ["
        + b"\n        1," * 40
        + b"\n    ]\n\n\ndef two():\n    return os\n"
    )
    (document,) = code.parse(source, "a.py", lambda reason, lost=False: None)
    lines = document.text.split("\n")
    chunks = chunk(document, settings=ChunkSettings(tokens=40, overlap=10), spans=word_spans)
    assert len(chunks) > 3
    for each in chunks:
        assert each.text == "\n".join(lines[each.metadata["line"] - 1 : each.metadata["end_line"]])
    assert chunks[-1].title == "a.py › two"


def test_a_word_without_end_is_cut_rather_than_called_one_token() -> None:
    layout = Layout()
    layout.block("A" * 10_000)

    def one_token(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[(0, len(text))] for text in texts]

    chunks = chunk(layout.document("a.txt"), settings=ChunkSettings(tokens=20, overlap=0), spans=one_token)
    assert "".join(each.text for each in chunks) == "A" * 10_000
    assert max(len(each.text) for each in chunks) <= 20 * 20


def test_text_that_the_ruler_skips_still_counts() -> None:
    layout = Layout()
    layout.block("!" * 5_000)
    chunks = chunk(layout.document("a.txt"), settings=ChunkSettings(tokens=20), spans=_three_letter_spans)
    assert max(len(each.text) for each in chunks) <= 20 * 20


@pytest.mark.parametrize(("n_words", "n_chunks"), [(15, 1), (16, 2)])
def test_the_limit_itself_is_allowed_and_no_more(n_words: int, n_chunks: int) -> None:
    layout = Layout()
    layout.block(_sentence(n_words))
    assert len(_chunks(layout, tokens=16)) == n_chunks


def test_a_full_chunk_is_not_broken_up_for_a_tiny_section() -> None:
    layout = Layout()
    layout.heading(1, "One")
    layout.block(_sentence(45))
    layout.heading(2, "Note")
    layout.block("x.")
    layout.heading(1, "Two")
    layout.block(_sentence(20, 50))
    one, two = _chunks(layout, tokens=48)
    assert one.text == f"One\n\n{_sentence(45)}"
    assert two.text.startswith("Note\n\nx.\n\nTwo")
    assert two.title == "One › Two"


def test_overlap_as_large_as_a_chunk_still_moves_on() -> None:
    layout = Layout()
    layout.block(" ".join(_sentence(3, 4 * i) for i in range(30)))
    chunks = _chunks(layout, tokens=16, overlap=500)
    assert [each.metadata["start"] for each in chunks] == sorted({each.metadata["start"] for each in chunks})
    assert len(chunks) < 40


def _record(text: str) -> ParsedDocument:
    return ParsedDocument(
        doc_id="d 7", title="T", text=text, blocks=(Block(start=0, end=len(text)),), metadata={"year": 1999}, whole=True
    )


def test_a_corpus_record_stays_whole_up_to_a_quarter_more_than_a_chunk() -> None:
    for n, whole in ((50, True), (51, False)):
        record = _record(" ".join(WORDS[:n]))
        found = chunk(record, settings=ChunkSettings(tokens=40), spans=word_spans)
        same = [Document(doc_id="d 7", title="T", text=record.text, metadata={"year": 1999})]
        assert (found == same) is whole
    never = ChunkSettings(tokens=16, corpora=False)
    assert len(chunk(_record(" ".join(WORDS)), settings=never, spans=word_spans)) == 1


@settings(max_examples=150)
@given(text=_text, limit=st.integers(1, 40), ruler=st.sampled_from([word_spans, _three_letter_spans]))
def test_a_record_counts_as_many_tokens_as_its_pieces(text: str, limit: int, ruler: Ruler) -> None:
    whole = sum(piece.size for piece in pieces(_record(text), limit=10_000, spans=ruler))
    assert fits(text, limit, ruler) is (whole <= limit)


def test_a_corpus_record_with_an_endless_title_stays_whole() -> None:
    """Each chunk would have the title."""
    record = replace(_record(" ".join(WORDS)), title="t" * 1_001)
    assert [each.doc_id for each in chunk(record, settings=ChunkSettings(tokens=40), spans=word_spans)] == ["d 7"]


@pytest.mark.parametrize("corpora", [True, "long"])
def test_corpora_are_cut(corpora: Any) -> None:
    chunks = chunk(_record(" ".join(WORDS)), settings=ChunkSettings(tokens=100, corpora=corpora), spans=word_spans)
    assert len(chunks) > 3
    assert {each.parent for each in chunks} == {"d 7"}
    assert chunks[1].doc_id == "d 7#2"
    assert chunks[1].metadata["year"] == 1999


def test_a_title_without_text_is_kept_when_corpora_are_cut() -> None:
    empty = ParsedDocument(doc_id="d", title="Only a title", text="", blocks=(), whole=True)
    (only,) = chunk(empty, settings=ChunkSettings(corpora=True), spans=word_spans)
    assert (only.doc_id, only.title, only.text) == ("d", "Only a title", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("it's 3.5 km", ["it", "'", "s", "3", ".", "5", "km"]), ("東京へ go", ["東", "京", "へ", "go"])],
)
def test_the_word_ruler_counts_words_marks_and_characters(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in word_spans([text])[0]] == expected
