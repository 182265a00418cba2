"""Whether passages answer a question, asked of the model that would answer: one choice between two words."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.completions import choose_each
from rag.core.protocols import ChoosingLLM
from rag.core.types import Prompt, Usage

_YES, _NO = "Yes", "No"


def log_odds(llm: ChoosingLLM, prompts: Sequence[Prompt]) -> list[tuple[float, Usage]]:
    """For each prompt the log-odds of Yes against No, above 0 where Yes is likelier, and what it cost."""
    return [(float(yes - no), usage) for (yes, no), usage in choose_each(llm, prompts, [_YES, _NO])]
