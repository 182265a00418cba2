"""The table of systems cannot overclaim: what it refuses, and what a figure is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from docs import figures
from docs.figures import Figure, shown, told, unclean
from docs.systems import systems_page
from rag.core.errors import SpecError
from rag.core.recipe import recipe_of
from rag.graph.kinds import TABLES
from rag.graph.load import builtin_names, load_spec

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "systems.yaml").read_text(encoding="utf-8")
CLEAN, CHANGED = "0123456789ab", "0123456789ab+"


def row(system: str, **said: str) -> str:
    """An entry of pictures, in the place of Merlin's, as the list has just so many."""
    fields = {"of": "media", **said}
    entry = f"- {{system: {system}, {', '.join(f'{name}: {value}' for name, value in fields.items())}}}\n"
    made, n = re.subn(r'(?m)^- system: "Merlin"\n(?: .*\n)+', lambda _: entry, TEXT)
    assert n == 1
    return made


@pytest.mark.parametrize(
    ("said", "wrong", "told"),
    [
        ("retrieve.bm25", "retrieve.bm52", "there is no 'retrieve.bm52'"),
        ("rag leaderboard", "rag leaderbord", "there is no 'rag leaderbord'"),
        ("graph stride", "graph strides", "there is no 'graph strides'"),
        ("section: Bitext", "section: Bitexts", "no heading of"),
        ("section: reference/methods.md", "section: reference/method.md", "there is no page"),
        ("system: i-MedRAG", "system: another", "no entry 'i-MedRAG' has the part"),
        (
            "benchmarks.promptreps",
            "benchmarks.promtreps",
            "there is no command 'python -m plugins.recipes.benchmarks.promtreps'",
        ),
        ("::test_verdicts_and_shares", "::test_verdict_and_share", "there is no test"),
        ("lines: walks, where: {method: walk}", "lines: walk, where: {method: walk}", "walk.jsonl has no line with"),
        (
            "where: {method: walk}, key: answer",
            "where: {method: walks}, key: answer",
            "no line with {'method': 'walks'}",
        ),
        ("where: {method: walk}, key: answer", "where: {method: walk}, key: answers", "says None at 'answers'"),
        ("where: {method: found-1}, key: told", "where: {set: semeval2010-re}, key: told", "of 2 settings; name one"),
        ("key: kinds/nuggets/accuracy, n: kinds/nuggets/cases, ", "key: kinds/nuggets/accuracy, ", "`n` must say"),
        (", share: true}", "}", "it has no interval: `bare` says why"),
        ("bare: F1 is one measure of all pairs", "bare: ''", "it has no interval: `bare` says why"),
        (
            "key: found/emoji, n: n/emoji, share: true}",
            "key: found/emoji, n: n/emoji, share: true, bare: so}",
            "take `bare` out",
        ),
        ("model: qwen2.5-coder-0.5b-instruct\n", "model: llama\n", "do not say the model 'llama'"),
        ("  plain: a coin has .5\n", "", "need what stands beside them"),
        ("where: {set: scifact, model: all-minilm-l6-v2}", "where: {set: scifact}", "differ in"),
        ('- system: "Merlin"\n', '- system: "ProtST"\n', "two entries for ProtST"),
        ("of: media\n  word: loader", "of: text\n  word: loader", "entries are of 'text', and the list has 28"),
    ],
)
def test_an_entry_names_what_there_is(said: str, wrong: str, told: str) -> None:
    assert said in TEXT
    with pytest.raises(SpecError) as refused:
        systems_page(TEXT.replace(said, wrong, 1))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"word": "mechanism"}, "is 'mechanism' and says no parts, section, differs, figure"),
        ({"word": "loader", "parts": "[retrieve.dense]", "section": "which_leg.md", "differs": "all"}, "says no test"),
        ({"word": "outside"}, "is 'outside' and says no parts, section, differs"),
        ({"word": "absent", "parts": "[retrieve.dense]"}, "is 'absent' and says parts"),
        (
            {"word": "form", "parts": "[retrieve.dense]", "section": "which_leg.md", "differs": "all"},
            "no graph or component says that it is one, so `rag list recipes` does not tell it",
        ),
    ],
)
def test_a_word_needs_what_it_means(fields: dict[str, str], told: str) -> None:
    with pytest.raises(SpecError) as refused:
        systems_page(row("Merlin", **fields))
    assert told in str(refused.value)


def test_the_page_of_recipes_names_what_the_list_does() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "recipes" / "README.md").read_text(encoding="utf-8")
    parts = [f"{stage}.{name}" for stage, (table, _) in TABLES.items() for name in table if recipe_of(table.get(name))]
    graphs = [name for name in builtin_names() if load_spec(name).graph.recipe]
    assert len(parts) > 10
    assert len(graphs) > 10
    assert [name for name in (*parts, *graphs) if f"`{name}`" not in page] == []


def test_a_figure_of_lines_without_a_clean_commit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    figures._told.cache_clear()
    monkeypatch.setattr(figures, "is_clean", lambda line: False)
    try:
        with pytest.raises(SpecError, match=r"i-MedRAG: .*its lines have no clean commit; ask them again"):
            systems_page(TEXT)
    finally:
        figures._told.cache_clear()


def test_every_line_is_of_committed_code() -> None:
    assert unclean() == {}


def test_what_stands_beside_is_over_the_same_questions() -> None:
    """Of the same lines by question, and by number where lines do not list them."""
    swapped = TEXT.replace("where: {method: icr}", "where: {method: fused}", 1)
    swapped = swapped.replace("where: {method: cosine}", "where: {method: icr}", 1)
    with pytest.raises(SpecError, match="2184 of the 2464 questions of the figure beside have no line"):
        systems_page(swapped)
    with pytest.raises(SpecError, match=r"beside it is over 225 questions, its own figures over \[300\]"):
        systems_page(
            TEXT.replace(
                "where: {set: scifact, system: all-minilm-l6-v2}",
                "where: {set: cranfield, system: all-minilm-l6-v2}",
                1,
            )
        )


class TestFigures:
    @pytest.fixture
    def lines(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = []
        figures._told.cache_clear()
        monkeypatch.setattr(figures, "lines_of", lambda name: kept)
        return kept

    @staticmethod
    def of(values: Sequence[Any], **said: Any) -> list[dict[str, Any]]:
        common = {"set": "s", "method": "m", "commit": CLEAN, **said}
        return [{**common, "qid": str(place), "x": value} for place, value in enumerate(values)]

    def test_lines_of_questions_are_their_mean(self, lines: list[dict[str, Any]]) -> None:
        lines += self.of([1, 0, 0, 1])
        found = told(Figure(says="right", lines="a", key="x", digits=2))
        assert (found.value, found.n, found.clean) == (0.5, 4, True)
        assert found.low == pytest.approx(0)
        assert shown(Figure(says="right", lines="a", key="x", digits=2), found) == "right .50 [.00, 1.00]"

    def test_a_later_line_of_a_question_takes_the_place_of_the_earlier(self, lines: list[dict[str, Any]]) -> None:
        lines += [*self.of([0, 0]), *self.of([1])]
        assert told(Figure(says="right", lines="a", key="x")).value == 0.5

    def test_clean_lines_are_told_where_there_are_some(self, lines: list[dict[str, Any]]) -> None:
        lines += [*self.of([0, 0, 0], commit=CHANGED), *self.of([1])]
        found = told(Figure(says="right", lines="a", key="x"))
        assert (found.value, found.n, found.clean) == (1.0, 1, True)
        lines.pop()
        figures._told.cache_clear()
        assert not told(Figure(says="right", lines="a", key="x")).clean

    @pytest.mark.parametrize("commit", ["", "unknown", CHANGED])
    def test_what_is_no_clean_commit(self, lines: list[dict[str, Any]], commit: str) -> None:
        lines += self.of([1], commit=commit)
        assert not told(Figure(says="right", lines="a", key="x")).clean

    def test_shares_squares_and_differences(self, lines: list[dict[str, Any]]) -> None:
        lines += self.of([1, 2, None], y=2)
        lines += self.of([0, 0, 0], y=2, method="base")
        assert told(Figure(says="", lines="a", where={"method": "m"}, key="x", equals=1)).value == pytest.approx(1 / 3)
        assert told(Figure(says="", lines="a", where={"method": "m"}, key="x", against="y")).value == pytest.approx(
            1 / 3
        )
        lines[2]["x"] = 4
        figures._told.cache_clear()
        square = Figure(says="", lines="a", where={"method": "m"}, key="x", against="y", by="square")
        assert told(square).value == pytest.approx((1 + 0 + 4) / 3)
        gain = Figure(says="gain", lines="a", where={"method": "m"}, less={"method": "base"}, key="x", digits=1)
        found = told(gain)
        assert found.value == pytest.approx(7 / 3)
        assert shown(gain, found).startswith("gain +2.3 [+")

    def test_a_line_alone_tells_what_it_says(self, lines: list[dict[str, Any]]) -> None:
        lines += [{"a": {"b": [0.1, -0.25]}, "n": 7, "low": -0.4, "high": 0.1, "commit": CLEAN}]
        figure = Figure(says="so", lines="a", key="a/b/1", n="n", interval=("low", "high"), digits=2)
        assert shown(figure, told(figure)) == "so -.25 [-.40, .10]"
        assert told(figure).n == 7
        with pytest.raises(SpecError, match="`n` must say where"):
            told(Figure(says="so", lines="a", key="a/b/1"))
        with pytest.raises(SpecError, match="says None at 'a/c', which is no number"):
            told(Figure(says="so", lines="a", key="a/c", n="n"))

    def test_a_share_without_an_interval_gets_wilsons(self, lines: list[dict[str, Any]]) -> None:
        lines += [{"found": 0.2, "n": 10, "commit": CLEAN}]
        figure = Figure(says="so", lines="a", key="found", n="n", share=True, digits=4)
        assert shown(figure, told(figure)) == "so .2000 [.0567, .5098]"  # 2 of 10, as tables have it
        lines[0] |= {"low": 0.1, "high": 0.3}
        figures._told.cache_clear()
        own = Figure(says="so", lines="a", key="found", n="n", share=True, interval=("low", "high"), digits=1)
        assert shown(own, told(own)) == "so .2 [.1, .3]"

    def test_lines_of_several_settings_are_no_figure(self, lines: list[dict[str, Any]]) -> None:
        lines += [*self.of([1], settings="one"), *self.of([0], settings="two")]
        with pytest.raises(SpecError, match="of 2 settings; name one"):
            told(Figure(says="right", lines="a", key="x"))


def test_lines_that_are_not_clean_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = {"old": ["", "unknown", CLEAN], "changed": [CLEAN + "+", CLEAN], "clean": [CLEAN]}
    for name in commits:
        (tmp_path / f"{name}.jsonl").touch()
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(figures, "lines_of", lambda name: [{"commit": each} for each in commits[name]])
    assert unclean() == {"old": (3, 2, 0), "changed": (2, 0, 1)}
