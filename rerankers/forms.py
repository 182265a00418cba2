"""Forms that hold a model, where it can be held, to an answer that a ranking can be read from.

A form allows the letters or numbers of the passages shown, as many as were asked for, and no prose. It cannot forbid
that a passage is named twice: an expression for all orders of twenty passages is longer than any engine takes. So an
answer of one letter needs no repair. In an answer of several, repeated passages are repaired, and so are missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.core.completions import complete_each
from rag.core.powers import kept_forms
from rag.core.protocols import LLM
from rag.core.types import Completion, Prompt, SamplingParams
from rerankers.labels import LABELS


def written(
    llm: LLM, prompts: Sequence[Prompt], forms: Sequence[SamplingParams], *, max_tokens: int
) -> list[Completion]:
    """One completion per prompt, greedily.

    Args:
        forms: each prompt's own. Those that share one go in a batch; all do if the model cannot be held to any.
    """
    kept = kept_forms(llm)
    held = [form if ("choices" if form.choices else "regex") in kept else SamplingParams() for form in forms]
    return complete_each(llm, prompts, [replace(form, max_tokens=max_tokens) for form in held])


def letters(prompt: Prompt, n: int, *, keep: int) -> SamplingParams:
    """The form of `keep` of the first `n` letters, as an answer to this prompt: one letter, or "Passage B, Passage D".

    >>> letters([], 4, keep=2).regex
    'Passage [A-D](, Passage [A-D]){1}'
    """
    if min(keep, n) == 1:
        blank = " " if _opening(prompt) else ""
        return SamplingParams(choices=tuple(blank + label for label in LABELS[:n]))
    return _list(prompt, "Passage ", f"[A-{LABELS[n - 1]}]", "", ", ", min(keep, n))


def numbers(prompt: Prompt, n: int, *, name: str, joint: str) -> SamplingParams:
    """The form of `n` numbers from 1 to `n`, each in its `name` and joined, as an answer to this prompt.

    >>> numbers([], 3, name="[{}]", joint=" > ").regex
    '\\\\[(1|2|3)\\\\]( > \\\\[(1|2|3)\\\\]){2}'
    """
    before, after = name.split("{}")
    number = "|".join(str(number) for number in range(1, n + 1))
    return _list(prompt, before, f"({number})", after, joint, n)


def _list(prompt: Prompt, before: str, item: str, after: str, joint: str, n: int) -> SamplingParams:
    """`n` times `item` between `before` and `after`. The prompt may have begun the answer up to the first item."""
    opening = _opening(prompt)
    item += _literal(after)
    whole = _literal(before) + item
    if opening.endswith(before.rstrip()) and opening:
        first = before[len(before.rstrip()) :] + item
    else:
        first = f" ?{whole}" if opening else whole
    more = f"({joint}{whole}){{{n - 1}}}" if n > 1 else ""
    return SamplingParams(regex=first + more)


def _opening(prompt: Prompt) -> str:
    return prompt[-1].content if prompt and prompt[-1].role == "assistant" else ""


def _literal(text: str) -> str:
    """Brackets are all that our names have of a regular expression's own characters."""
    return text.replace("[", r"\[").replace("]", r"\]")
