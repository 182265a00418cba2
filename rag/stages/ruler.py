"""How many tokens a text has for a model that only counts whole prompts."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.protocols import LLM
from rag.core.types import Message


class Ruler:
    """Counts the tokens of texts, without what the model's chat template adds."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._frame: int | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        if not texts:
            return []
        if self._frame is None:
            [self._frame] = self._llm.count_tokens([[Message(role="user", content="")]])
        frame = self._frame
        counts = self._llm.count_tokens([[Message(role="user", content=text)] for text in texts])
        return [max(0, count - frame) for count in counts]
