"""Figures of pages are those of recorded lines: `docs/sentences.yaml` says which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from docs import figures
from docs.figures import Figure
from docs.sentences import Page, Sentence, amiss, filled, pages

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", pages())
def test_a_page_says_what_its_lines_do(name: str) -> None:
    assert list(amiss((ROOT / name).read_text(encoding="utf-8"), pages()[name])) == []


class TestHolding:
    @pytest.fixture(autouse=True)
    def _lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines: list[Mapping[str, Any]] = [
            {"set": "s", "qid": str(place), "right": place < 7, "commit": "0123456789ab"} for place in range(10)
        ]
        figures._told.cache_clear()
        monkeypatch.setattr(figures, "lines_of", lambda name: lines)

    @pytest.fixture
    def page(self) -> Page:
        right = Figure(says="right", lines="a", key="right", digits=0, percent=True)
        return Page(
            figures=(Sentence(says="It is right in {0} of {0n} questions.", figures=(right,)),), other=("takes 2 GB",)
        )

    def test_a_sentence_is_filled(self, page: Page) -> None:
        assert filled(page.figures[0]) == "It is right in 70% of 10 questions."

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("It is right in 70% of\n10 questions. It takes 2 GB.", []),
            ("It is right in 70% of 10 questions. It takes 2 GB. `rag -k 9`\n```\n7 lines\n```\n[a](b#c-3)", []),
            ("It is right in 71% of 10 questions. It takes 2 GB.", ["the lines say", "named for 71%", "named for 10"]),
            ("It is right in 70% of 10 questions.", ["the page does not say 'takes 2 GB'"]),
            ("It is right in 70% of 10 questions. It takes 2 GB. It gains +.03.", ["named for +.03"]),
        ],
    )
    def test_what_differs_or_is_not_named_is_told(self, page: Page, text: str, told: list[str]) -> None:
        found = list(amiss(text, page))
        assert len(found) == len(told)
        assert all(part in each for part, each in zip(told, found, strict=True))
