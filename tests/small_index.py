"""A few documents as an index, as most tests of graphs need one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.core.types import Document
from rag.indexing import build_index


def write_texts(folder: Path, documents: Sequence[Document]) -> Path:
    """A folder with a Markdown file for each document, named by its doc_id."""
    texts = folder / "texts"
    texts.mkdir()
    for document in documents:
        (texts / f"{document.doc_id}.md").write_text(f"# {document.title}\n\n{document.text}\n", encoding="utf-8")
    return texts


def small_index(folder: Path, documents: Sequence[Document]) -> Path:
    """A lexical index of a few documents, one passage each if they are short."""
    build_index([write_texts(folder, documents)], folder / "idx", legs=("lexical",))
    return folder / "idx"
