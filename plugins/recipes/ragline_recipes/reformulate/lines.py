"""Query -> other queries that a model writes, one a line. Its presets stand in `ragline_recipes.reformulate.presets`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import prompts
from rag.protocols import LLM
from rag.types import OK, Outcome, Query, SamplingParams, Usage
from rag.writing import (
    Written,
    call_counts,
    parse_wordings,
    require_positive,
    require_sampling,
    without_reasoning,
    write,
)

logger = logging.getLogger(__name__)


class LinesReformulator:
    """Other queries to retrieve with the asked one.

    Bullets, numbers, labels and quotation marks around a line are taken off; announcements, fences and repeats are
    dropped. Too few queries is outcome `repaired`; none at all leaves the query unchanged, outcome `fallback`. A reply at
    its limit ends within a line: that line is left out where there is another, outcome `repaired`.
    """

    by: ClassVar[str]
    """What messages call the component."""

    all_wanted: ClassVar[bool] = False
    """Whether fewer than `n` queries are too few. Else the model decides, and one is enough."""

    def __init__(
        self,
        *,
        llm: LLM,
        n: int,
        prompt: str,
        keep_original: bool = True,
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Check the parameters.

        Args:
            llm: the model that writes.
            n: queries, at most.
            prompt: name or path of a prompt with the variables query and n.
            keep_original: the query as it came is the first of the queries.
            max_tokens: most tokens of a reply.
            temperature: 0 writes the likeliest queries, more brings variety.
            seed: of the sampling, when the temperature is above 0.
        """
        require_positive(self.by, n=n, max_tokens=max_tokens)
        require_sampling(self.by, temperature=temperature)
        self.llm, self.n, self.keep_original, self.max_tokens = llm, n, keep_original, max_tokens
        self.prompt = prompts.load(prompt)
        self.prompt.require("query", "n", by=self.by)
        self._fewest = n if self.all_wanted else 1
        self._params = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """The queries of each query, one after another, under its qid. Outcome and usage are on the first."""
        if not queries:
            return []
        rendered = [[self.prompt.render(query=query.text, n=str(self.n))] for query in queries]
        replies = write(self.llm, rendered, self._params, read=without_reasoning)
        families = [self._family(query, written) for query, written in zip(queries, replies, strict=True)]
        if short := sum(family[0].outcome.kind != "ok" for family in families):
            logger.warning(
                "%s: %d of %d replies had fewer than %d queries or were cut off",
                self.by,
                short,
                len(queries),
                self._fewest,
            )
        return [query for family in families for query in family]

    def _family(self, query: Query, written: Written) -> list[Query]:
        wordings, cut = self._wordings(query, written)
        others = [replace(query, text=text, original=query.asked, parts=(), terms={}, outcome=OK) for text in wordings]
        family = [replace(query, outcome=OK), *others] if self.keep_original or not others else others
        first = replace(family[0], outcome=self._outcome(len(wordings), written, cut=cut), usage=written.usage)
        return [first, *(replace(other, usage=Usage()) for other in family[1:])]

    def _wordings(self, query: Query, written: Written) -> tuple[list[str], bool]:
        """What the reply asks for, and whether its end is missing: half a query is used where there is no other."""
        text = "".join(written.texts)
        wordings = parse_wordings(text, n=self.n, but_not=query.text)
        if not written.cut_off:
            return wordings, False
        whole = parse_wordings(text.rpartition("\n")[0], n=self.n, but_not=query.text)
        return whole or wordings, whole != wordings

    def _outcome(self, n: int, written: Written, *, cut: bool) -> Outcome:
        missing = max(self._fewest - n, 0)
        kind: Literal["ok", "repaired", "fallback"] = "repaired" if missing or cut else "ok"
        kind = kind if n else "fallback"
        troubles = {"missing": missing, "cut_off": written.cut_off, "too_long": written.too_long}
        counts = call_counts(**{kind: written.calls}) | {name: many for name, many in troubles.items() if many}
        details = {
            "ok": "",
            "repaired": f"{n} of {self._fewest} wordings" if missing else "the reply was cut off",
            "fallback": "the prompt is too long for the model"
            if written.too_long
            else "the reply held no other wording",
        }
        return Outcome(kind=kind, detail=details[kind], counts=counts)
