from __future__ import annotations

from typing import Any

import pytest

from generators.llm.params import require_valid
from generators.llm.scripted import ScriptedLLM
from generators.llm.transformers import TransformersLLM
from rag.core.types import Message, SamplingParams

FORMS: list[dict[str, Any]] = [{"choices": ("a", "b")}, {"regex": "[0-9]"}, {"json_schema": "{}"}]


@pytest.mark.parametrize("form", FORMS)
def test_a_model_that_cannot_keep_to_a_form_refuses_it(form: dict[str, Any], tiny_llm: TransformersLLM) -> None:
    for llm in (tiny_llm, ScriptedLLM(replies=("a",))):
        with pytest.raises(ValueError, match=f"cannot hold a completion to {next(iter(form))}"):
            llm.complete([[Message(role="user", content="x")]], SamplingParams(**form))
    require_valid(SamplingParams(**form), by="x", keeps_forms=True)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"choices": ("a",), "regex": "a"}, "held to one form, got choices and regex"),
        ({"choices": ("a", "")}, "a choice must not be empty"),
        ({"json_schema": "{"}, "json_schema is not JSON"),
        ({"json_schema": "[]"}, "json_schema must be a JSON object"),
    ],
)
def test_forms_that_make_no_sense_are_refused(form: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        require_valid(SamplingParams(**form), by="x", keeps_forms=True)
