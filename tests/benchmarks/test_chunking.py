"""The ways of cutting that the benchmark compares lose no text."""

from __future__ import annotations

import numpy as np

from benchmarks.chunking import CUTS, turning
from rag.ingest import word_spans
from rag.ingest.layout import Layout
from rag.ingest.pieces import pieces


def test_semantic_chunks_hold_all_sentences_within_the_limit() -> None:
    layout = Layout()
    layout.heading(1, "Bike")
    sentence = "The frame of this bicycle is made of steel, and it is meant to last for a very long time indeed."
    layout.block(" ".join([sentence] * 40))
    document = layout.document("a.md")
    sentences = list(pieces(document, limit=CUTS.tokens, spans=word_spans))
    vectors = np.eye(2, dtype=np.float32)[[0] * 20 + [1] * (len(sentences) - 20)]
    chunks = turning(document, sentences, vectors)
    assert " ".join(" ".join(each.text for each in chunks).split()) == " ".join(document.text.split())
    assert all(len(word_spans([each.text])[0]) <= CUTS.tokens for each in chunks)
    assert {each.title for each in chunks} == {"Bike"}
