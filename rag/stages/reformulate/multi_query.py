"""Query -> several wordings of it, written by a language model."""

from __future__ import annotations

from rag.core.protocols import LLM
from rag.core.replies import parse_wordings
from rag.stages.reformulate.lines import LinesReformulator

__all__ = ["MultiQueryReformulator", "parse_wordings"]


class MultiQueryReformulator(LinesReformulator):
    """Several wordings of one query, to be retrieved and fused (RAG-Fusion: Rackauckas 2024, arXiv 2402.03367).

    The model is asked for one wording per line. Bullets, numbers, labels and quotation marks around a line are taken
    off; announcements, fences and repeats are dropped. Fewer wordings than asked for is outcome
    `repaired`; none at all leaves the query unchanged, outcome `fallback`.

    Args:
        llm: the model that writes.
        n: wordings asked for.
        prompt: name or path of a prompt with the variables query and n.
        keep_original: the query as it came is the first of the queries.
        max_tokens: most tokens of a reply.
        temperature: 0 writes the likeliest wordings, more brings variety.
        seed: of the sampling, when the temperature is above 0.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        n: int = 3,
        prompt: str = "multi_query",
        keep_original: bool = True,
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            by="reformulate.multi_query",
            llm=llm,
            n=n,
            fewest=n,
            prompt=prompt,
            keep_original=keep_original,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
