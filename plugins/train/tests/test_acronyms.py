"""Acronyms that texts explain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag import build_index
from rag.cli import main
from ragline_recipes.glossary import others, read_glossary
from ragline_train.dictionary import acronyms_of, explained


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We give paid time off (PTO) to all.", [("PTO", "paid time off")]),
        ("heat shock transcription factor (HSF)", [("HSF", "heat shock transcription factor")]),
        ("the tumor necrosis factor alpha (TNF-a) rose", [("TNF-a", "tumor necrosis factor alpha")]),
        ("Das Bundesamt für Naturschutz (BfN) prüft", [("BfN", "Bundesamt für Naturschutz")]),
        ("a remotely operated vehicle (ROV) and a boat (see page 3)", [("ROV", "remotely operated vehicle")]),
        ("as in 2014 (Smith, 2009)", []),
        ("it costs 90 euros (EUR 90)", []),
        ("the group (WHO) met", []),
        ("(ABC) at the start", []),
        ("PTO (paid time off)", []),
        ("", []),
    ],
)
def test_long_forms_are_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(explained(text)) == expected


def test_the_long_form_of_most_texts_is_taken() -> None:
    texts = [
        "paid time off (PTO)",
        "power take off (PTO)",
        "paid time off (PTO). paid time off (PTO)",
        "late frost (LF)",
    ]
    assert acronyms_of(texts) == {"LF": "late frost", "PTO": "paid time off"}
    assert acronyms_of(texts, least=2) == {"PTO": "paid time off"}


def test_the_command_writes_a_glossary_that_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ['We give paid time off (PTO): "so".', "Nothing here."]
    (tmp_path / "c.jsonl").write_text(
        "".join(json.dumps({"_id": str(n), "text": t}) + "\n" for n, t in enumerate(texts))
    )
    build_index(tmp_path / "c.jsonl", tmp_path / "index", legs=("lexical",))
    out = tmp_path / "terms.yaml"
    asked = ["dictionary", "--acronyms-of", str(tmp_path / "index"), "--out", str(out)]
    assert main([*asked, "--least-pairs", "1"]) == 0
    assert "1 acronym" in capsys.readouterr().out
    assert others("PTO policy", read_glossary(out)) == ["paid time off policy"]
    assert main(["dictionary", "--out", str(out)]) == 2
    assert main(["dictionary", "pairs.jsonl", "--acronyms-of", "i", "--out", str(out)]) == 2
