"""Query -> several wordings of it, written by a language model."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import prompts
from rag.completions import usage_of
from rag.protocols import LLM
from rag.types import OK, Completion, Outcome, Query, SamplingParams, Usage

logger = logging.getLogger(__name__)

_BULLET = re.compile(r"^\s*(?:[-*•–]+|\(?\d{1,3}[.):]|\[\d{1,3}\])\s+")
_LABEL = re.compile(r"^\s*(?:query|search query|version|variant)\s*\d*\s*:\s*", re.IGNORECASE)
_QUOTES = "\"'`“”‘’«»*"
_LONGEST = 500  # characters; a longer line is not a search query


class MultiQueryReformulator:
    """Several wordings of one query, to be retrieved and fused (RAG-Fusion: Rackauckas 2024, arXiv 2402.03367).

    The model is asked for one wording per line. Bullets, numbers and quotation marks around a line are taken off;
    empty lines, announcements that end in a colon and repeats are dropped. Fewer wordings than asked for is outcome
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
        for name, value in (("n", n), ("max_tokens", max_tokens)):
            if value < 1:
                raise ValueError(f"reformulate.multi_query: {name} must be at least 1, got {value}")
        if not temperature >= 0:
            raise ValueError(f"reformulate.multi_query: temperature must be 0 or above, got {temperature}")
        self.llm, self.n, self.keep_original, self.max_tokens = llm, n, keep_original, max_tokens
        self.prompt = prompts.load(prompt)
        self.prompt.require("query", "n", by="reformulate.multi_query")
        self._params = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """The queries of each query, one after another, under its qid. Outcome and usage are on the first."""
        if not queries:
            return []
        started = perf_counter()
        rendered = [self.prompt.render(query=query.text, n=str(self.n)) for query in queries]
        completions = self.llm.complete(rendered, self._params)
        seconds = (perf_counter() - started) / len(queries)
        variants: list[Query] = []
        short = 0
        for query, completion in zip(queries, completions, strict=True):
            family = self._family(query, completion, seconds)
            short += family[0].outcome.kind != "ok"
            variants += family
        if short:
            logger.warning(
                "reformulate.multi_query: %d of %d replies had fewer than %d wordings", short, len(queries), self.n
            )
        return variants

    def _family(self, query: Query, completion: Completion, seconds: float) -> list[Query]:
        wordings = parse_wordings(completion.text, n=self.n, but_not=query.text)
        usage = usage_of(completion, seconds=seconds)
        outcome = OK
        if not wordings:
            outcome = Outcome(kind="fallback", detail="the reply held no other wording", counts={"missing": self.n})
        elif len(wordings) < self.n:
            missing = self.n - len(wordings)
            detail = f"{len(wordings)} of {self.n} wordings"
            outcome = Outcome(kind="repaired", detail=detail, counts={"missing": missing})
        written = [replace(query, text=text, original=query.asked, parts=(), terms={}, outcome=OK) for text in wordings]
        family = [replace(query, outcome=OK), *written] if self.keep_original or not written else written
        return [replace(family[0], outcome=outcome, usage=usage), *(replace(q, usage=Usage()) for q in family[1:])]


def parse_wordings(text: str, *, n: int, but_not: str = "") -> list[str]:
    """At most `n` different wordings, one a line, none equal to `but_not`; letter case is not a difference."""
    seen = {"", _folded(but_not)}
    wordings: list[str] = []
    for line in text.rpartition("</think>")[2].splitlines():
        bare = _LABEL.sub("", _BULLET.sub("", line)).strip().strip(_QUOTES).strip()
        if len(bare) > _LONGEST or bare.endswith(":") or _folded(bare) in seen:
            continue
        seen.add(_folded(bare))
        wordings.append(bare)
    return wordings[:n]


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
