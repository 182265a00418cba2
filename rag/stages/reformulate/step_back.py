"""Query -> it and the more general question behind it."""

from __future__ import annotations

from rag.core.protocols import LLM
from rag.stages.reformulate.lines import LinesReformulator


class StepBackReformulator(LinesReformulator):
    """A more general question whose answer helps with the asked one (Step-Back: Zheng et al., ICLR 2024, arXiv 2310.06117).

    Both questions are retrieved; fuse them, and generate from the asked one.

    Args:
        llm: the model that writes.
        n: general questions, at most.
        prompt: name or path of a prompt with the variables query and n.
        keep_original: the query as it came is the first of the queries.
        max_tokens: most tokens of a reply.
        temperature: 0 writes the likeliest question.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        n: int = 1,
        prompt: str = "step_back",
        keep_original: bool = True,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            by="reformulate.step_back",
            llm=llm,
            n=n,
            fewest=1,
            prompt=prompt,
            keep_original=keep_original,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
