"""Query -> the same query with what a model wrote about it: HyDE, SL-HyDE, Query2doc, thoughts, example programs.

One idea under all of them: write n texts, clean them, combine them with the query. Dense legs average the `parts` of
the query, lexical legs score its `terms`; its `text` stays as it was, for rerankers and people to read. The methods are
presets, in `ragline_recipes.reformulate.presets`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import prompts
from rag.indexes import Index
from rag.protocols import LLM
from rag.types import Query, QueryPart, SamplingParams
from rag.writing import (
    Written,
    parse_code,
    parse_passage,
    require_positive,
    require_sampling,
    warn_of_queries,
    write,
)
from ragline_recipes.reformulate.terms import weighted_terms

READERS: Mapping[str, Callable[[str], str]] = {"passage": parse_passage, "code": parse_code}
"""Kind of text -> how it is read from a reply."""


class Expander:
    """Texts that a model writes about the query. Where none is usable the query stays, outcome `fallback`."""

    one_per_query = True

    by: ClassVar[str]
    """What messages call the component."""

    joined: ClassVar[bool] = False
    """Whether dense legs read query and text as one query, for every text; else the texts stand beside it, as documents."""

    halved: ClassVar[bool] = False
    """Whether the query weighs as much as all its texts, for all legs."""

    writes: ClassVar[str] = "passage"
    """What is written: a name of `READERS`."""

    stop: ClassVar[tuple[str, ...]] = ()
    """Strings that end a text."""

    def __init__(
        self,
        *,
        llm: LLM,
        index: Index,
        n: int = 1,
        repeat: float = 1.0,
        prompt: str,
        separator: str = " [SEP] ",
        max_tokens: int = 128,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Check the parameters.

        Args:
            llm: the model that writes.
            index: the index whose analyzer makes the terms; fixed to None where a method is for dense legs alone.
            n: texts; each is one call.
            repeat: weight of the query's terms where those of a text count 1.
            prompt: name or path of a prompt with the variable query.
            separator: what stands between query and text for dense legs.
            max_tokens: most tokens of a text.
            temperature: above 0 if n is above 1; 0 writes the likeliest text.
            top_p: sample from the likeliest tokens that make up this share.
            seed: of the first text; the others count up from it.
        """
        require_positive(self.by, n=n, max_tokens=max_tokens)
        require_sampling(self.by, temperature=temperature, top_p=top_p, samples=n)
        if not repeat > 0:
            raise ValueError(f"{self.by}: repeat must be above 0, got {repeat}")
        self.llm, self.n, self.repeat, self.separator = llm, n, repeat, separator
        self.prompt = prompts.load(prompt)
        self.prompt.require("query", by=self.by)
        self._index: Index | None = index
        self._params = SamplingParams(
            max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=self.stop
        )

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """One query per query, in order, with parts and terms. Outcome counts: calls, empty, too_long, cut_off."""
        if not queries:
            return []
        rendered = [[self.prompt.render(query=query.text)] for query in queries]
        replies = write(self.llm, rendered, self._params, read=READERS[self.writes], samples=self.n)
        expanded = [self._expanded(query, written) for query, written in zip(queries, replies, strict=True)]
        warn_of_queries(expanded, by=self.by)
        return expanded

    def _expanded(self, query: Query, written: Written) -> Query:
        query = replace(query, outcome=written.outcome, usage=written.usage)
        if not written.texts:
            return query
        weight = float(len(written.texts)) if self.halved else self.repeat
        texts = [(query.text, weight), *((text, 1.0) for text in written.texts)]
        terms = weighted_terms(self._index, texts) if self._index is not None else {}
        beside = (QueryPart(text=text, role="document") for text in written.texts)
        whole = QueryPart(text=query.text, weight=weight)
        parts = self._joined(query.text, written) if self.joined else (whole, *beside)
        return replace(query, original=query.asked, parts=parts, terms=terms)

    def _joined(self, query: str, written: Written) -> tuple[QueryPart, ...]:
        """Equal texts are encoded once and weigh as often as they came; in the place of every empty one is the bare query."""
        joined = (
            QueryPart(text=f"{query}{self.separator}{text}", weight=float(written.texts.count(text)))
            for text in dict.fromkeys(written.texts)
        )
        bare = (QueryPart(text=query, weight=float(written.empty)),) if written.empty else ()
        return (*joined, *bare)
