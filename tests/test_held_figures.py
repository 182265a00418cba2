"""Numbers of pages are those of recorded lines: what no line reaches is listed, with the reason, and gets less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from docs import held, leaves, reached
from docs.held import Except, Listed, amiss, held_pages, listed, unreached
from docs.page_figures import numbers, sections

ROOT = Path(__file__).resolve().parents[1]
UNREACHED = 0
"""Measured numbers that no line reaches, of all pages. Take a figure's line again, reach it or drop it; never raise this."""


@pytest.mark.parametrize("page", held_pages())
def test_numbers_of_a_page_are_those_of_lines_or_listed(page: str) -> None:
    assert list(amiss(page, (ROOT / page).read_text(encoding="utf-8"))) == []


def test_all_pages_are_held_but_those_that_are_made_and_trials() -> None:
    everyone = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert all("by `make " in (ROOT / page).read_text(encoding="utf-8")[:600] for page in listed().made)
    assert set(listed().pages) <= set(held_pages())
    left = everyone.difference(held_pages(), listed().made)
    assert {str(Path(page).parent) for page in left} == {"docs/decisions"}
    assert "README.md" in held_pages()


def test_ever_fewer_are_reached_by_nothing() -> None:
    assert sum(len(said.unreached.split()) for page in listed().pages.values() for said in page.values()) == UNREACHED


class TestHolding:
    TEXT = """
## Legs (`python -m benchmarks.legs`)
Over 50 questions of scifact words have .653 and both .712, +.059 above words. [one](a.md#b-3) `rag -k 9` R@100 E5

| set | BM25 | both | gain |
| --- | ---: | ---: | --- |
| scifact | .653 | **.712** | +.059 [+.011, +.102] |
| cranfield | .341 | .402 | +.061 [+.021, +.099] |
| cacm | .477 | .583 | +.106 [+.052, +.160] |
"""

    @pytest.fixture(autouse=True)
    def _lines(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        lines: list[Mapping[str, Any]] = []
        sets = {"scifact": (0.6532, 0.7119, 0.011, 0.102), "cranfield": (0.341, 0.4021, 0.0211, 0.0993)}
        for name, (words, both, low, high) in {**sets, "cacm": (0.4772, 0.5832, 0.052, 0.16)}.items():
            common = {"set": name, "queries": 50, "commit": "0123456789ab"}
            lines += [{**common, "system": "bm25", "nDCG@10": words}]
            lines += [{**common, "system": "both", "nDCG@10": both, "gain": [both - words, low, high]}]
        leaves.leaves.cache_clear()
        reached.pool_of.cache_clear()
        monkeypatch.setattr(leaves, "recorded", lambda name: lines)
        monkeypatch.setattr(held, "listed", lambda: Listed(pages={"page": {}}))
        yield
        leaves.leaves.cache_clear()
        reached.pool_of.cache_clear()

    def test_cells_and_sentences_of_lines_are_reached(self) -> None:
        assert list(amiss("page", self.TEXT)) == []

    @pytest.mark.parametrize(
        ("said", "wrong"),
        [
            ("scifact | .653", "scifact | .654"),
            ("**.712**", "**.713**"),
            ("cacm | .477", "cacm | .341"),  # what a line has of another set
            ("| .341 | .402 |", "| .402 | .341 |"),  # and of another system
            ("+.052, +.160", "+.053, +.160"),
            ("both .712", "both .711"),
            ("+.059 above", "+.058 above"),
            ("Over 50", "Over 51"),
        ],
    )
    def test_what_no_line_has_is_told(self, said: str, wrong: str) -> None:
        assert said in self.TEXT
        assert "no line has" in "".join(amiss("page", self.TEXT.replace(said, wrong)))

    @pytest.mark.parametrize(
        ("said", "wrong"),
        [("", ""), (".60 [.20, 1.00]", ".40 [.00, .80]"), ("[.40, 1.00]", "[.30, 1.00]"), ("| .20", "| .30")],
    )
    def test_questions_of_a_kind_have_their_mean_and_its_interval(
        self, said: str, wrong: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of ten questions five are long: a way is right in 3 of these and 4 of the others, the other in 1 and 2."""
        right = {"short": {"ours": 4, "plain": 2}, "long": {"ours": 3, "plain": 1}}
        kept = [
            {"set": "s", "method": way, "qid": f"{form}{n}", "form": form, "right": n < right[form][way]}
            for form in right
            for way in ("ours", "plain")
            for n in range(5)
        ]
        monkeypatch.setattr(leaves, "recorded", lambda name: kept)
        page = "## Forms (`python -m benchmarks.legs`)\n\n| form | ours | plain |\n| --- | --- | --- |\n"
        page += "| short | .80 [.40, 1.00] | .40 |\n| long | .60 [.20, 1.00] | .20 |\n"
        told = list(amiss("page", page.replace(said, wrong) if said else page))
        assert bool(told) == bool(said)

    def test_what_is_listed_must_be_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heading = "Legs (`python -m benchmarks.legs`)"
        monkeypatch.setattr(
            held, "listed", lambda: Listed(pages={"page": {heading: Except(whole="7"), "Gone": Except()}})
        )
        assert [each[:20] for each in amiss("page", self.TEXT)] == ["there is no section ", "'Legs (`python -m be"]

    def test_a_section_without_lines_has_parameters_and_reaches_nothing(self) -> None:
        text = "# A\nIt has 3, 4.5 and +.02.\n\n| | a |\n| --- | --- |\n| b | 7 |\n| c | 8% |\n"
        (section,) = [each for each in sections(text) if each.heading]
        assert [number.text for _, number in unreached(section, Except())] == ["8%", "4.5", "+.02"]

    def test_a_table_that_is_made_of_lines_is_not_read(self) -> None:
        assert not any(each.tables for each in sections("# A\n<!-- table: a -->\n| a |\n| - |\n| 1 |\n<!-- end -->\n"))


def test_names_dates_and_versions_have_no_numbers() -> None:
    text = "E5 of 1.5B on 2026-11-30, nDCG@10, arXiv 2404.18812, p < .05, a 4-bit `--k 3` [x](y#z-7): 95% interval"
    assert numbers(text) == ()
    assert [each.digits for each in numbers("1,190 +.025 0.0120 2.4e-6 42.8%")] == [4, 2, 3, 2, 3]
