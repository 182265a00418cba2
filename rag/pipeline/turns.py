"""Which earlier turns of a conversation go before a question: the latest that fit, whole questions with their answers."""

from __future__ import annotations

from collections.abc import Sequence

from generators.answering import cautious_tokens
from rag.core.protocols import LLM, AsksModel
from rag.core.types import Message
from rag.graph.build import Graph

HISTORY_TOKENS = 1024
"""Tokens of earlier turns, where nobody says how many."""
LONGEST_TOKEN = 64
"""Characters a token, on the average of a text, that no tokenizer reaches: what has more is not worth counting."""


def answering_llm(graph: Graph) -> LLM | None:
    """The model that answers, if the answering node says which."""
    return graph.writer.llm if isinstance(graph.writer, AsksModel) else None


def history_budget(llm: LLM | None, most: int = HISTORY_TOKENS) -> int:
    """Tokens that earlier turns may have: a window that is small keeps a quarter of it for them."""
    return most if llm is None else min(most, llm.context_window // 4)


def latest_turns(said: Sequence[Message], budget: int, llm: LLM | None) -> list[Message]:
    """The latest turns that have at most so many tokens together.

    Counts with the model, so it may block: from the newest exchange back until one does not fit. What nobody will read is
    not counted.

    Args:
        said: a question, its answer, a question, its answer, ...
    """
    kept: list[Message] = []
    for position in range(len(said) - 2, -1, -2):
        exchange = said[position : position + 2]
        if (budget := tokens_left(budget, exchange, llm)) < 0:
            break
        kept[:0] = exchange
    return kept


def tokens_left(budget: int, turns: Sequence[Message], llm: LLM | None) -> int:
    """What is left of a budget of tokens after these turns; below 0 if they do not fit."""
    texts = [turn.content for turn in turns]
    if sum(map(len, texts)) > budget * LONGEST_TOKEN:
        return -1
    return budget - count_tokens(texts, llm)


def count_tokens(texts: Sequence[str], llm: LLM | None) -> int:
    """Tokens of texts, each as a turn of its own; guessed from above where there is no model to count."""
    if llm is None:
        return sum(cautious_tokens([text]) for text in texts)
    return sum(llm.count_tokens([[Message(role="user", content=text)] for text in texts]))
