from __future__ import annotations

import pytest

from rag.core.snippets import LONGEST, Snippet, snippet, words
from rag.ingest.sentences import sentences
from retrievers.analysis.analyzer import Analyzer
from retrievers.analysis.settings import AnalyzerSettings

FILLER = "Nothing of that kind is said here at all, whatever anybody may ask. " * 8
TEXT = f"{FILLER}The frame is made of running steel. Wheels run well. The end."


def of(text: str, query: str, *, stem: bool = False) -> Snippet:
    terms = Analyzer(AnalyzerSettings(language="en")).terms if stem else words
    return snippet(text, sentences(text), terms(query), terms)


def test_the_sentence_that_matches_is_shown_and_its_words_are_marked() -> None:
    piece = of(TEXT, "steel frame")
    assert piece.marked("<", ">") == "… The <frame> is made of running <steel>. Wheels run well. The end."


def test_words_are_those_of_the_analyzer() -> None:
    assert (
        of(TEXT, "runs", stem=True).marked("<", ">").startswith("… The frame is made of <running> steel. Wheels <run>")
    )
    assert of(TEXT, "the", stem=True).marks == ()
    assert of(TEXT, "runs").marks == ()


def test_the_first_of_equals_and_the_one_with_most_different_words() -> None:
    text = "Red red red. Red and blue. Blue and red again."
    assert of(text, "red blue").marked("[", "]").startswith("… [Red] and [blue].")


def test_without_a_match_it_is_the_beginning() -> None:
    assert of(TEXT, "zebra").text.startswith("Nothing of that kind")
    assert of(TEXT, "zebra").marks == ()
    assert of("", "zebra") == Snippet(text="")


def test_a_sentence_of_any_length_is_cut_around_its_first_match() -> None:
    text = f"{'x y ' * 2000}needle {'z ' * 2000}"
    piece = of(text, "needle")
    assert len(piece.text) <= LONGEST + 2
    assert piece.text[slice(*piece.marks[0])] == "needle"
    assert len(of("a" * 10_000, "b").text) <= LONGEST


@pytest.mark.parametrize("language", ["en", "zh", "ja", "each letter"])
@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("我们在北京。天气很好。", "北京", "我们在<北京>。天气很好。"),
        ("𠮷野家で食べる。", "𠮷野家", "<𠮷野家>で食べる。"),
        ("これはコンピュータです。", "コンピュータ", "これは<コンピュータ>です。"),
        ("Das Buch 三体 ist lang.", "三体", "Das Buch <三体> ist lang."),
    ],
)
def test_words_of_scripts_without_spaces_are_marked_whole(language: str, text: str, query: str, marked: str) -> None:
    terms = words if language == "each letter" else Analyzer(AnalyzerSettings(language=language)).terms
    piece = snippet(text, sentences(text), terms(query), terms)
    assert piece.marked("<", ">") == marked


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m <b>red</b> **red**", "[red] \u202ered", "red\n\n\n---\nred"])
def test_hostile_text_is_shown_as_it_is_on_one_line(text: str) -> None:
    piece = of(text, "red")
    assert piece.text == " ".join(text.split())
    assert {piece.text[start:end] for start, end in piece.marks} == {"red"}


def test_words_of_two_letters_are_marked_where_an_index_cuts_into_them() -> None:
    def bigrams(text: str) -> list[str]:
        return [text[place : place + 2] for place in range(len(text) - 1)] or [text]

    text = "他住在上海。北京大学很大。"
    spans = [(0, 6), (6, len(text))]
    found = snippet(text, spans, bigrams("北京大学在哪"), bigrams)
    assert found.marked("<", ">").startswith("… <北京大学>很大")
    assert snippet(text, spans, ["大"], list).marked("<", ">") == "… 北京<大>学很<大>。", "letters alone, as ever"
