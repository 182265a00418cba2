"""Requests to an OpenAI-compatible server: prompts and sampling parameters -> bodies. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from generators.llm.server_text import as_messages
from rag.core.errors import SpecError
from rag.core.types import Prompt, SamplingParams

Dialect = Literal["vllm", "openai"]
"""`vllm` knows token ids, scoring, tokenizing, continued turns and forms; `openai` is what all servers have in common."""


def chat_body(prompt: Prompt, params: SamplingParams, *, dialect: Dialect, vision: bool = False) -> dict[str, Any]:
    """A body for /chat/completions; `vision` as of `as_messages`.

    Raises:
        SpecError: the prompt or its parameters need what this dialect has no word for.
    """
    body = {
        "messages": as_messages(prompt if dialect == "vllm" else asked_for(prompt), vision=vision),
        **_sampling(params, dialect, stop=params.stop),
    }
    if dialect == "vllm":
        body |= continued(prompt)
    if params.logprobs:
        body |= {"logprobs": True, "top_logprobs": params.logprobs}
    return body


def ids_body(
    ids: Sequence[int], params: SamplingParams, *, dialect: Dialect, stop: Sequence[str] = (), ends: Sequence[int] = ()
) -> dict[str, Any]:
    """A body for /completions whose prompt is token ids. `stop` and `ends` are the template's own."""
    body = {"prompt": list(ids), **_sampling(params, dialect, stop=(*params.stop, *stop))}
    if ends and dialect == "vllm":
        body["stop_token_ids"] = list(ends)
    if params.logprobs:
        body["logprobs"] = params.logprobs
    return body


def scoring_body(head: Sequence[int], tail: Sequence[int]) -> dict[str, Any]:
    """A body for /completions that asks how likely the tokens of a prompt are. A server must write one token more."""
    return {"prompt": [*head, *tail], "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}


def continued(prompt: Prompt) -> dict[str, Any]:
    """Fields that make vLLM go on with a last turn of the assistant instead of answering it."""
    begun = bool(prompt) and prompt[-1].role == "assistant"
    return {"continue_final_message": True, "add_generation_prompt": False} if begun else {}


def asked_for(prompt: Prompt) -> Prompt:
    """The prompt with the beginning of an answer, if it has one, at the end of the user's turn, in a paragraph of its own.

    Servers other than vLLM answer a last turn of the assistant; whoever reads the answer must reckon with the beginning
    being there or not.

    Raises:
        SpecError: the turn before it is not the user's.
    """
    if not prompt or prompt[-1].role != "assistant":
        return prompt
    if len(prompt) < 2 or prompt[-2].role != "user":
        raise SpecError(
            "llm.server: this prompt begins the assistant's turn with no user's turn before it. Only vLLM servers "
            "continue it. Use a prompt that ends with the user's turn, give the model's 'tokenizer', or use vllm serve."
        )
    *before, user, opening = prompt
    return [*before, replace(user, content=f"{user.content}\n\n{opening.content}")]


def _sampling(params: SamplingParams, dialect: Dialect, *, stop: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "max_tokens": params.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "seed": params.seed,
        **_form(params, dialect),
    }
    if stop:
        body["stop"] = list(stop)
    if dialect == "vllm":  # else the defaults of the model's generation_config.json would count
        body |= {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    return body


def _form(params: SamplingParams, dialect: Dialect) -> dict[str, Any]:
    if params.json_schema:
        schema = json.loads(params.json_schema)
        form = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": form}}
    if not params.choices and not params.regex:
        return {}
    if dialect == "openai":
        limit = "choices" if params.choices else "regex"
        raise SpecError(f"llm.server: only vLLM servers hold a completion to {limit}; others know json_schema alone")
    return {"structured_outputs": {"choice": list(params.choices)} if params.choices else {"regex": params.regex}}
