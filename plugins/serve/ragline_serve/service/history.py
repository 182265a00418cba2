"""The messages of a request -> a question and the turns before it, within budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rag.doors import LONGEST_TOKEN, count_tokens, history_budget, latest_turns, tokens_left
from rag.protocols import LLM
from rag.types import Message
from ragline_serve.service.replies import ApiError
from ragline_serve.service.settings import ServeSettings
from ragline_serve.service.wire.chat import ChatMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A request's messages: the question, the turns before it, and what the application wants of the answer.

    A system message is the first of the turns where it may stand above the graph's prompt, else it is the `wishes`.
    """

    question: str
    turns: tuple[Message, ...]
    wishes: str = ""


def split(messages: Sequence[ChatMessage], settings: ServeSettings) -> Said:
    """The question, which is the last message, what was said before it, and what the application wants.

    Raises:
        ApiError: the last message is not a user's question.
    """
    *earlier, last = messages
    if last.role != "user" or not last.text.strip():
        raise ApiError(400, "The last message must be a question of the role 'user'.", param="messages")
    system = "\n\n".join(one.text for one in earlier if one.is_system and one.text.strip())
    turns = by_turns(earlier)
    if system and settings.allow_system:
        return Said(question=last.text, turns=(Message(role="system", content=system), *turns))
    return Said(question=last.text, turns=turns, wishes=system)


def by_turns(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """Turns that follow each other as chat templates want it: user, assistant, user, assistant.

    Messages of one role in a row become one turn. A question without an answer at the end is left out, and so is what
    the application or its tools said.
    """
    said = [one for one in messages if one.role in ("user", "assistant") and (one.text.strip() or one.contents)]
    grouped = [(role, list(run)) for role, run in groupby(said, key=lambda one: one.role)]
    if grouped and grouped[0][0] == "assistant":
        del grouped[0]
    if grouped and grouped[-1][0] == "user":
        del grouped[-1]
    return tuple(
        Message(
            role="user" if role == "user" else "assistant",
            content="\n\n".join(one.text for one in run),
            contents=tuple(content for one in run for content in one.contents),
        )
        for role, run in grouped
    )


def fit(
    question: str, history: Sequence[Message], llm: LLM | None, settings: ServeSettings, wishes: str = ""
) -> tuple[Message, ...]:
    """The latest turns that have at most `history_tokens` tokens together; whole questions with their answers.

    A window that is small keeps a quarter of it for them. Counts with the model, so it may block: the question first,
    then from the newest exchange back until one does not fit. What nobody will read is not counted.

    Raises:
        ApiError: the question is too long, or a system message alone is over the budget.
    """
    most = settings.question_tokens
    if len(question) > most * LONGEST_TOKEN:
        raise _too_long(f"The question has {len(question):,} characters; at most {most:,} tokens are taken.")
    if (n_tokens := count_tokens([question], llm)) > most:
        raise _too_long(f"The question has {n_tokens:,} tokens; at most {most:,} are taken.")
    system = [turn for turn in history if turn.role == "system"]
    said = [turn for turn in history if turn.role != "system"]
    budget = history_budget(llm, settings.history_tokens)
    left = tokens_left(budget, [*system, *([Message(role="user", content=wishes)] if wishes else ())], llm)
    if left < 0:
        raise _too_long(f"The system message is too long: it and the earlier turns have {budget:,} tokens here.")
    return (*system, *latest_turns(said, left, llm))


def _too_long(message: str) -> ApiError:
    return ApiError(400, message, param="messages", code="context_length_exceeded")
