"""Dictionaries from pairs of texts: worked shares, what is ambiguous, bounds, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import main
from ragline_train.dictionary import dictionary_of

PAIRS = [
    ("The house is old.", "Das Haus ist alt."),
    ("A house burns", "Ein Haus brennt"),
    ("The river is long.", "Der Fluss ist lang."),
    ("A river burns", "Ein Fluss brennt"),
]


def entries(pairs: list[tuple[str, str]], **arguments: float) -> dict[str, tuple[str, int, float]]:
    made = dictionary_of(pairs, **arguments)  # type: ignore[arg-type]
    return {entry.source: (entry.target, entry.pairs, entry.share) for entry in made.entries}


def test_phrases_that_come_in_the_same_pairs_mean_the_same() -> None:
    """house, a, river, burns come in two pairs each; their partners in the same two: 2 * 2 / (2 + 2) = 1."""
    made = entries(PAIRS)
    assert made["house"] == ("Haus", 2, 1.0)
    assert made["river"] == ("Fluss", 2, 1.0)


def test_what_could_mean_several_things_is_left_out_and_counted() -> None:
    """red and fox come in the same two pairs as roter and Fuchs, never as one phrase: each could be either."""
    made = dictionary_of([("red fox", "roter Fuchs"), ("fox, red", "Fuchs, roter")])
    assert made.entries == ()
    assert made.ambiguous == 2


def test_the_longest_of_phrases_inside_one_another_stands_for_all() -> None:
    made = entries([("Yuan dynasty", "元朝"), ("about the Yuan dynasty", "关于元朝的事")])
    assert made == {"Yuan dynasty": ("元朝", 2, 1.0)}


def test_a_share_is_worked_over_all_pairs_that_have_either() -> None:
    """sea in three pairs, Meer in two, both in two: 2 * 2 / (3 + 2) = .8."""
    pairs = [("sea", "Meer"), ("sea", "Meer"), ("sea", "See")]
    assert entries(pairs) == {"sea": ("Meer", 2, 0.8)}
    assert entries(pairs, least=0.81) == {}
    assert entries(pairs, least_pairs=3) == {}


def test_what_is_spelt_alike_is_its_own_counterpart_and_no_entry() -> None:
    pairs = [("Berlin wall", "Berlin Mauer"), ("Berlin wall", "Berlin Mauer"), ("a wall", "eine Mauer")]
    made = entries(pairs)
    assert "Berlin" not in made
    assert made["wall"] == ("Mauer", 3, 1.0)


def test_pairs_of_long_texts_are_left_out_and_counted() -> None:
    made = dictionary_of([("one two three", "eins zwei drei")] * 2, longest=2)
    assert (made.entries, made.too_long) == ((), 2)


def test_what_is_too_long_for_a_name_is_no_entry() -> None:
    """The command would write a file that the reformulator refuses."""
    made = entries([(f"{'a' * 201} house", f"{'b' * 201} Haus"), ("a house", "ein Haus")] * 2)
    assert made == {"house": ("Haus", 4, 1.0), "a house": ("ein Haus", 2, 1.0)}


@pytest.mark.parametrize(("arguments", "message"), [({"words": 0}, "words must be"), ({"least": 1.5}, "least must be")])
def test_senseless_numbers_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dictionary_of(PAIRS, **arguments)  # type: ignore[arg-type]


def test_nothing_gives_nothing() -> None:
    assert dictionary_of([]).entries == ()
    assert dictionary_of([("", ""), ("...", "!")]).entries == ()


def test_the_command_writes_a_line_for_every_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "names.tsv"
    lines = [{"left_text": left, "right_text": right} for left, right in PAIRS]
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ["dictionary", str(pairs), "--language", "de", "--out", str(out)]
    assert main(command) == 0
    assert "4 pairs; " in capsys.readouterr().out
    header, *rows = out.read_text(encoding="utf-8").splitlines()
    assert header == "source\ttarget\tlanguage"
    assert "house\tHaus\tde" in rows
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pairs"], told["too_long"]) == (4, 0)
    assert told["entries"] == len(rows)


@pytest.mark.parametrize(
    ("line", "more", "message"),
    [
        ('{"left_text": "a"}', (), "pairs.jsonl:1: left_text and right_text are wanted"),
        ("{", (), "pairs.jsonl:1: not JSON"),
        ("", (), "has no pairs"),
        ('{"left_text": "a", "right_text": "b"}', ("--least", "2"), "--least must be from 0 to 1, got 2"),
        (
            '{"left_text": "a", "right_text": "b"}',
            ("--language", "German"),
            "an ISO 639-1 code such as de, got 'German'",
        ),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, more: tuple[str, ...], message: str
) -> None:
    (tmp_path / "pairs.jsonl").write_text(line + "\n", encoding="utf-8")
    command = ["dictionary", str(tmp_path / "pairs.jsonl"), "--language", "de", "--out", str(tmp_path / "o.tsv"), *more]
    assert main(command) == 2
    assert message in " ".join(capsys.readouterr().err.split())
