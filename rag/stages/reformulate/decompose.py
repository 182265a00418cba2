"""Query -> it and the simpler questions that it is made of."""

from __future__ import annotations

from rag.core.protocols import LLM
from rag.stages.reformulate.lines import LinesReformulator


class DecomposeReformulator(LinesReformulator):
    """Sub-questions of a question that has several parts, each retrieved for itself (Press et al. 2023, arXiv 2210.03350).

    The model decides how many there are, up to `n`; a question that it gives back unchanged stays alone.

    Args:
        llm: the model that writes.
        n: sub-questions, at most.
        prompt: name or path of a prompt with the variables query and n.
        keep_original: the query as it came is the first of the queries.
        max_tokens: most tokens of a reply.
        temperature: 0 writes the likeliest questions.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        n: int = 4,
        prompt: str = "decompose",
        keep_original: bool = True,
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            by="reformulate.decompose",
            llm=llm,
            n=n,
            fewest=1,
            prompt=prompt,
            keep_original=keep_original,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
