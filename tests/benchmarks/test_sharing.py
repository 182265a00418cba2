from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import sharing
from generators.llm.transformers import TransformersLLM
from rag.core.types import Document, Query, Ranking, ScoredDocument
from tests.generators.llm.conftest import save_random_model

HITS = tuple(ScoredDocument(document=Document(doc_id=f"d{i}", text=f"the city {i}"), score=-float(i)) for i in range(4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("decoder"))


@pytest.fixture
def small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One query of four documents and a model with random weights, in place of the real ones."""
    rankings = [Ranking(query=Query(qid="q", text="which city?"), hits=HITS)]
    monkeypatch.setattr(sharing, "prepare", lambda *_, **__: SimpleNamespace(rankings=rankings))
    monkeypatch.setattr(sharing, "MODEL", str(folder))


def test_both_tables_can_be_pasted_into_a_page(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert sharing.main(["--rounds", "1", "--methods", "yes or no"]) == 0
    first, second = (part.splitlines() for part in capsys.readouterr().out.strip().split("\n\n"))
    assert first[0].startswith("| method | s/query, shared | s/query, not shared | ratio |")
    assert [row.split(" | ")[0] for row in first[2:]] == ["| yes or no"]
    assert {row.split(" | ")[0] for row in second[2:]} == {"| yes or no", "| query likelihood"}
    for lines in (first, second):
        assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(("share", "code"), [(0.79, 1), (0.8, 0)])
def test_strict_is_an_exit_code(
    share: float, code: int, small: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(method: Any, *_: Any) -> dict[str, Any]:
        return {"method": method.name, **dict.fromkeys([*sharing.THROUGHPUT.values()][1:], share)}

    monkeypatch.setattr(sharing, "throughput", said)
    only = ["--rounds", "1", "--methods", "yes or no"]
    assert sharing.main([*only, "--strict"]) == code
    assert ("below 80%" in capsys.readouterr().err) == bool(code)
    assert sharing.main(only) == 0


def test_plain_passes_run_where_the_model_is(folder: Path) -> None:
    class Elsewhere:
        """A model that takes no input but that of its own device, here one without numbers."""

        device = "meta"

        def __call__(self, *, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
            assert (input_ids.device.type, attention_mask.device.type) == ("meta", "meta")
            import torch

            return SimpleNamespace(logits=torch.zeros(len(input_ids), 1, 1))

    llm: Any = TransformersLLM(model=str(folder), device="cpu")
    llm.weights = lambda: _Lent(SimpleNamespace(model=Elsewhere()))
    assert sharing.forward_seconds(llm, [[1, 2, 3], [4]]) > 0


class _Lent:
    def __init__(self, lent: Any) -> None:
        self.lent = lent

    def __enter__(self) -> Any:
        return self.lent

    def __exit__(self, *_: object) -> None:
        pass
