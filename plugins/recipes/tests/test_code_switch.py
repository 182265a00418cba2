from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plugins.recipes.tests.names import names_file
from rag.cli import main
from rag.errors import SpecError
from rag.types import Query
from ragline_recipes.code_switch import CodeSwitchReformulator

NAMES: dict[str, Any] = {
    "Germany": {"de": "Deutschland", "fr": "Allemagne", "it": "Germania"},
    "Berlin": {"fr": "Berlin", "pl": "Berlin"},
    "West Germany": {"de": "Westdeutschland", "fr": "Allemagne de l'Ouest"},
    "Metropolis (film)": {"de": "Metropolis (Film)", "ru": "Метрополис (фильм)"},
    "C++": {"de": "C plus plus"},
}


@pytest.fixture
def dictionary(tmp_path: Path) -> str:
    return str(names_file(tmp_path, NAMES))


def texts(dictionary: str, text: str, **arguments: Any) -> list[str]:
    made = CodeSwitchReformulator(dictionary=dictionary, **arguments).reformulate([Query(qid="q", text=text)])
    assert {(query.qid, query.asked) for query in made} == {("q", text)}
    return [query.text for query in made]


def test_a_version_per_language_follows_the_query(dictionary: str) -> None:
    assert texts(dictionary, "kings of germany?") == [
        "kings of germany?",
        "kings of Deutschland?",
        "kings of Allemagne?",
        "kings of Germania?",
    ]
    assert texts(dictionary, "kings of Germany", languages=("fr", "xx"), keep_original=False) == ["kings of Allemagne"]


def test_english_is_switched_to_only_if_it_is_named(tmp_path: Path) -> None:
    path = str(names_file(tmp_path, {"Deutschland": {"en": "Germany", "fr": "Allemagne"}}))
    assert texts(path, "Deutschland", keep_original=False) == ["Allemagne"]
    assert texts(path, "Deutschland", keep_original=False, languages=("en",)) == ["Germany"]


def test_the_longest_name_wins_and_names_are_whole_words(dictionary: str) -> None:
    assert texts(dictionary, "West Germany and Germanys", languages=("de",))[1:] == ["Westdeutschland and Germanys"]


def test_only_languages_that_all_entities_have_are_used(dictionary: str) -> None:
    assert texts(dictionary, "from Berlin to Germany")[1:] == ["from Berlin to Allemagne"]


def test_disambiguators_are_no_part_of_a_name(dictionary: str) -> None:
    assert texts(dictionary, "director of Metropolis", languages=("ru",))[1:] == ["director of Метрополис"]


def test_languages_are_drawn_alike_every_time(dictionary: str) -> None:
    drawn = {tuple(texts(dictionary, "Germany", n=1, keep_original=False)) for _ in range(5)}
    assert len(drawn) == 1
    by_seed = {tuple(texts(dictionary, "Germany", n=1, seed=seed, keep_original=False)) for seed in range(20)}
    assert by_seed == {("Deutschland",), ("Allemagne",), ("Germania",)}


@pytest.mark.parametrize("text", ["", "no entity here", "Berlin in Metropolis", "Berlin"])
def test_without_a_counterpart_the_query_stays_alone(dictionary: str, text: str) -> None:
    [made] = CodeSwitchReformulator(dictionary=dictionary, keep_original=False).reformulate([Query(qid="q", text=text)])
    assert (made.text, made.original, made.outcome.kind) == (text, None, "empty")


@pytest.mark.parametrize("content", ["[]", '{"a": "b"}', '{"a": {"de": 1}}', "{", "\udcff"])
def test_another_form_of_dictionary_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SpecError, match="dictionary"):
        CodeSwitchReformulator(dictionary=str(path)).reformulate([Query(qid="q", text="a")])


TABLES = {
    "names.tsv": "source\ttarget\tlanguage\nGermany\tDeutschland\tde\nGermany\tBRD\tde\nGermany\tAllemagne\tfr\n",
    "bare.tsv": "Germany\tDeutschland\tde\nGermany\tAllemagne\tfr\n",
    "names.jsonl": '{"source": "Germany", "target": "Deutschland", "language": "de"}\n'
    '{"source": "Germany", "target": "Allemagne", "language": "fr"}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_lines_of_source_target_and_language_are_a_dictionary_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(TABLES[name], encoding="utf-8")
    assert texts(str(path), "Germany", keep_original=False) == ["Deutschland", "Allemagne"]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("d.tsv", "a\tb\tde\na\tb\n", "d.tsv:2: 3 columns between tabs are wanted"),
        ("d.tsv", "a\tb\t\n", "d.tsv:1: language is empty"),
        ("d.tsv", "a" * 201 + "\tb\tde\n", "d.tsv:1: a name has at most 200 characters"),
        ("d.jsonl", '{"source": "a", "target": "b", "language": "de"}\n{"source": "a"', "d.jsonl:2: not JSON"),
        ("d.jsonl", '{"source": "a", "target": 1, "language": "de"}\n', "d.jsonl:1: target must be text, got int"),
        ("d.jsonl", "[1]\n", "d.jsonl:1: a JSON object is wanted"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, lines: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        CodeSwitchReformulator(dictionary=str(path)).reformulate([Query(qid="q", text="a")])


def test_what_rag_dictionary_writes_is_read(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "names.tsv"
    said = (("The house is old.", "Das Haus ist alt."), ("A house burns", "Ein Haus brennt"))
    lines = [json.dumps({"left_text": left, "right_text": right}) for left, right in said]
    pairs.write_text("\n".join(lines), encoding="utf-8")
    assert main(["dictionary", str(pairs), "--language", "de", "--out", str(out)]) == 0
    assert texts(str(out), "Whose house?", keep_original=False) == ["Whose Haus?"]


@pytest.mark.parametrize("name", ["d.tsv", "d.jsonl"])
def test_a_table_that_is_not_utf8_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes("a\tb\tde\nä\tb\tde\n".encode("latin-1"))
    with pytest.raises(SpecError, match=name):
        CodeSwitchReformulator(dictionary=str(path)).reformulate([Query(qid="q", text="a")])


def test_an_absent_dictionary_and_no_version_are_refused(dictionary: str) -> None:
    with pytest.raises(SpecError, match="there is no dictionary"):
        CodeSwitchReformulator(dictionary="absent.json")
    with pytest.raises(ValueError, match="n must be at least 1"):
        CodeSwitchReformulator(dictionary=dictionary, n=0)


def test_names_of_odd_letters_harm_nothing(tmp_path: Path) -> None:
    """A mark that is a letter in lower case alone, a letter that becomes two, and a long name that begins as a short one."""
    path = tmp_path / "names.tsv"
    names = ("\u0345", "\u0130stanbul", "A", "a b c d e f", "_")
    path.write_text("\n".join(f"{name}\tx{n}\tde" for n, name in enumerate(names)), encoding="utf-8")
    assert texts(str(path), "\u0345 \u0130STANBUL a b c _", keep_original=False) == ["\u0345 x1 x2 b c x4"]


@pytest.mark.parametrize(
    ("text", "switched"),
    [
        ("北京大学在哪里？", "Peking University in 哪里？"),  # the longest name, then a name of one letter
        ("去东京都", "去 Tokyo 都"),
        ("Berlin在哪", "Berlin in 哪"),
    ],
)
def test_text_without_spaces_is_switched_wherever_the_letters_of_a_name_stand(
    tmp_path: Path, text: str, switched: str
) -> None:
    path = tmp_path / "names.tsv"
    lines = ("北京\tPeking\ten", "北京大学\tPeking University\ten", "东京\tTokyo\ten", "在\tin\ten")
    path.write_text("\n".join(lines), encoding="utf-8")
    assert texts(str(path), text, languages=("en",), keep_original=False) == [switched]
