"""Query -> keywords by several wordings of one instruction: one long query, or one query per instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import prompts
from prompts import PromptTemplate
from rag.indexes import Index
from rag.protocols import LLM
from rag.types import NO_USAGE, OK, Prompt, Query, SamplingParams
from rag.writing import (
    Written,
    folded,
    in_one_line,
    parse_keywords,
    require_positive,
    require_sampling,
    takes,
    warn_of_queries,
    without_reasoning,
    write,
)
from ragline_recipes.reformulate.terms import weighted_terms

INSTRUCTIONS = "genqr"
"""The list of instructions in the prompt library."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Who writes, and what makes the terms.

    Args:
        llm: the model that writes.
        index: the index whose analyzer makes the terms.
    """

    llm: LLM
    index: Index


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How keywords are asked for and weighed.

    Args:
        n: instructions used, one call each, sent as one batch.
        instructions: wordings of your own in place of the ten.
        domain: the field of the search, named in every instruction.
        beta: weight of a keyword where a word of the query has `repeat`; the paper also tries 0.05.
        repeat: weight of the query's own terms.
        parse: take off bullets, numbers, quotation marks and announcements, which chat models write.
        votes: keep a keyword only if so many sets have its term, or the word itself where the index has no lexical leg
            (a filter of ours; the paper's is not described).
        prompt: name or path of a prompt with the variables instruction and query.
        max_tokens: most tokens of a reply.
        temperature: the paper names none; 0 is greedy.
        top_p: sample from the likeliest tokens that make up this share.
        seed: of the sampling.
    """

    n: int = 10
    instructions: tuple[str, ...] = ()
    domain: str = ""
    beta: float = 1.0
    repeat: float = 1.0
    parse: bool = False
    votes: int = 1
    prompt: str = "genqr"
    max_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 0.92
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class GenQROptions(Asking, Resources):
    """Keywords from the query alone."""


class GenQR:
    """Keyword sets of all queries from one call, votes over their terms, weighted terms.

    `joined`: all sets go into one query; else each makes a query of its own.
    """

    by: ClassVar[str]
    joined: ClassVar[bool] = False
    variables: ClassVar[tuple[str, ...]] = ("instruction", "query")

    @takes(GenQROptions)
    def __init__(self, options: GenQROptions) -> None:
        self._set_up(options, options)

    def _set_up(self, options: Asking, resources: Resources) -> None:
        by, n, votes = self.by, options.n, options.votes
        known = tuple(options.instructions) or prompts.load_instructions(INSTRUCTIONS).texts
        require_positive(by, n=n, max_tokens=options.max_tokens, votes=votes)
        require_sampling(by, temperature=options.temperature, top_p=options.top_p)
        if n > len(known):
            raise ValueError(f"{by}: n is {n}, but there are {len(known)} instructions")
        if votes > n:
            raise ValueError(f"{by}: votes must be at most n ({n}), got {votes}: no term could have so many")
        if not options.beta > 0 or not options.repeat > 0:
            raise ValueError(f"{by}: beta and repeat must be above 0, got {options.beta} and {options.repeat}")
        self.options, self.llm, self._index = options, resources.llm, resources.index
        ending = f" The search is in the field of {options.domain}." if options.domain else ""
        self.instructions = tuple(instruction + ending for instruction in known[:n])
        self.prompt: PromptTemplate = prompts.load(options.prompt)
        self.prompt.require(*self.variables, by=by)
        self._params = SamplingParams(
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
        )

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """One query per query: its text, then all keyword sets in the order of the instructions. Or one per keyword set.

        Those of a query follow one another, under its qid.
        """
        plain = [
            [self.prompt.render(instruction=text, query=query.text) for text in self.instructions] for query in queries
        ]
        return [query for family in self.families(queries, plain) for query in family]

    def families(self, queries: Sequence[Query], rendered: Sequence[Sequence[Prompt]]) -> list[list[Query]]:
        """The queries made of each query. Outcome and usage are on the first."""
        read = parse_keywords if self.options.parse else lambda text: in_one_line(without_reasoning(text))
        replies = write(self.llm, rendered, self._params, read=read)
        families = [self._family(query, written) for query, written in zip(queries, replies, strict=True)]
        warn_of_queries([family[0] for family in families], by=self.by)
        return families

    def _family(self, query: Query, written: Written) -> list[Query]:
        sets = self._voted(written.texts)
        written = replace(written, texts=sets)
        plain = replace(query, outcome=OK, usage=NO_USAGE)
        groups = [sets] if self.joined else [(keywords,) for keywords in sets]
        first, *rest = [self._expanded(plain, group) for group in groups if group] or [plain]
        return [replace(first, outcome=written.outcome, usage=written.usage), *rest]

    def _expanded(self, query: Query, sets: Sequence[str]) -> Query:
        """The query with keyword sets behind its text, and their terms at weight beta."""
        text = " ".join((query.text, *sets))
        weighted = [(query.text, self.options.repeat), *((keywords, self.options.beta) for keywords in sets)]
        terms = weighted_terms(self._index, weighted)
        return replace(query, text=text, original=query.asked, parts=(), terms=terms)

    def _voted(self, sets: Sequence[str]) -> tuple[str, ...]:
        """The sets without words whose term is in fewer than `votes` of them.

        Words are counted as they are, in lower case, where the index has no analyzer for terms.
        """
        if self.options.votes == 1:
            return tuple(sets)
        has_terms = "lexical" in self._index.legs
        terms_of = self._index.leg("lexical").analyzer.terms if has_terms else lambda text: folded(text).split()
        votes = Counter(term for keywords in sets for term in set(terms_of(keywords)))
        kept = (
            " ".join(w for w in keywords.split() if all(votes[term] >= self.options.votes for term in terms_of(w)))
            for keywords in sets
        )
        return tuple(keywords for keywords in kept if keywords)
