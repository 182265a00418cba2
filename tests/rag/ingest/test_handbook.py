"""The example handbook, read with the real parsers and cut as an index cuts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.core.types import Document
from rag.ingest import Reader, chunk, discover, word_spans
from rag.ingest.settings import ChunkSettings

HANDBOOK = Path(__file__).parents[3] / "examples" / "corpus"


@pytest.fixture(scope="module")
def chunks() -> list[Document]:
    found = discover(HANDBOOK)
    assert found.problems == found.ignored == ()
    told = []
    with Reader(report=told.append) as reader:
        made = [
            unit
            for file in found.files
            for document in reader.read(file)
            for unit in chunk(document, settings=ChunkSettings(), spans=word_spans)
        ]
    assert told == []
    return made


def test_every_file_is_read(chunks: list[Document]) -> None:
    sources = {unit.metadata["source"] for unit in chunks}
    assert sources == {path.relative_to(HANDBOOK).as_posix() for path in HANDBOOK.rglob("*") if path.is_file()}
    for suffix in (".md", ".html", ".pdf", ".docx"):
        assert sum(name.endswith(suffix) for name in sources) >= 2


def test_no_chunk_is_a_crumb_or_above_the_limit(chunks: list[Document]) -> None:
    sizes = [len(word_spans([unit.text])[0]) for unit in chunks]
    assert min(sizes) >= 16
    assert max(sizes) <= 200


@pytest.mark.parametrize(
    ("doc_id", "title", "page", "fact"),
    [
        ("people/leave.md#2", "Leave › Annual leave", None, "28 days of paid annual leave"),
        ("policies/expenses.html#2", "Travel and expenses › Limits", None, "What: Hotel; Limit: 120 euros a night"),
        ("policies/security.html#2", "Security › Whom to tell", None, "security@tidewheel.example"),
        ("workshop/tool-training.pdf#2", "Tool training › Courses", 1, "Brazing | 4 days | Ines Okoro | 2 years"),
        ("workshop/tool-training.pdf#5", "Tool training › Forklift", 2, "the fee of 340 euros"),
        ("workshop/tool-training.pdf#8", "Tool training › Teaching", 3, "25 euros for each hour"),
        ("workshop/safety.pdf#5", "Workshop safety › First aid", 2, "beside the showroom entrance"),
        (
            "people/holidays-2026.docx#2",
            "Public holidays 2026 › The list",
            None,
            "Holiday: Harbour Day; Date: 15 June 2026",
        ),
        ("customers/returns-and-warranty.docx#2", "Returns and warranty › Returns", None, "within 30 days of delivery"),
        ("workshop/equipment.csv:EQ-12#1", "equipment › Forklift Tarn 1.5 t", None, "keeper: Tomas Edel"),
    ],
)
def test_a_fact_is_where_a_reader_would_look(
    chunks: list[Document], doc_id: str, title: str, page: int | None, fact: str
) -> None:
    unit = {unit.doc_id: unit for unit in chunks}[doc_id]
    assert fact in unit.text
    assert unit.title == title
    assert unit.metadata.get("page") == page
