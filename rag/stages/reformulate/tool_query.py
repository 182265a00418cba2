"""Request -> it and a description of every tool that it needs."""

from __future__ import annotations

from rag.core.protocols import LLM
from rag.stages.reformulate.lines import LinesReformulator


class ToolQueryReformulator(LinesReformulator):
    """One search query per tool that a request needs, in the manner of a catalogue (zero-shot form of arXiv 2412.03573).

    The request itself is one of the queries, so a reply that cannot be read costs nothing but itself. Follow it with a
    retriever over tool descriptions and `fuse.interleave`.

    Args:
        llm: the model that writes.
        n: tools, at most.
        prompt: name or path of a prompt with the variables query and n.
        keep_original: the request as it came is the first of the queries.
        max_tokens: most tokens of a reply.
        temperature: 0 writes the likeliest descriptions.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        n: int = 8,
        prompt: str = "tool_query",
        keep_original: bool = True,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            by="reformulate.tool_query",
            llm=llm,
            n=n,
            fewest=1,
            prompt=prompt,
            keep_original=keep_original,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
