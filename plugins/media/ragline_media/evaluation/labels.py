"""Which label fits, without a picture to learn it by: in one language or in many."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.indexes import unit

Vectors = NDArray[np.float32]


def label_vectors(
    encode: Callable[[Sequence[str]], Vectors], names: Sequence[str], templates: Sequence[str]
) -> Vectors:
    """float32 [names, d], of length 1: of each name the mean over templates, such as "a photo of a {}" (Radford et al., 2021).

    Raises:
        ValueError: no template, or one without a place for the name.
    """
    if not templates or any(template.count("{}") != 1 for template in templates):
        raise ValueError("label_vectors needs templates, each with one {} for the name")
    each = [encode([template.replace("{}", name) for name in names]) for template in templates]
    return unit(np.asarray(np.mean(each, axis=0, dtype=np.float64), dtype=np.float32))


def label_accuracy(media: Vectors, labels: Vectors, right: Sequence[int]) -> float:
    """The share of media whose nearest label is the right one; of equally near ones the first.

    Args:
        media: [n, d], of length 1.
        labels: [m, d], of length 1.
        right: [n], which label it is.
    """
    if not len(media) or len(media) != len(right):
        raise ValueError(f"label_accuracy: {len(media)} media and {len(right)} labels of them do not fit")
    return float(((media @ labels.T).argmax(axis=1) == np.asarray(right)).mean())


def read_label_languages(path: Path) -> Mapping[str, tuple[list[int], list[str]]]:
    """Babel-ImageNet's file: language -> places of classes among the thousand, and what they are called in it.

    Its labels are under terms that forbid to ship them or to learn from them: they are for measuring alone.

    Raises:
        SpecError: the file cannot be read, or has another layout.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        made = {
            str(language): ([int(each) for each in ids], list(map(str, names)))
            for language, (ids, names) in known.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as cause:
        raise SpecError(
            f"'{path}' is no file of labels by language: language to [places, names] ({cause!r})"
        ) from cause
    if uneven := [language for language, (ids, names) in made.items() if len(ids) != len(names)]:
        raise SpecError(f"'{path}': {', '.join(uneven)} has not as many names as places")
    return made
