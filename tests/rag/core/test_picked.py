"""Stretches that a node picked out of a text: what is told of them, and when they no longer stand there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rag.core.picked import picked_of, with_picked
from rag.core.types import Document, ScoredDocument
from rag.pipeline.as_json import hit_json
from ragline_serve.service.wire.passages import Hit

SHIPS = Document(doc_id="d", text="The Aurora met the Corvus.", metadata={"lang": "en"})


def test_they_are_told_in_the_order_given_and_in_json() -> None:
    document = with_picked(SHIPS, [(19, 25), (4, 10)])
    spans = [{"start": 19, "end": 25, "text": "Corvus"}, {"start": 4, "end": 10, "text": "Aurora"}]
    assert picked_of(document) == spans
    assert document.metadata["lang"] == "en"
    hit = hit_json(ScoredDocument(document=document, score=1.0), 1)
    assert hit["spans"] == spans
    served = Hit(**hit, snippet={"text": "", "marks": []})  # type: ignore[arg-type]
    assert [(span.start, span.text) for span in served.spans or ()] == [(19, "Corvus"), (4, "Aurora")]
    assert "spans" not in hit_json(ScoredDocument(document=SHIPS, score=1.0), 1)


def test_those_that_a_cut_took_are_told_no_more() -> None:
    cut = replace(with_picked(SHIPS, [(19, 25), (4, 10)]), text=SHIPS.text[:20])
    assert [span["text"] for span in picked_of(cut)] == ["Aurora"]


@pytest.mark.parametrize("value", ["a", 3, [1], [{"start": 1}], [{"start": "0", "end": 3, "text": "The"}], {}])
def test_a_field_of_somebodys_own_is_none(value: Any) -> None:
    assert picked_of(replace(SHIPS, metadata={"spans": value})) == []
