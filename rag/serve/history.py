"""The messages of a request -> a question and the turns before it, within budgets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from generators.answering import cautious_tokens
from rag.protocols import LLM
from rag.serve.errors import ApiError
from rag.serve.settings import ServeSettings
from rag.serve.wire import ChatMessage
from rag.types import Message


def split(messages: Sequence[ChatMessage], settings: ServeSettings) -> tuple[str, tuple[Message, ...]]:
    """The question, which is the last message, and the turns before it: user and assistant by turns.

    Raises:
        ApiError: the last message is not a user's question, or there is a system message and none is allowed.
    """
    *earlier, last = messages
    if last.role != "user" or not last.text.strip():
        raise ApiError(400, "The last message must be a question of the role 'user'.", param="messages")
    if not settings.allow_system and any(turn.role in ("system", "developer") for turn in earlier):
        raise ApiError(
            400,
            "System messages are not taken: the prompt is the graph's. Leave them out.",
            param="messages",
            code="system_message",
        )
    return last.text, by_turns(earlier)


def by_turns(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Turns that follow each other as chat templates want it: user, assistant, user, assistant, system ones first.

    Messages of one role in a row become one turn. A question without an answer at the end is left out.
    """
    system = [Message(role="system", content=one.text) for one in messages if one.role in ("system", "developer")]
    said = [one for one in messages if one.role in ("user", "assistant") and one.text.strip()]
    grouped = [(role, [one.text for one in run]) for role, run in groupby(said, key=lambda one: one.role)]
    if grouped and grouped[0][0] == "assistant":
        del grouped[0]
    if grouped and grouped[-1][0] == "user":
        del grouped[-1]
    turns = [
        Message(role="user" if role == "user" else "assistant", content="\n\n".join(texts)) for role, texts in grouped
    ]
    return (*system, *turns)


def fit(question: str, history: Sequence[Message], llm: LLM | None, settings: ServeSettings) -> tuple[Message, ...]:
    """The latest turns that have at most `history_tokens` tokens together; whole questions with their answers.

    A window that is small keeps a quarter of it for them. Counts with the model, so it may block.

    Raises:
        ApiError: the question is too long, or a system message alone is over the budget.
    """
    texts = [question, *(turn.content for turn in history)]
    asked, *counts = _count(texts, llm)
    if asked > settings.question_tokens:
        raise ApiError(
            400,
            f"The question has {asked:,} tokens; at most {settings.question_tokens:,} are taken.",
            param="messages",
            code="context_length_exceeded",
        )
    left = settings.history_tokens if llm is None else min(settings.history_tokens, llm.context_window // 4)
    system = [at for at, turn in enumerate(history) if turn.role == "system"]
    left -= sum(counts[at] for at in system)
    if left < 0:
        raise ApiError(400, "The system message is too long.", param="messages", code="context_length_exceeded")
    kept: list[Message] = []
    for at in range(len(history) - 2, len(system) - 1, -2):
        left -= counts[at] + counts[at + 1]
        if left < 0:
            break
        kept[:0] = history[at : at + 2]
    return (*(history[at] for at in system), *kept)


def _count(texts: Sequence[str], llm: LLM | None) -> list[int]:
    """Tokens of each text as a turn of its own; guessed from above where there is no model to count."""
    if llm is None:
        return [cautious_tokens([text]) for text in texts]
    return llm.count_tokens([[Message(role="user", content=text)] for text in texts])
