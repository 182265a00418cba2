"""A model that is asked the same by several ways of a benchmark, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from rag.core.digests import data_sha256
from rag.core.types import Completion, Prompt, SamplingParams


class Remembering:
    """A model that answers a prompt once: ways that ask the same have the same replies, and the first one's seconds.

    Args:
        kept: a file of replies, so that a run that was stopped asks none again. It belongs to one model.
    """

    def __init__(self, llm: Any, *, kept: Path | None = None) -> None:
        self._llm, self._kept = llm, kept
        self._said: dict[str, tuple[Completion, float]] = {}
        if kept is not None and kept.is_file():
            for line in kept.read_text(encoding="utf-8").splitlines():
                reply = json.loads(line)
                self._said[reply["asked"]] = Completion(**reply["said"]), reply["seconds"]
        self.context_window: int = llm.context_window
        self.seconds = 0.0

    @property
    def keeps_forms(self) -> frozenset[str]:
        forms: frozenset[str] = self._llm.keeps_forms
        return forms

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        counts: list[int] = self._llm.count_tokens(prompts)
        return counts

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        keys = [data_sha256([[[turn.role, turn.content] for turn in prompt], repr(params)]) for prompt in prompts]
        new = list({key: place for place, key in enumerate(keys) if key not in self._said}.values())
        begun = perf_counter()
        completions = self._llm.complete([prompts[place] for place in new], params) if new else []
        each = (perf_counter() - begun) / max(1, len(new))
        for place, done in zip(new, completions, strict=True):
            self._said[keys[place]] = done, each
            self._keep(keys[place], done, each)
        self.seconds += sum(self._said[key][1] for key in keys)
        return [self._said[key][0] for key in keys]

    def _keep(self, asked: str, done: Completion, seconds: float) -> None:
        if self._kept is not None:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            with self._kept.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"asked": asked, "said": asdict(done), "seconds": seconds}) + "\n")

    def forget_prefixes(self) -> None:
        """What was answered stays known."""
