"""How far words find pictures: COCO, OpenMoji, Noto, Tux, clip art and aerial tiles, by tags and fitted.

A projector is fitted on the train splits of four sets, and the dev splits are asked. Recall at 1 and 5 of captions, the middle
95% over groups of pictures drawn again. Emoji in twelve languages by multilingual-e5-small, with --languages.

    RAGLINE_EVAL_DATA=... python -m plugins.media.benchmarks.found_by_words [--languages] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record, record
from plugins.media.benchmarks.bed import SETS, Seen, Shown, Words, interval, ranks, recall, seen
from rag.indexes import unit
from ragline_media.tower.packaged import TOWER
from ragline_media.tower.space import Projector
from ragline_media.tower.tower import Tower

NAME = "pictures_by_words"
ENGLISH, MULTILINGUAL = "all-minilm-l6-v2", "multilingual-e5-small"
LANGUAGES = ("de", "fr", "es", "pl", "zh", "ar", "hi", "ru", "tr", "ja", "sw", "bn")
AERIAL_PENALTY = 0.3


def fitted(words: Words, sets: Mapping[str, Seen], *, language: str = "en") -> Projector:
    """A projector of the train pairs of these sets, emoji without skin tones."""
    features, texts = list[NDArray[np.float32]](), list[str]()
    for some in sets.values():
        read = words.inputs(some)
        for each in some.shown:
            if each.split == "train" and not each.toned:
                own = each.captions.get(language, ())
                features += [read[each.row]] * len(own)
                texts += own
    return Projector.fit(np.array(features), words.of(texts))


def asked(name: str, some: Seen) -> Iterator[tuple[str, list[Shown]]]:
    """What is searched together: the dev split; of emoji each drawing by itself, without skin tones."""
    dev = [each for each in some.shown if each.split == "dev" and not each.toned]
    styles = sorted({each.style for each in dev}) if name == "emoji" else [""]
    for style in styles:
        yield f"{name} {style}".strip(), [each for each in dev if each.style == style or name != "emoji"]


def rows(words: Words, sets: Mapping[str, Seen], *, language: str = "en") -> Iterator[dict[str, Any]]:
    """A line for each set and way."""
    projector = fitted(words, sets, language=language)
    for name, some in sets.items():
        by_way = {"tags": words.tags(some), "fitted": projector(words.inputs(some))}
        for called, dev in asked(name, some):
            for way, vectors in by_way.items():
                found = ranks(words, vectors[[each.row for each in dev]], dev, language)
                if found:
                    yield _line(called, way, language, dev, found)


def _line(name: str, way: str, language: str, dev: Sequence[Shown], found: Sequence[tuple[str, int]]) -> dict[str, Any]:
    said = {"set": name, "way": way, "language": language, "pictures": len(dev), "captions": len(found)}
    for k in (1, 5):
        said |= {f"recall@{k}": round(recall(found, k), 3), f"interval@{k}": [round(x, 3) for x in interval(found, k)]}
    return said


def aerial(words: Words, some: Seen) -> dict[str, Any]:
    """Scenes from above by the nearest name of seven, from pooled numbers alone."""
    train = [each for each in some.shown if each.split == "train"]
    dev = [each for each in some.shown if each.split == "dev"]
    names = sorted({each.captions["en"][0] for each in some.shown})
    pooled = unit(some.pooled)
    texts = words.of([each.captions["en"][0] for each in train])
    projector = Projector.fit(pooled[[each.row for each in train]], texts, penalty=AERIAL_PENALTY)
    scores = projector(pooled[[each.row for each in dev]]) @ words.of(names).T
    right = [names[int(best)] == each.captions["en"][0] for best, each in zip(scores.argmax(1), dev, strict=True)]
    return {
        "set": "aerial", "way": "fitted", "language": "en", "pictures": len(dev), "classes": len(names),
        "accuracy": round(float(np.mean(right)), 3),
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and, if asked, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", action="store_true", help="emoji in twelve languages too")
    parser.add_argument("--limit", type=int, help="pictures of each split, to try it")
    parser.add_argument("--record", action=Record, help="keep the results")
    given = parser.parse_args(argv)
    tower, words = Tower(TOWER), Words(ENGLISH)
    sets = {name: seen(name, tower, limit=given.limit) for name in SETS}
    lines = [*rows(words, sets), aerial(words, seen("aerial", tower, limit=given.limit))]
    if given.languages:
        several = Words(MULTILINGUAL)
        for language in LANGUAGES:
            lines += rows(several, {"emoji": sets["emoji"]}, language=language)
    for line in lines:
        print(line)
        if given.record:
            record(NAME, line)


if __name__ == "__main__":
    main()
