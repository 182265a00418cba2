"""Query -> keywords by several wordings of one instruction: one long query, or one query per instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import prompts
from prompts import PromptTemplate
from rag.core.arguments import require_positive
from rag.core.protocols import LLM
from rag.core.replies import folded, parse_keywords, parse_plain
from rag.core.types import NO_USAGE, OK, Prompt, Query, SamplingParams
from rag.stages.reformulate.terms import weighted_terms
from rag.stages.writing import Written, require_sampling, warn, write
from retrievers.index.protocol import Index
from retrievers.legs.lexical.search import lexical

INSTRUCTIONS = (
    "Improve the search results for this query by adding useful terms that expand it.",
    "Enhance the effectiveness of this search: suggest keywords that widen the query.",
    "Boost the accuracy of the search below with helpful expansion terms.",
    "Make this query find more of what is relevant: list related words and phrases.",
    "Optimise the query for a search engine by offering terms that say more about it.",
    "Raise the quality of the search with keywords that belong to the query's subject.",
    "Strengthen the query below: give words that relevant documents are likely to use.",
    "Increase the usefulness of this search by proposing phrases to add to the query.",
    "Refine the search for the query below with a set of fitting expansion keywords.",
    "Help this query to better results: provide additional search terms for it.",
)
"""Ten wordings of one instruction, ours: constants, as the method has them."""


class GenQR:
    """What both methods share: keyword sets of all queries from one call, votes over their terms, weighted terms."""

    by: ClassVar[str]
    variables: ClassVar[tuple[str, ...]] = ("instruction", "query")

    def __init__(
        self,
        *,
        llm: LLM,
        index: Index,
        n: int = 10,
        instructions: tuple[str, ...] = (),
        domain: str = "",
        beta: float = 1.0,
        repeat: float = 1.0,
        parse: bool = False,
        votes: int = 1,
        prompt: str = "genqr",
        max_tokens: int = 64,
        temperature: float = 1.0,
        top_p: float = 0.92,
        seed: int = 0,
    ) -> None:
        """Check the parameters.

        Args:
            llm: the model that writes.
            index: the index whose analyzer makes the terms.
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
        by, known = self.by, tuple(instructions) or INSTRUCTIONS
        require_positive(by, n=n, max_tokens=max_tokens, votes=votes)
        require_sampling(by, temperature=temperature, top_p=top_p)
        if n > len(known):
            raise ValueError(f"{by}: n is {n}, but there are {len(known)} instructions")
        if votes > n:
            raise ValueError(f"{by}: votes must be at most n ({n}), got {votes}: no term could have so many")
        if not beta > 0 or not repeat > 0:
            raise ValueError(f"{by}: beta and repeat must be above 0, got {beta} and {repeat}")
        self.llm, self.index, self.n, self.beta, self.repeat, self.votes = llm, index, n, beta, repeat, votes
        ending = f" The search is in the field of {domain}." if domain else ""
        self.instructions = tuple(instruction + ending for instruction in known[:n])
        self.prompt: PromptTemplate = prompts.load(prompt)
        self.prompt.require(*self.variables, by=by)
        self._read = parse_keywords if parse else parse_plain
        self._params = SamplingParams(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)

    def keywords(self, rendered: Sequence[Sequence[Prompt]]) -> list[Written]:
        """The keyword sets of each query, in the order of the instructions."""
        replies = write(self.llm, rendered, self._params, read=self._read)
        return [replace(written, texts=self._voted(written.texts)) for written in replies]

    def expanded(self, query: Query, sets: Sequence[str]) -> Query:
        """The query with keyword sets behind its text, and their terms at weight beta."""
        text = " ".join((query.text, *sets))
        weighted = [(query.text, self.repeat), *((keywords, self.beta) for keywords in sets)]
        terms = weighted_terms(self.index, weighted)
        return replace(query, text=text, original=query.asked, parts=(), terms=terms)

    def _voted(self, sets: Sequence[str]) -> tuple[str, ...]:
        """The sets without words whose term is in fewer than `votes` of them.

        Words are counted as they are, in lower case, where the index has no analyzer for terms.
        """
        if self.votes == 1:
            return tuple(sets)
        has_terms = "lexical" in self.index.legs
        terms_of = lexical(self.index).analyzer.terms if has_terms else lambda text: folded(text).split()
        votes = Counter(term for keywords in sets for term in set(terms_of(keywords)))
        kept = (
            " ".join(w for w in keywords.split() if all(votes[term] >= self.votes for term in terms_of(w)))
            for keywords in sets
        )
        return tuple(keywords for keywords in kept if keywords)

    def plain(self, queries: Sequence[Query]) -> list[list[Prompt]]:
        """One prompt per instruction."""
        return [[self.prompt.render(instruction=i, query=query.text) for i in self.instructions] for query in queries]

    def ensemble(self, queries: Sequence[Query], replies: Sequence[Written]) -> list[Query]:
        """One query each: the query and all keyword sets."""
        made = []
        for query, written in zip(queries, replies, strict=True):
            done = self.expanded(query, written.texts) if written.texts else query
            made.append(replace(done, outcome=written.outcome, usage=written.usage))
        warn(made, by=self.by)
        return made

    def fusion(self, queries: Sequence[Query], replies: Sequence[Written]) -> list[list[Query]]:
        """A family each: the query with one keyword set. Outcome and usage are on the first."""
        families = []
        for query, written in zip(queries, replies, strict=True):
            plain = replace(query, outcome=OK, usage=NO_USAGE)
            first, *rest = [self.expanded(plain, [keywords]) for keywords in written.texts] or [plain]
            families.append([replace(first, outcome=written.outcome, usage=written.usage), *rest])
        warn([family[0] for family in families], by=self.by)
        return families


class GenQREnsembleReformulator(GenQR):
    """Keywords by ten wordings of one instruction, all appended to the query (GenQREnsemble: ECIR 2024, arXiv 2404.03746).

    A term weighs as often as it was written, over all keyword sets: agreement is the signal, so nothing is taken out.
    The paper samples with top-k 200 and repetition penalty 1.2 as well, which are not offered here. A reproduction
    with 7B models lost to plain BM25 on several sets: compare with `reformulate.query2doc`.
    """

    by = "reformulate.genqr_ensemble"
    one_per_query = True

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """One query per query, in order: its text, then the keyword sets in the order of the instructions."""
        return self.ensemble(queries, self.keywords(self.plain(queries)))


class GenQRFusionReformulator(GenQR):
    """One query per instruction, to be retrieved and fused (GenQRFusion: arXiv 2405.17658).

    The paper's fusion is not known here; follow it with a retriever of k 1000 and `fuse.rrf` (constant 60).
    """

    by = "reformulate.genqr_fusion"

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """A query per keyword set, one after another, under the qid."""
        families = self.fusion(queries, self.keywords(self.plain(queries)))
        return [query for family in families for query in family]
