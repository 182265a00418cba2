"""Completions, token by token: when a row is done, what its text is, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from generators.llm.decoding import Batch, Picker, most_likely
from generators.llm.text import TextTail
from rag.core.stopping import unwanted
from rag.core.types import Completion, SamplingParams

if TYPE_CHECKING:
    from torch import Tensor


class Writer:
    """One completion while it is written.

    Args:
        decode: token ids -> text, special tokens left out.
        ends: ids that end the completion.
        stop: strings that end it; the text is cut before them.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        prompt_tokens: int,
        decode: Callable[[list[int]], str],
        ends: frozenset[int],
        stop: Sequence[str],
    ) -> None:
        self._params, self._ends, self._decode = params, ends, decode
        self._picker = Picker(params)
        self._tail = TextTail(decode, stop)
        self._prompt_tokens, self._written = prompt_tokens, 0
        self._logprobs: list[dict[str, float]] = []
        self._pieces: list[str] = []
        self.reason = ""

    def take(self, logits: Tensor) -> tuple[int, str]:
        """The next token, from logits [vocabulary], and the text that it settled. Sets `reason` at the end."""
        token = self._picker.pick(logits)
        self._written += 1
        if self._params.logprobs:
            self._note(logits, token)
        piece = ""
        if token in self._ends:
            self.reason = "stop"
        else:
            piece = self._tail.add(token)
            if self._tail.stopped:
                self.reason = "stop"
            elif self._written == self._params.max_tokens:
                self.reason = "length"
        if self.reason:
            piece += self._tail.finish()
            if self._tail.stopped:
                self.reason = "stop"
        self._pieces.append(piece)
        return token, piece

    def completion(self) -> Completion:
        return Completion(
            text="".join(self._pieces),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._written,
            finish_reason=self.reason or "abort",
            logprobs=tuple(self._logprobs) if self._params.logprobs else None,
        )

    def _note(self, logits: Tensor, token: int) -> None:
        """Keep the likeliest tokens and the chosen one. Of two that decode alike, the likelier stays."""
        candidates = most_likely(logits, self._params.logprobs)
        if token not in dict(candidates):
            candidates.append((token, float(logits[token] - logits.logsumexp(dim=-1))))
        noted: dict[str, float] = {}
        for id_, logprob in candidates:
            noted.setdefault(self._decode([id_]), logprob)
        self._logprobs.append(noted)


def write_all(batch: Batch, writers: Sequence[Writer]) -> list[Completion]:
    """Write every row to its end, or as far as it is wanted (`rag.core.stopping`); rows leave the batch as they are done."""
    live = list(writers)
    while True:
        tokens = [writer.take(logits)[0] for writer, logits in zip(live, batch.logits, strict=True)]
        going = [place for place, writer in enumerate(live) if not writer.reason]
        if not going or unwanted():
            return [writer.completion() for writer in writers]
        if len(going) < len(live):
            batch.keep(going)
            live = [live[place] for place in going]
        batch.feed([tokens[place] for place in going])
