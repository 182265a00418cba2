"""Ways to tell the language of a text: ours, and libraries beside it. A detector gives an ISO 639 code, or "" for none."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

Detector = Callable[[str], str]
SETS = {"xquad/de": "de", "xquad/en": "en", "xquad/zh": "zh", "poquad": "pl"}
LENGTHS = (200, 50)


def _ours() -> Detector:
    from rag.ingest.language import LanguageReader

    return LanguageReader().of


def _py3langid() -> Detector:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    return lambda text: str(model.classify(text)[0])


def _lingua() -> Detector:
    from lingua import LanguageDetectorBuilder

    model = LanguageDetectorBuilder.from_all_languages().build()

    def detect(text: str) -> str:
        language = model.detect_language_of(text)
        return language.iso_code_639_1.name.lower() if language else ""

    return detect


DETECTORS: Mapping[str, tuple[str, str, Callable[[], Detector]]] = {
    "ours": ("py3langid", "py3langid", _ours),
    "py3langid alone": ("py3langid", "py3langid", _py3langid),
    "lingua": ("lingua", "lingua-language-detector", _lingua),
}
"""Name -> module, what pip is asked for, and what makes it."""


def detected(data: Path) -> Iterator[dict[str, Any]]:
    """A line for every detector and length: the beginnings of all documents of four languages."""
    texts = [(language, text) for name, language in SETS.items() for text in _texts(data / name)]
    for label, (module, install, make) in DETECTORS.items():
        if find_spec(module) is None:
            print(f"no '{label}'; pip install {install}", file=sys.stderr)
            continue
        detect = make()
        for _, text in texts:  # what is loaded when a language first comes is no cost of the others
            detect(text[: LENGTHS[0]])
        for length in LENGTHS:
            begun = perf_counter()
            codes = [detect(text[:length]) for _, text in texts]
            seconds = perf_counter() - begun
            right = [language == code for (language, _), code in zip(texts, codes, strict=True)]
            yield {
                "detector": label,
                "characters": length,
                "texts": len(texts),
                "accuracy": sum(right) / len(texts),
                "wrong": sum(not good and code != "" for good, code in zip(right, codes, strict=True)),
                "not_told": codes.count(""),
                "by_language": {
                    language: sum(good for (theirs, _), good in zip(texts, right, strict=True) if theirs == language)
                    / sum(theirs == language for theirs, _ in texts)
                    for language in SETS.values()
                },
                "texts_a_second": len(texts) / seconds,
            }


def _texts(folder: Path) -> Iterator[str]:
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from (json.loads(line)["text"] for line in lines)
