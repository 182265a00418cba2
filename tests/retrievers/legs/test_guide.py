"""The leg in the guide works as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs import LEGS

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "add_an_index_leg.md"


def test_the_leg_in_the_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example, line = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[:2]
    module = ModuleType("shared_words")
    monkeypatch.setitem(sys.modules, "shared_words", module)  # where pydantic looks for the names in annotations
    monkeypatch.setattr(LEGS, "_table", dict(LEGS._table))  # what is added here is gone afterwards
    exec(compile(example, "add_an_index_leg.md", "exec"), module.__dict__)
    exec(compile(line, "add_an_index_leg.md", "exec"), module.__dict__)
    for name, text in {"a": "a lost key is a lost key", "b": "the key", "c": "nothing"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    settings = IndexSettings.model_validate({"words": {"shortest": 2}})
    build_index(sorted(tmp_path.glob("*.txt")), tmp_path / "index", settings=settings, legs=["words"])
    with LocalIndex.open(tmp_path / "index") as index:
        scores = index.leg("words").search("lost key")
        assert {index.documents[row].text: score for row, score in scores.items()} == {
            "a lost key is a lost key": 4.0,
            "the key": 1.0,
        }
        assert set(index.leg("words").search("lost key", {"source": "b.txt"}).values()) == {1.0}
