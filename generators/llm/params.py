"""The checks of what a language model is asked, one of each for all of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

from rag.core.types import Prompt, SamplingParams

FORMS = ("choices", "regex", "json_schema")


def require_valid(params: SamplingParams, *, by: str, keeps_forms: bool = False) -> None:
    """Raise ValueError, naming what is allowed, if a parameter makes no sense.

    Args:
        keeps_forms: whether this model can be held to choices, a regular expression or a JSON schema.
    """
    if params.max_tokens < 1:
        raise ValueError(f"{by}: max_tokens must be at least 1, got {params.max_tokens}")
    if not 0.0 <= params.temperature < float("inf"):
        raise ValueError(f"{by}: temperature must be 0 (greedy) or above, got {params.temperature}")
    if not 0.0 < params.top_p <= 1.0:
        raise ValueError(f"{by}: top_p must be above 0 and at most 1, got {params.top_p}")
    if params.logprobs < 0:
        raise ValueError(f"{by}: logprobs must be 0 or above, got {params.logprobs}")
    if "" in params.stop:
        raise ValueError(f"{by}: a stop string must not be empty")
    _require_one_form(params, by, keeps_forms)


def require_choices(choices: Sequence[str]) -> None:
    """Raise ValueError unless there is something to choose from."""
    if not choices or "" in choices:
        raise ValueError("choose: needs at least one choice, and none may be empty")


def require_pairs(prompts: Sequence[Prompt], continuations: Sequence[str]) -> None:
    """Raise ValueError unless there is a continuation for each prompt."""
    if len(prompts) != len(continuations):
        raise ValueError(f"score: {len(prompts)} prompts, but {len(continuations)} continuations")


def require_room(rows: Sequence[Sequence[int]], more: int, *, model: str, window: int, cure: str = "") -> None:
    """Raise ValueError, with numbers, unless all rows of ids leave room for `more` of them.

    Args:
        cure: what else can be done than to give less text; begins with a comma.
    """
    for number, row in enumerate(rows, start=1):
        if len(row) + more > window:
            raise ValueError(
                f"{model}: prompt {number} of {len(rows)} is {len(row):,} tokens and {more:,} more were asked for, but the"
                f" context window is {window:,}. Give it less text (the assembler's or reranker's budget), or lower"
                f" max_tokens{cure}."
            )


class LastScores(threading.local):
    """Of a thread's last scores: how many tokens of each prompt were not read for them."""

    cached: Sequence[int] = ()


def _require_one_form(params: SamplingParams, by: str, keeps_forms: bool) -> None:
    forms = [name for name in FORMS if getattr(params, name)]
    if not forms:
        return
    if not keeps_forms:
        raise ValueError(
            f"{by} cannot hold a completion to {forms[0]}; llm.llama_cpp, llm.server (vLLM) and llm.vllm_offline can"
        )
    if len(forms) > 1:
        raise ValueError(f"{by}: a completion is held to one form, got {' and '.join(forms)}")
    if "" in params.choices:
        raise ValueError(f"{by}: a choice must not be empty")
    if params.json_schema:
        try:
            schema = json.loads(params.json_schema)
        except ValueError as error:
            raise ValueError(f"{by}: json_schema is not JSON ({error})") from error
        if not isinstance(schema, dict):
            raise ValueError(f"{by}: json_schema must be a JSON object")
