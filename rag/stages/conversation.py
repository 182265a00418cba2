"""A turn of a conversation -> the question that it asks, understandable alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import prompts
from rag.core.arguments import require_positive
from rag.core.protocols import LLM
from rag.core.recipe import Recipe
from rag.core.replies import folded, parse_question
from rag.core.types import NO_USAGE, OK, Message, Outcome, Prompt, Query, SamplingParams
from rag.core.words import first_words, in_one_line
from rag.stages.writing import Written, warn, write

_PRONOUNS = """
    it its itself they them their theirs this that these those he him his she her hers there then one ones former
    latter same such both either another else more"""
_FUNCTION_WORDS = "the a an of in on for to is are was were do does did what which who when where how why can"

_REFERRING = frozenset(_PRONOUNS.split())
_ENGLISH = frozenset(_FUNCTION_WORDS.split())
_STARTS = re.compile(r"^\s*(?:and|but|or|so|then|also|what about|how about|why not|why so|really)\b", re.IGNORECASE)
_FEWEST_WORDS = 4


class ConversationReformulator:
    """Follow-up questions made to stand alone, from `Query.history` (as in CANARD: Elgohary et al., EMNLP 2019).

    The turn as it came is kept beside the rewrite, for a fuser to join what both find; the fused ranking's query is the
    rewrite, and the turn as it came what the generator answers. A query without history, or one
    that stands alone already, costs no call. Nothing usable from the model leaves the turn alone, outcome `fallback`.

    Args:
        llm: the model that writes.
        turns: last turns of the history that it reads.
        max_words: words of a turn that it reads.
        prompt: name or path of a prompt with the variables conversation and query.
        keep_original: the turn as it came is the first of the queries.
        skip_self_contained: leave English questions of four words and more alone that refer to nothing; what is not
            known to be English goes to the model.
        max_tokens: most tokens of a reply.
    """

    recipe: ClassVar[Recipe] = Recipe(system="CANARD", source="Elgohary et al., EMNLP 2019")

    def __init__(
        self,
        *,
        llm: LLM,
        turns: int = 6,
        max_words: int = 100,
        prompt: str = "stand_alone",
        keep_original: bool = True,
        skip_self_contained: bool = True,
        max_tokens: int = 64,
    ) -> None:
        require_positive("reformulate.conversation", turns=turns, max_words=max_words, max_tokens=max_tokens)
        self.llm, self.turns, self.max_words = llm, turns, max_words
        self.keep_original, self.skip_self_contained = keep_original, skip_self_contained
        self.prompt = prompts.load(prompt)
        self.prompt.require("conversation", "query", by="reformulate.conversation")
        self._params = SamplingParams(max_tokens=max_tokens)

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """Each query and its rewrite, under its qid; counts tell `self_contained` and `unchanged` ones."""
        if not queries:
            return []
        rendered = [[self._render(query)] if self._needs_rewriting(query) else [] for query in queries]
        replies = write(self.llm, rendered, self._params, read=parse_question)
        families = [
            self._family(query, written) if prompts_of_query else [_left_alone(query)]
            for query, prompts_of_query, written in zip(queries, rendered, replies, strict=True)
        ]
        warn([family[0] for family in families], by="reformulate.conversation")
        return [query for family in families for query in family]

    def _needs_rewriting(self, query: Query) -> bool:
        return bool(_said(query)) and not (self.skip_self_contained and self_contained(query.text))

    def _render(self, query: Query) -> Prompt:
        said = "\n".join(self._line(turn) for turn in _said(query)[-self.turns :])
        return self.prompt.render(conversation=said, query=query.text)

    def _line(self, turn: Message) -> str:
        return f"{turn.role.capitalize()}: {in_one_line(first_words(turn.content, self.max_words))}"

    def _family(self, query: Query, written: Written) -> list[Query]:
        text = "".join(written.texts)
        if not text or folded(text) == folded(query.text):
            outcome = written.outcome
            if text:
                outcome = replace(outcome, counts={**outcome.counts, "unchanged": 1})
            return [replace(query, outcome=outcome, usage=written.usage)]
        query = replace(query, stand_alone=text)
        rewrite = replace(query, text=text, original=query.asked, parts=(), terms={}, outcome=OK, usage=NO_USAGE)
        if not self.keep_original:
            return [replace(rewrite, outcome=written.outcome, usage=written.usage)]
        return [replace(query, outcome=written.outcome, usage=written.usage), rewrite]


def self_contained(text: str) -> bool:
    """Whether an English question refers to nothing before it. False where that is not known: a rewrite may still help.

    >>> self_contained("how long is the warranty of a frame"), self_contained("and for forks?"), self_contained("wie lange")
    (True, False, False)
    """
    words = re.findall(r"\w+", text.casefold())
    return (
        len(words) >= _FEWEST_WORDS
        and not _ENGLISH.isdisjoint(words)
        and _REFERRING.isdisjoint(words)
        and not _STARTS.match(text)
    )


def _left_alone(query: Query) -> Query:
    outcome = Outcome(counts={"self_contained": 1}) if _said(query) else OK
    return replace(query, outcome=outcome, usage=NO_USAGE)


def _said(query: Query) -> list[Message]:
    """The turns of the conversation; a system message is none."""
    return [turn for turn in query.history if turn.role != "system"]
