"""A label in the words of what it sounds or looks like, or by the name that its pictures go under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.indexes import unit
from rag.protocols import LLM
from rag.types import Message, SamplingParams
from rag.writing import in_one_line, parse_list

Vectors = NDArray[np.float32]

DESCRIPTIONS, SCENES = 5, 2
_TOKENS = 220
_LONGEST = 300
_RULES = "Reply with a JSON array of texts and nothing else."
_DESCRIBE = (
    "In how many ways can this be recognised by its {sense}? Write {n} short descriptions of it, each of other features, without"
    " its name.\n\n{label}"
)
_PLACE = (
    "Put this into {n} different scenes, one short text for each. Stay true to it, and do not say that it is seen or heard.\n\n"
    "{label}: {description}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """`texts`: in the order in which they were written. `failed`: replies that held none."""

    label: str
    texts: tuple[str, ...]
    failed: int


def described(
    llm: LLM,
    labels: Sequence[str],
    *,
    sense: str = "sound",
    descriptions: int = DESCRIPTIONS,
    scenes: int = SCENES,
    temperature: float = 0.7,
    seed: int = 0,
) -> list[Described]:
    """What a model says that labels are like, in two steps: descriptions, and each of them in scenes (ReCLAP: Ghosh et al., 2024).

    Two batches of calls for all labels together. Where a reply holds no list it is counted and left out; a label of which nothing
    came has no texts, and its bare name is left (`label_vector`).

    Args:
        llm: the model; prompts are our own.
        labels: names; underscores are blanks.
        sense: what they are recognised by, such as sound or look.
        descriptions: of a label.
        scenes: of a description; the paper has 10.
        temperature: of the writing.
        seed: of the writing.
    """
    params = SamplingParams(max_tokens=_TOKENS, temperature=temperature, seed=seed)
    names = [in_one_line(label.replace("_", " ")) for label in labels]
    asked = [_DESCRIBE.format(sense=sense, n=descriptions, label=name) for name in names]
    first = [texts[:descriptions] for texts in _written(llm, asked, params)]
    placed = [
        _PLACE.format(n=scenes, label=name, description=text)
        for name, texts in zip(names, first, strict=True)
        for text in texts
    ]
    second = iter(_written(llm, placed, params))
    made = []
    for label, texts in zip(labels, first, strict=True):
        own = [next(second)[:scenes] for _ in texts]
        failed = (not texts) + sum(not each for each in own)
        made.append(Described(label=label, texts=tuple(text for each in own for text in each), failed=failed))
    return made


def _written(llm: LLM, asked: Sequence[str], params: SamplingParams) -> list[list[str]]:
    """The texts of each reply; none where it holds no list."""
    if not asked:
        return []
    prompts = [(Message(role="system", content=_RULES), Message(role="user", content=text)) for text in asked]
    found = [parse_list(completion.text) or () for completion in llm.complete(prompts, params)]
    return [[in_one_line(text)[:_LONGEST] for text in texts if text.strip()] for texts in found]


def label_vector(encode: Callable[[Sequence[str]], Vectors], bare: str, texts: Sequence[str]) -> Vectors:
    """float32 [d], of length 1: the mean of the vectors of a label's texts and of the bare label, which counts as one of them."""
    made: Vectors = unit(np.asarray(encode([bare, *texts]).mean(axis=0, dtype=np.float64), np.float32)[None])[0]
    return made


LEAST = 5
"""Captions that a name needs before it takes the place of another one."""


def frequent_name(name: str, synonyms: Sequence[str], counts: Mapping[str, int], *, least: int = LEAST) -> str:
    """The name that most captions have, among a name and its synonyms (REAL: Parashar et al., CVPR 2024).

    A tower knows a thing by what it was called where it was seen. The name that was given stays where no other is more frequent,
    or none occurs often enough.

    >>> frequent_name("aubergine", ["eggplant"], {"aubergine": 3, "eggplant": 40})
    'eggplant'
    >>> frequent_name("aubergine", ["eggplant"], {"aubergine": 40, "eggplant": 40})
    'aubergine'
    """
    best = max(synonyms, key=lambda each: counts.get(each, 0), default=name)
    found = counts.get(best, 0)
    return best if found >= least and found > counts.get(name, 0) else name


def rare_names(counts: Mapping[str, int], *, share: float = 0.2) -> frozenset[str]:
    """The names with the lowest counts, a fifth of them by default: the tail that is told apart. Of equal counts the first in the
    alphabet."""
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    return frozenset(ordered[: round(share * len(ordered))])
