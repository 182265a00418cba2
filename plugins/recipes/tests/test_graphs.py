"""Graphs of recipes, over a scripted model and words alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipe_graphs import calls, index_of_texts, lexical, ran


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_of_texts(tmp_path_factory.mktemp("recipes"))


def test_a_reply_whose_claims_are_checked(index: Path) -> None:
    replies = ["none", "The Aurora left port at noon.", '["example", "The Aurora left port at noon."]', "It left."]
    result = ran(lexical("persuade", replies), index, "Why?")
    assert result.answers[0].text == "It left."
    assert calls(result) == {"reply": 4}
    assert "reply/evidence/bm25" in {report.name for report in result.nodes}
    assert result.answers[0].outcome.kind == "ok"
