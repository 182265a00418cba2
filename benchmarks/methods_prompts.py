"""Which prompts a component reads, and a hash of their words: results of other words are not results of this component."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import prompts
from rag.stages import REFORMULATORS, TRANSFORMS
from rerankers import RERANKERS
from retrievers import RETRIEVERS

TABLES = {"rerank": RERANKERS, "reformulate": REFORMULATORS, "retrieve": RETRIEVERS, "transform": TRANSFORMS}
"""Stage -> its components."""

_LISTS = {"rankgpt": "rank_listwise", "lrl": "rank_lrl"}  # what a template reads where no prompt is named


def prompts_of(use: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Name -> the first eight hex digits of its hash, for every prompt that a component with these parameters reads."""
    stage, _, name = use.partition(".")
    return {prompt: _digest(prompt) for prompt in _names(TABLES[stage].get(name), params)} if stage in TABLES else {}


def _names(kind: Any, params: Mapping[str, Any]) -> Iterator[str]:
    takes = inspect.signature(kind).parameters
    for name in (name for name in takes if name == "prompt" or name.endswith("_prompt")):
        named = params.get(name, takes[name].default)
        yield named or _LISTS[params.get("template", takes["template"].default)]
    if "of" in takes:  # a reranker that repeats another one
        repeated = TABLES["rerank"].get(params.get("of", "listwise"))
        yield from _names(repeated, params.get("params", {}))
    if params.get("source") == "critic":
        yield "feedback_critic"


@cache
def _digest(prompt: str) -> str:
    return prompts.load(prompt).sha256[:8]
