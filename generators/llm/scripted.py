"""A language model for tests: it says what it was told to say and remembers what it was asked."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from generators.llm.params import require_choices, require_pairs, require_valid
from rag.core.types import Completion, Prompt, SamplingParams

_TOKEN = re.compile(r"\s*\S+|\s+$")
_TURN = 4  # tokens that a chat template adds to a turn


class ScriptedLLM:
    """Replies in a fixed order and keeps every prompt: a model for tests that need no weights (ours).

    A word, with the blanks before it, is a token. After the last reply that one is repeated; `seen` tells how many
    were asked for. `max_tokens` and stop strings cut a reply as they would cut a real one. Scores are made from
    hashes: they say nothing, but the same prompt and text always score the same. Many threads may call it.

    Args:
        replies: what it says, in this order.
        context_window: tokens for prompt and reply together.
    """

    def __init__(self, *, replies: tuple[str, ...] = ("",), context_window: int = 4096) -> None:
        value: object = replies  # a lone string is a sequence of strings too, and never what is meant
        if isinstance(value, str) or not replies:
            raise ValueError("llm.scripted: replies must be a tuple of at least one text")
        if context_window < 1:
            raise ValueError(f"llm.scripted: context_window must be at least 1, got {context_window}")
        self.replies = tuple(replies)
        self.context_window = context_window
        self.seen: list[Prompt] = []
        self.batches: list[int] = []
        self._said = 0
        self._lock = threading.Lock()

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Words and four more for each turn."""
        return [sum(_TURN + len(_TOKEN.findall(turn.content)) for turn in prompt) for prompt in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        """The next replies, one per prompt. `batches` keeps the size of each call.

        Raises:
            ValueError: a prompt and `max_tokens` do not fit the context window; no reply is used up then.
        """
        require_valid(params, by="llm.scripted")
        self._require_room(prompts, params.max_tokens)
        with self._lock:
            self.batches.append(len(prompts))
            return [self._next(prompt, params) for prompt in prompts]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        """The next reply, word by word; the generator's return value is the Completion."""
        require_valid(params, by="llm.scripted")
        self._require_room([prompt], params.max_tokens)
        return self._words(prompt, params)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """A number from -6 to 0 for each word, made from a hash of prompt, words before and word."""
        require_pairs(prompts, continuations)
        self._remember(prompts)
        return [_scores(prompt, text) for prompt, text in zip(prompts, continuations, strict=True)]

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_prompts, n_choices]: the sum of `score` over each choice."""
        require_choices(choices)
        self._remember(prompts)
        sums = [[sum(_scores(prompt, choice)) for choice in choices] for prompt in prompts]
        return np.array(sums, dtype=np.float32).reshape(len(prompts), len(choices))

    def _words(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        with self._lock:
            completion = self._next(prompt, params)
        yield from _TOKEN.findall(completion.text)
        return completion

    def _next(self, prompt: Prompt, params: SamplingParams) -> Completion:
        self.seen.append(prompt)
        reply = self.replies[min(self._said, len(self.replies) - 1)]
        self._said += 1
        words = _TOKEN.findall(reply)
        text = "".join(words[: params.max_tokens])
        ends = [start for start in (text.find(stop) for stop in params.stop) if start >= 0]
        over = len(words) > params.max_tokens and not ends
        if ends:
            text = text[: min(ends)]
        return Completion(
            text=text,
            prompt_tokens=self.count_tokens([prompt])[0],
            completion_tokens=len(_TOKEN.findall(text)),
            finish_reason="length" if over else "stop",
        )

    def _remember(self, prompts: Sequence[Prompt]) -> None:
        with self._lock:
            self.seen.extend(prompts)
            self.batches.append(len(prompts))

    def _require_room(self, prompts: Sequence[Prompt], more: int) -> None:
        for number, tokens in enumerate(self.count_tokens(prompts), start=1):
            if tokens + more > self.context_window:
                raise ValueError(
                    f"llm.scripted: prompt {number} of {len(prompts)} is {tokens:,} tokens and {more:,} more were asked"
                    f" for, but the context window is {self.context_window:,}"
                )


def _scores(prompt: Prompt, text: str) -> list[float]:
    state = zlib.crc32("\x00".join(f"{turn.role}\x00{turn.content}" for turn in prompt).encode("utf-8", "replace"))
    scores = []
    for word in _TOKEN.findall(text):
        state = zlib.crc32(word.encode("utf-8", "replace"), state)
        scores.append(-6.0 * (state % 10_007) / 10_007)
    return scores
