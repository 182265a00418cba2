"""A gate takes judged measures only from a judge that is known to be right often enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.lab.tests.conftest import Command, write_lines
from ragline_lab.judge.agreement import Agreement, Figures, write_agreement
from ragline_lab.judge.asking import Judge
from ragline_lab.llms import named_llm

GRAPH = {
    "version": 1,
    "models": {"writer": {"use": "llm.scripted", "with": {"replies": ["They are brazed [1]."]}}},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "k": 3},
        "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "writer", "max_passages": 1}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "writer"}},
    },
    "output": "answer",
}
JUDGE = {
    "version": 1,
    "models": {"judge": {"use": "llm.scripted", "with": {"replies": ['["Frames are brazed.", "Forks are cast."]']}}},
    "nodes": {"answer": {"use": "generate.closed_book", "with": {"llm": "judge"}}},
    "output": "answer",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A data set with references, a graph that answers, a judge, and a suite that asks for judged measures."""
    data = tmp_path / "data"
    data.mkdir()
    write_lines(data / "corpus.jsonl", [{"_id": "a", "title": "", "text": "Frames are brazed from tubes."}])
    asked = {"question": "How are frames made?", "answers": ["They are brazed from tubes."], "supporting_ids": ["a"]}
    write_lines(data / "qa.jsonl", [{"id": str(n), **asked} for n in range(3)])
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump(GRAPH))
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(JUDGE))
    return tmp_path


def suite(place: Path, **judged: Any) -> Path:
    asks = {
        "judge": "judge.yaml",
        "agreement": "agreement.json",
        "measures": {"NuggetsWeighted": {"at_least": 0.0}},
        **judged,
    }
    check = {"dataset": "data", "graph": "graph.yaml", "measures": {"EM": {"at_least": 0.0}}, "judged": asks}
    path = place / "gate.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "checks": {"frames": check}}))
    return path


def agree(place: Path, *, low: float = 0.8, **changes: Any) -> None:
    judge = Judge(named_llm(str(place / "judge.yaml")))
    figures = Figures(questions=60, cases=240, accuracy=0.9, low=low, high=0.97, kappa=0.8, ties=0.0, unreadable=0.0)
    fields = {"name": judge.name, "judge": judge.identity, "kinds": {"nuggets": figures}, "sets": {}, **changes}
    write_agreement(Agreement(**fields), place / "agreement.json")


def test_a_judged_measure_is_told_with_what_is_known_of_its_judge(place: Path, rag: Command) -> None:
    agree(place)
    for _ in range(2):  # what an earlier gate left in its folder is in nobody's way
        code, said, told = rag("lab", "gate", "--suite", suite(place), "--out", place / "kept")
        assert code == 0, told
        [judged] = [line for line in said.splitlines() if "NuggetsWeighted" in line]
        assert judged.startswith("passed     frames: NuggetsWeighted: at least 0: ")
        assert judged.endswith("the judge is right in 0.90 95% [0.80, 0.97] of 60 questions, kappa 0.80")
    code, said, _ = rag("lab", "gate", "--suite", suite(place), "--json")
    notes = {each["measure"]: each.get("note", "") for each in json.loads(said)["checks"][0]["verdicts"]}
    assert notes["EM"] == ""
    assert notes["NuggetsWeighted"].startswith("the judge is right in 0.90")


def test_the_files_of_a_judge_are_looked_for_beside_the_suite(
    place: Path, rag: Command, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(place)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    other = {**JUDGE, "models": {"judge": {"use": "llm.scripted", "with": {"replies": ["another"]}}}}
    (elsewhere / "judge.yaml").write_text(yaml.safe_dump(other))
    monkeypatch.chdir(elsewhere)
    code, _, told = rag("lab", "gate", "--suite", suite(place, judge="judge.yaml#judge"))
    assert code == 0, told
    code, _, told = rag("lab", "gate", "--suite", suite(place, judge="judge.gguf"))
    assert code != 0
    assert str(place / "judge.gguf") in told


def test_a_judged_measure_can_fail(place: Path, rag: Command) -> None:
    agree(place)
    code, said, _ = rag("lab", "gate", "--suite", suite(place, measures={"NuggetsWeighted": {"at_most": -0.1}}))
    assert code == 1
    assert "failed     frames: NuggetsWeighted: at most -0.1" in said


def test_a_gate_refuses_a_judge_that_nobody_measured(place: Path, rag: Command) -> None:
    code, _, told = rag("lab", "gate", "--suite", suite(place))
    assert code == 2
    assert "gate.yaml:2: check 'frames': agreement file" in told
    assert "rag lab judge --labels DATASET --agreement" in told


def test_a_gate_refuses_what_is_known_of_another_judge(place: Path, rag: Command) -> None:
    agree(place, judge={"model": {"name": "another"}, "prompts": {}}, name="another")
    code, _, told = rag("lab", "gate", "--suite", suite(place))
    assert code == 2
    assert "is of the judge 'another'" in told


def test_a_gate_refuses_a_judge_below_its_bound_until_the_bound_is_lowered(place: Path, rag: Command) -> None:
    agree(place, low=0.6)
    code, _, told = rag("lab", "gate", "--suite", suite(place))
    assert code == 2
    assert "cannot gate: the judge is right in 0.90 95% [0.60, 0.97]" in told
    assert "the whole interval has to be 0.7 or more" in told
    assert rag("lab", "gate", "--suite", suite(place, least=0.5))[0] == 0


def test_a_gate_refuses_a_judge_of_whose_nuggets_nothing_is_known(place: Path, rag: Command) -> None:
    agree(place, kinds={})
    code, _, told = rag("lab", "gate", "--suite", suite(place))
    assert code == 2
    assert "says nothing of how often the judge is right on nuggets" in told


@pytest.mark.parametrize(
    ("measures", "says"),
    [
        ({"NuggetsWeightd": {"at_least": 0.5}}, "NuggetsWeightd is not judged. Did you mean 'NuggetsWeighted'"),
        ({"NuggetsWeighted": {"not_below": 0.1}}, "not_below is for measures that are not judged"),
        ({}, "at least 1 item"),
    ],
)
def test_a_judged_measure_that_there_is_not_is_told(
    place: Path, rag: Command, measures: dict[str, Any], says: str
) -> None:
    agree(place)
    code, _, told = rag("lab", "gate", "--suite", suite(place, measures=measures))
    assert code == 2
    assert says in told
