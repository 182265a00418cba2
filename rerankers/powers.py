"""What a model must be able to do for one way of working, where another way needs less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from rag.protocols import LLM, ChoosingLLM

Power = TypeVar("Power")


class LacksPower(ValueError):
    """A model cannot do what a parameter asks of it. `methods`: what it would need; the graph's check names who has it."""

    def __init__(self, message: str, *, methods: Sequence[str]) -> None:
        self.methods = tuple(methods)
        super().__init__(message)


def require_choice(llm: LLM, *, by: str) -> ChoosingLLM:
    """The same model, known to choose from a closed list.

    Raises:
        LacksPower: it cannot.
    """
    if not hasattr(llm, "choose"):
        raise LacksPower(
            f"{by}: scoring likelihood needs a model that CanChoose; {type(llm).__name__} cannot. scoring: generation"
            " takes any model.",
            methods=("choose",),
        )
    return cast(ChoosingLLM, llm)


def cached_tokens(llm: LLM, n: int) -> Sequence[int]:
    """Tokens of each of the `n` prompts just scored that another prompt's cache held; 0 where a model does not say."""
    return getattr(llm, "last_cached", ()) or (0,) * n
