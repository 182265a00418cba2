"""Whether passages answer a question, asked of the model that would answer: one choice between two words."""

from __future__ import annotations

from collections.abc import Sequence

from rag.core.completions import cached_tokens
from rag.core.protocols import ChoosingLLM
from rag.core.types import Prompt, Usage

_YES, _NO = "Yes", "No"


def log_odds(llm: ChoosingLLM, prompts: Sequence[Prompt]) -> list[tuple[float, Usage]]:
    """For each prompt the log-odds of Yes against No, above 0 where Yes is likelier, and what it cost."""
    if not prompts:
        return []
    table = llm.choose(prompts, [_YES, _NO]).astype(float)
    cached, counts = cached_tokens(llm, len(prompts)), llm.count_tokens(prompts)
    return [
        (float(yes - no), Usage(calls=1, prompt_tokens=n, cached_tokens=kept))
        for (yes, no), n, kept in zip(table, counts, cached, strict=True)
    ]
