"""Query -> the same query with what a model wrote about it: HyDE, SL-HyDE, Query2doc, thoughts, example programs.

One idea under all of them: write n texts, clean them, combine them with the query. Dense legs average the `parts` of
the query, lexical legs score its `terms`; its `text` stays as it was, for rerankers and people to read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import prompts
from rag.core.arguments import require_positive
from rag.core.protocols import LLM
from rag.core.replies import parse_code, parse_passage
from rag.core.types import Query, QueryPart, SamplingParams
from rag.stages.reformulate.terms import weighted_terms
from rag.stages.writing import Written, require_sampling, warn, write
from retrievers.index.protocol import Index


class Expander(ABC):
    """What the expanders of this file share. A subclass says how texts become parts and weighted texts.

    Nothing usable from the model leaves the query unchanged, outcome `fallback`.
    """

    one_per_query = True

    def __init__(
        self,
        *,
        by: str,
        llm: LLM,
        n: int,
        prompt: str,
        params: SamplingParams,
        read: Callable[[str], str] = parse_passage,
        index: Index | None = None,
    ) -> None:
        require_positive(by, n=n, max_tokens=params.max_tokens)
        require_sampling(by, temperature=params.temperature, top_p=params.top_p, samples=n)
        self.llm, self.n = llm, n
        self.prompt = prompts.load(prompt)
        self.prompt.require("query", by=by)
        self._by, self._params, self._read, self._index = by, params, read, index

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """One query per query, in order, with parts and terms. Outcome counts: calls, empty, too_long, cut_off."""
        if not queries:
            return []
        rendered = [[self.prompt.render(query=query.text)] for query in queries]
        replies = write(self.llm, rendered, self._params, read=self._read, samples=self.n)
        made = [self._expanded(query, written) for query, written in zip(queries, replies, strict=True)]
        warn(made, by=self._by)
        return made

    def _expanded(self, query: Query, written: Written) -> Query:
        query = replace(query, outcome=written.outcome, usage=written.usage)
        if not written.texts:
            return query
        terms = weighted_terms(self._index, self._weighted(query, written.texts)) if self._index else {}
        return replace(query, original=query.asked, parts=self._parts(query, written.texts), terms=terms)

    @abstractmethod
    def _parts(self, query: Query, texts: Sequence[str]) -> tuple[QueryPart, ...]:
        """What dense legs average."""

    def _weighted(self, query: Query, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Texts and weights that lexical legs score, where the expander has an index: the plain query."""
        return [(query.text, 1.0)]


class HydeReformulator(Expander):
    """Hypothetical documents (HyDE: Gao et al., ACL 2023, arXiv 2212.10496): dense search by passages not yet found.

    The model writes `n` passages that would answer the query. Dense legs search with the mean of the query's vector
    and theirs, 1 / (n + 1) each; the passages are encoded as documents. With a model of unit vectors every vector is
    normalised before the mean, which the paper's was not. Lexical legs see the plain query.

    Args:
        llm: the model that writes.
        n: passages; each is one call.
        prompt: name or path of a prompt with the variable query. The paper has one per task: hyde, hyde_claim,
            hyde_counterargument, hyde_abstract, hyde_finance, hyde_entity, hyde_news.
        max_tokens: most tokens of a passage.
        temperature: above 0 if n is above 1.
        seed: of the first passage; the others count up from it.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        n: int = 8,
        prompt: str = "hyde",
        max_tokens: int = 512,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> None:
        params = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed, stop=("\n\n\n",))
        super().__init__(by="reformulate.hyde", llm=llm, n=n, prompt=prompt, params=params)

    def _parts(self, query: Query, texts: Sequence[str]) -> tuple[QueryPart, ...]:
        return (QueryPart(text=query.text), *_documents(texts))


class SLHydeReformulator(Expander):
    """One greedy hypothetical document, averaged half and half with the query (SL-HyDE's inference, arXiv 2410.20050).

    The method's gain comes from a generator and an encoder that were trained on the corpus; with others this is HyDE
    with n = 1. The document is encoded as a document, without the query's instruction. Lexical legs see the plain query.

    Args:
        llm: the model that writes.
        prompt: name or path of a prompt with the variable query: sl_hyde answers a question, sl_hyde_title expands a
            title, sl_hyde_similar writes a text like the given one.
        max_tokens: most tokens of the document.
    """

    def __init__(self, *, llm: LLM, prompt: str = "sl_hyde", max_tokens: int = 512) -> None:
        params = SamplingParams(max_tokens=max_tokens)
        super().__init__(by="reformulate.sl_hyde", llm=llm, n=1, prompt=prompt, params=params)

    def _parts(self, query: Query, texts: Sequence[str]) -> tuple[QueryPart, ...]:
        return (QueryPart(text=query.text), *_documents(texts))


class Query2docReformulator(Expander):
    """The query with one pseudo-document behind it (Query2doc: Wang et al., EMNLP 2023, arXiv 2303.07678).

    The prompt shows four queries with their passages; `prompt: hyde` asks without examples. Lexical legs count each
    term of the query `repeat` times beside those of the passage; dense legs encode query and passage as one query.

    Args:
        llm: the model that writes.
        index: the index whose analyzer makes the terms.
        repeat: weight of the query's terms where those of the passage count 1; 5 suits passages of 60 to 100 words.
        prompt: name or path of a prompt with the variable query.
        separator: what stands between query and passage for dense legs; BERT encoders read [SEP] as their own mark.
        max_tokens: most tokens of the passage.
        temperature: 0 writes the likeliest passage.
        seed: of the sampling.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        index: Index,
        repeat: float = 5.0,
        prompt: str = "query2doc",
        separator: str = " [SEP] ",
        max_tokens: int = 128,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        if not repeat > 0:
            raise ValueError(f"reformulate.query2doc: repeat must be above 0, got {repeat}")
        params = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)
        super().__init__(by="reformulate.query2doc", llm=llm, n=1, prompt=prompt, params=params, index=index)
        self.repeat, self.separator = repeat, separator

    def _parts(self, query: Query, texts: Sequence[str]) -> tuple[QueryPart, ...]:
        return tuple(QueryPart(text=f"{query.text}{self.separator}{text}") for text in texts)

    def _weighted(self, query: Query, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [(query.text, self.repeat), *((text, 1.0) for text in texts)]


class ThinkReformulator(Expander):
    """Thoughts about the query, each embedded with it (O1 Embedder's inference form, arXiv 2502.07555).

    Dense legs search with the mean over thoughts of the vector of "query thought"; equal thoughts are encoded once and
    weigh as often as they came. An empty thought is none: in its place stands the bare query. The paper's model is
    trained to think and embed at once; with others this is only its shape, near to HyDE without document style. Lexical
    legs see the plain query.

    Args:
        llm: the model that thinks.
        n: thoughts; each is one call.
        prompt: name or path of a prompt with the variable query.
        separator: what stands between query and thought.
        max_tokens: most tokens of a thought.
        temperature: above 0 if n is above 1.
        top_p: sample from the likeliest tokens that make up this share.
        seed: of the first thought; the others count up from it.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        n: int = 3,
        prompt: str = "think",
        separator: str = " [SEP] ",
        max_tokens: int = 128,
        temperature: float = 0.1,
        top_p: float = 0.9,
        seed: int = 0,
    ) -> None:
        params = SamplingParams(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
        super().__init__(by="reformulate.think", llm=llm, n=n, prompt=prompt, params=params)
        self.separator = separator

    def _expanded(self, query: Query, written: Written) -> Query:
        made = super()._expanded(query, written)
        if not written.texts or not written.empty:
            return made
        return replace(made, parts=(*made.parts, QueryPart(text=query.text, weight=float(written.empty))))

    def _parts(self, query: Query, texts: Sequence[str]) -> tuple[QueryPart, ...]:
        return tuple(
            QueryPart(text=f"{query.text}{self.separator}{text}", weight=float(texts.count(text)))
            for text in dict.fromkeys(texts)
        )


class CodeReformulator(Expander):
    """Example programs for a query to a code search (GAR, the query side of ReCo: ACL 2024, arXiv 2401.04514).

    The prompt shows four descriptions with their code. Query and programs weigh half each: lexical legs count the
    query's terms as often as there are programs, dense legs average unit vectors, programs encoded as documents.

    Args:
        llm: the model that writes.
        index: the index whose analyzer makes the terms.
        n: programs; each is one call.
        prompt: name or path of a prompt with the variable query.
        max_tokens: most tokens of a program.
        temperature: above 0 if n is above 1.
        top_p: sample from the likeliest tokens that make up this share.
        seed: of the first program; the others count up from it.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        index: Index,
        n: int = 4,
        prompt: str = "code_example",
        max_tokens: int = 256,
        temperature: float = 1.0,
        top_p: float = 0.99,
        seed: int = 0,
    ) -> None:
        params = SamplingParams(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
        super().__init__(
            by="reformulate.code", llm=llm, n=n, prompt=prompt, params=params, read=parse_code, index=index
        )

    def _parts(self, query: Query, texts: Sequence[str]) -> tuple[QueryPart, ...]:
        return (QueryPart(text=query.text, weight=float(len(texts))), *_documents(texts))

    def _weighted(self, query: Query, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [(query.text, float(len(texts))), *((text, 1.0) for text in texts)]


def _documents(texts: Sequence[str]) -> tuple[QueryPart, ...]:
    return tuple(QueryPart(text=text, role="document") for text in texts)
