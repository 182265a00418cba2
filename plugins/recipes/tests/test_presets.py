"""Reformulators that are data: one more is a prompt and an entry."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

from generators.llm.scripted import ScriptedLLM
from rag.core.options import takes
from rag.core.powers import POWERS
from rag.core.registry import Registry
from rag.core.types import Query
from rag.graph.signature import signature
from rag.stages import REFORMULATORS
from ragline_recipes.reformulate import presets
from ragline_recipes.reformulate.lines import LinesReformulator
from ragline_recipes.reformulate.preset import Preset, component_of

OPPOSITE = """
description: Ask the opposite.
variables: [query, n]
user: |
  Write {n} questions that ask the opposite of: {query}
"""


def test_one_more_reformulator_is_a_prompt_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "opposite.yaml").write_text(OPPOSITE)
    one_more = presets.lines("The opposite.", prompt=str(tmp_path / "opposite.yaml"), n=2, n_is="opposites, at most.")
    monkeypatch.setattr(presets, "PRESETS", {**presets.PRESETS, "opposite": one_more})
    component = Registry("reformulate", {"opposite": "ragline_recipes.reformulate.presets:opposite"}).get("opposite")
    llm = ScriptedLLM(replies=("who is out?",))
    asked, opposite = component(llm=llm).reformulate([Query(qid="q", text="who is in?")])
    assert (asked.text, opposite.text) == ("who is in?", "who is out?")
    assert llm.seen[0][-1].content == "Write 2 questions that ask the opposite of: who is in?"
    signed = signature(component, "reformulate")
    assert signed.summary == "The opposite."
    assert {p.name: (p.default, p.doc) for p in signed.params}["n"] == (2, "opposites, at most.")


def test_a_preset_offers_no_parameter_that_it_fixes() -> None:
    component = REFORMULATORS.get("sl_hyde")
    assert list(inspect.signature(component).parameters) == ["llm", "prompt", "max_tokens"]
    with pytest.raises(TypeError, match="temperature"):
        component(llm=ScriptedLLM(), temperature=1.0)


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_every_preset_is_registered_and_can_be_imported(name: str) -> None:
    component = REFORMULATORS.get(name)
    assert pickle.loads(pickle.dumps(component)) is component
    assert component.by == f"reformulate.{name}"
    assert all(p.doc for p in signature(component, "reformulate").params)


def test_a_preset_of_an_unknown_parameter_is_refused() -> None:
    wrong = Preset(about="", component=LinesReformulator, defaults={"m": 1})
    with pytest.raises(TypeError, match="LinesReformulator has no parameter m"):
        component_of(wrong, name="wrong", module=__name__)


def test_a_record_with_keywords_of_its_own_is_refused_like_any_constructor() -> None:
    class Plain:
        @takes(Preset)
        def __init__(self, options: Preset) -> None:
            self.options = options

    assert Plain(about="a", component=Plain).options == Preset(about="a", component=Plain)
    with pytest.raises(TypeError, match="more"):
        Plain(about="a", component=Plain, more=1)  # type: ignore[call-arg]


def test_only_those_that_join_their_keywords_promise_one_query() -> None:
    promised = {name for name in presets.PRESETS if POWERS["one per query"].kept_by(REFORMULATORS.get(name))}
    assert promised == {"hyde", "sl_hyde", "query2doc", "think", "code", "genqr_ensemble", "genqr_ensemble_rf"}
