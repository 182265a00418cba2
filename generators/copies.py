"""Places of an answer that no passage has: the model is asked again for each, among what the passages do have.

A small model writes 79% where its passage says 91%, or leaves the accents of a name out. What must be copied, and what was
not, is told by `rag.stages.checks.exact`. For text that comes in pieces.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cached_property
from typing import cast

from rag.core.completions import choose_each, usage_of
from rag.core.errors import StageError
from rag.core.powers import kept_forms, lacking
from rag.core.protocols import LLM, ChoosingLLM
from rag.core.types import NO_USAGE, Message, Prompt, SamplingParams, Usage
from rag.stages.checks.dates import is_month
from rag.stages.checks.exact import Copy, Originals

logger = logging.getLogger(__name__)

_WORTH = 2.0
"""How much likelier, in nats, what the model wrote may be to it than what a passage has, and is still put right."""
_MOST = 4
"""Places of an answer that are asked for again."""
_MOST_CHOICES, _LONGEST = 64, 32
"""What it may choose from, and the characters of each: a row of a table is no number."""
_TOKENS = 4 * _LONGEST
"""A character is four tokens at most."""
_MARKER = re.compile(r"\[[\d\s,;]*\Z")
_LINE, _ITEM = re.compile(r"(?:^|\n)[ \t]*\Z"), re.compile(r"[.)]\s")
"""What stands before and behind the number of an item of a list."""
_JOINING = frozenset(("€", "$", "£", "¥", "of", "de", "di"))
"""Words between the parts of a day, or before a number."""


def can_be_asked_again(llm: LLM) -> bool:
    """Whether a model can be held to choices, and says how likely they are. It may ask a server what it can."""
    return not lacking(llm, ["choose"]) and "choices" in kept_forms(llm)


class Copies:
    """Puts right what a model did not copy. What is handed out, joined, does not depend on how the text was cut up.

    Nothing is held back before the first place that no passage has; from there on it is all, for a model that still
    writes may have no room to be asked. There it chooses again: of all numbers, or days, or numbers with units of the
    passages, or of names that are nearly what it wrote. It is taken unless what the model wrote is far likelier to it,
    as the result of a sum may be.

    Args:
        llm: the model that writes; None asks nothing and changes nothing.
        prompt: what it was asked.
        question: what may be copied from as well, and is not chosen from.
        passages: what is to be copied from.
    """

    def __init__(self, llm: LLM | None, prompt: Prompt, *, question: str, passages: Sequence[str]) -> None:
        self._llm = llm if passages else None
        self._prompt = [turn for turn in prompt if turn is not prompt[-1] or turn.role != "assistant"]
        self._question, self._passages = question, passages
        self._text, self._given = "", 0
        self._held = False
        self.mended = 0
        self.usage: Usage = NO_USAGE

    @cached_property
    def _known(self) -> Originals:
        return Originals([self._question, *self._passages])

    @cached_property
    def _choices(self) -> Originals:
        return Originals(self._passages)

    def add(self, piece: str) -> str:
        """What is settled after one more piece."""
        self._text += piece
        if self._llm is None:
            return self._hand_out(len(self._text))
        if self._held:
            return ""
        settled = _settled(self._text)
        missing = next(iter(self._missing(self._text[:settled])), None)
        self._held = missing is not None
        return self._hand_out(missing.start if missing else settled)

    def finish(self) -> str:
        """What was held back. The model has ended."""
        at = self._given
        for _ in range(_MOST if self._llm is not None else 0):
            copy = next((each for each in self._missing(self._text) if each.start >= at), None)
            if copy is None:
                break
            right = self._asked_again(copy)
            self.mended += right != copy.said
            self._text = self._text[: copy.start] + right + self._text[copy.start + len(copy.said) :]
            at = copy.start + len(right)
        return self._hand_out(len(self._text))

    def _missing(self, text: str) -> list[Copy]:
        found = self._known.missing(text)
        return [copy for copy in found if not _numbers_something(text, copy)]

    def _asked_again(self, copy: Copy) -> str:
        """What stands in the place of a copy: itself, or what a passage has."""
        choices = [each for each in self._choices.like(copy) if len(each) <= _LONGEST][:_MOST_CHOICES]
        before = self._text[: copy.start]
        begun = before.rstrip()
        blank = " " if begun != before and begun else ""
        prompt = [*self._prompt, Message(role="assistant", content=begun)] if begun else self._prompt
        try:
            return self._chosen(prompt, [blank + each for each in choices], blank + copy.said).removeprefix(blank)
        except StageError as error:  # the answer is there without it
            logger.warning("generate.cited: %r is in no passage, and was not asked for again: %s", copy.said, error)
            return copy.said

    def _chosen(self, prompt: Prompt, choices: Sequence[str], written: str) -> str:
        """What the model chooses, or what was written: where that is far likelier, or there is no room to ask."""
        llm = self._llm
        if llm is None or not choices or llm.count_tokens([prompt])[0] + _TOKENS > llm.context_window:
            return written
        best = choices[0]
        if len(choices) > 1:
            [completion] = llm.complete([prompt], SamplingParams(max_tokens=_TOKENS, choices=tuple(choices)))
            best, self.usage = completion.text, self.usage + usage_of(completion)
        [((own, other), usage)] = choose_each(cast(ChoosingLLM, llm), [prompt], [written, best])
        self.usage += usage
        return best if other > own - _WORTH else written

    def _hand_out(self, end: int) -> str:
        piece, self._given = self._text[self._given : end], max(self._given, end)
        return piece


def _numbers_something(text: str, copy: Copy) -> bool:
    """Whether it is the number of a passage, or of an item of a list."""
    before = text[: copy.start]
    item = _LINE.search(before) and _ITEM.match(text, copy.start + len(copy.said))
    return copy.kind == "number" and bool(item or _MARKER.search(before))


def _settled(text: str) -> int:
    """Up to where nothing changes whatever follows: a name may go on, and a number with what stands around it."""
    words = list(re.finditer(r"\S+", text))
    place = len(words)
    if words and (any(c.isdigit() or c.isupper() for c in words[-1][0]) or _belongs_to_what_follows(words, place - 1)):
        place -= 1
        while _belongs_to_what_follows(words, place):
            place -= 1
    return words[place].start() if place < len(words) else len(text)


def _belongs_to_what_follows(words: Sequence[re.Match[str]], place: int) -> bool:
    """Whether the word before a place may be of one number, day or measure with the word there."""
    if place < 1:
        return False
    word = words[place - 1][0]
    return word in _JOINING or is_month(word.rstrip(".")) or any(map(str.isdigit, word))
