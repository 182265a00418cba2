"""What a model must be able to do, and whether it can: some methods are there in name, and serve only some instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from rag.core.protocols import LLM, CanKeepForms, ChoosingLLM, KnowsItsLimits, ScoringLLM

_PROTOCOLS = {"choose": "CanChoose", "score": "CanScore"}


class LacksPower(ValueError):
    """A model cannot do what a component asks of it. `methods`: what it would need; the graph's check names who has it."""

    def __init__(self, message: str, *, methods: Sequence[str]) -> None:
        self.methods = tuple(methods)
        super().__init__(message)


def lacking(llm: object, methods: Iterable[str]) -> dict[str, str]:
    """Those of `methods` that the model cannot serve -> why, as it says; empty where it has no such method."""
    known = llm.lacks if isinstance(llm, KnowsItsLimits) else {}
    return {name: known.get(name, "") for name in methods if name in known or not hasattr(llm, name)}


def require_choosing(llm: LLM, *, by: str, instead: str = "") -> ChoosingLLM:
    """The same model, known to choose from a closed list.

    Args:
        instead: a sentence on what can be done without.

    Raises:
        LacksPower: it cannot.
    """
    _require("choose", llm, by, instead)
    return cast(ChoosingLLM, llm)


def require_scoring(llm: LLM, *, by: str) -> ScoringLLM:
    """The same model, known to score given texts.

    Raises:
        LacksPower: it cannot.
    """
    _require("score", llm, by, "")
    return cast(ScoringLLM, llm)


def kept_forms(llm: LLM) -> frozenset[str]:
    """The forms, of choices, regex and json_schema, that the model can be held to."""
    return llm.keeps_forms if isinstance(llm, CanKeepForms) else frozenset()


def _require(method: str, llm: LLM, by: str, instead: str) -> None:
    missing = lacking(llm, [method])
    if missing:
        why = f" ({missing[method]})" if missing[method] else ""
        said = f"{by} needs a model that {_PROTOCOLS[method]}; {type(llm).__name__} cannot{why}. {instead}"
        raise LacksPower(said.rstrip(), methods=(method,))
