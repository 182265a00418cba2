"""Models that write what a function says, with and without the power to choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag import Completion, SamplingParams
from rag.types import Prompt
from ragline_lab.llms import NamedLLM

Say = Callable[[str], str]
"""The last turn that asks -> the reply."""


class Writer:
    """A model that writes and cannot choose. `asked`: every question, in order; `batches`: how many at a time."""

    context_window = 4096

    def __init__(self, say: Say) -> None:
        self._say = say
        self.asked: list[str] = []
        self.batches: list[int] = []

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [sum(len(turn.content.split()) for turn in prompt) for prompt in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        self.batches.append(len(prompts))
        return [Completion(text=self._reply(prompt)) for prompt in prompts]

    def _reply(self, prompt: Prompt) -> str:
        question = next(turn.content for turn in reversed(prompt) if turn.role == "user")
        self.asked.append(question)
        return self._say(question)


class Chooser(Writer):
    """The same that chooses what it would have written; a reply that is none of the choices makes none of them likely."""

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        said = [self._reply(prompt) for prompt in prompts]
        rows = [[0.0 if choice.strip() == reply else -np.inf for choice in choices] for reply in said]
        return np.array(rows, np.float32).reshape(len(prompts), len(choices))


def named(llm: Writer, name: str = "scripted") -> NamedLLM:
    return NamedLLM(name=name, llm=llm, identity={"name": name})
