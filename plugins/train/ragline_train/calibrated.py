"""An encoder whose vectors are calibrated by language: CCP's mean and variance, which bring languages to one place.

    python -m ragline_train.calibrated all-minilm-l6-v2 minilm-of-languages INDEX [INDEX ...]

reads the documents of indexes, and writes a folder that an index takes as `dense: {encoder: minilm-of-languages}`.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rag.errors import SpecError
from rag.files import file_sha256
from rag.indexes import SentenceEncoder, open_index, unit
from rag.types import Need
from ragline_train.around import AroundEncoder, require_new

SETTINGS = "calibrated.json"
LEAST_TEXTS = 50
"""Of a language: a variance of fewer says little."""
_SURE = 0.5
"""Probability below which a text is said to be in the likeliest of the folder's own languages."""
_READ = 1_000
"""Characters of a text that its language is told by."""

Vector = NDArray[np.float32]


class CalibratedEncoder(AroundEncoder):
    """An encoder's folder with one file more, `calibrated.json`: a mean and a standard deviation for each language.

    A vector is brought to mean 0 and variance 1 by the language that its text is in, and to length 1 again (the first two
    steps of the calibration of CCP: Wu et al., IJCAI 2022, arXiv 2206.03281; the third, a turn that is learnt, is not here).
    So what all texts of a language share, which says nothing of what they are about, is taken out. A text in a language that
    the folder does not know is calibrated by the mean of all that it knows.
    """

    reads: ClassVar[str] = f"an encoder's folder with {SETTINGS}"
    name, file = "calibrated", SETTINGS
    shape = '{"kind": "plain", "languages": {"de": {"mean": [...], "deviation": [...], "texts": 100}, ...}}'

    @classmethod
    def is_whole(cls, said: Mapping[str, Any]) -> bool:
        """Languages, one or more, each with as many numbers as the others."""
        return said.keys() == {"kind", "languages"} and _are_whole(said["languages"])

    def facts(self) -> Mapping[str, Any]:
        """What the encoder says of itself, but for where it is, and by what it is calibrated."""
        digest = file_sha256(self._folder / SETTINGS)
        return {"calibrated": self._of_the_other(), "by": digest, "dim": self.dim, "compute": self.compute}

    def batches(
        self, texts: Sequence[str], role: Literal["query", "document"]
    ) -> Iterator[tuple[NDArray[np.intp], Vector]]:
        vectors = self._encoder.encode(texts, role=role)
        yield np.arange(len(texts)), self._maps.applied(vectors, [self._languages.of(text) for text in texts])

    def memory(self) -> list[Need]:
        """That of the encoder, and of the table by which languages are told."""
        return [*super().memory(), Need(what="languages of texts", n_bytes=130_000_000)]

    @cached_property
    def _maps(self) -> Maps:
        maps = Maps(self.said(self._folder)["languages"])
        if maps.dim != self.dim:
            raise SpecError(
                f"'{self._folder / SETTINGS}' is of vectors of {maps.dim} numbers, and the encoder gives {self.dim}"
            )
        return maps

    @cached_property
    def _languages(self) -> Languages:
        return Languages(list(self._maps.languages))


class Maps:
    """Language -> mean and standard deviation, and those of all languages together for any other."""

    def __init__(self, said: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        self.languages = {language: place for place, language in enumerate(said)}
        means = np.array([each["mean"] for each in said.values()], dtype=np.float32)
        deviations = np.array([each["deviation"] for each in said.values()], dtype=np.float32)
        self._means = np.vstack([means, means.mean(axis=0)])
        self._deviations = np.vstack([deviations, deviations.mean(axis=0)])

    @property
    def dim(self) -> int:
        return int(self._means.shape[1])

    def applied(self, vectors: Vector, languages: Sequence[str | None]) -> Vector:
        """Vectors of length 1, [n, dim]: each calibrated by its language, by all together where that is None or not known."""
        rows = [self.languages.get(each or "", len(self.languages)) for each in languages]
        found: Vector = unit((vectors - self._means[rows]) / self._deviations[rows]).astype(np.float32)
        return found.reshape(len(rows), self.dim)


class Languages:
    """Tells which of some languages a text is in. Loads a table at the first text: a second, and 130 MB."""

    def __init__(self, among: Sequence[str]) -> None:
        self._among = frozenset(among)

    def of(self, text: str) -> str | None:
        """The ISO 639 code; None where the text is surely in another language, or has no letters.

        Where nothing is sure, as of a few words, it is the likeliest of these languages.
        """
        start = text[:_READ]
        if not any(map(str.isalpha, start)):
            return None
        ranked = self._identifier.rank(start)
        code, probability = ranked[0]
        if code in self._among:
            return str(code)
        if probability >= _SURE:
            return None
        return next((str(code) for code, _ in ranked if code in self._among), None)

    @cached_property
    def _identifier(self) -> Any:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def write_folder(encoder: str, out: Path, texts: Mapping[str, Sequence[str]]) -> None:
    """A copy of an encoder's folder that is calibrated by what it gives for texts of each language.

    Args:
        encoder: a packaged name, a folder, or a hub id.
        out: a folder that is not there yet.
        texts: ISO 639 code -> texts, as they are indexed; at least `LEAST_TEXTS` of each. Nothing has to be said twice:
            the languages' texts may be about different things.
    Raises:
        MissingModel: the encoder is not here and cannot be fetched.
        SpecError: `out` is there already; or a language has too few texts.
    """
    require_new(out)
    few = {language: len(set(each)) for language, each in texts.items() if len(set(each)) < LEAST_TEXTS}
    if few or not texts:
        said = ", ".join(f"{language}: {n}" for language, n in few.items()) or "none at all"
        raise SpecError(
            f"a language needs at least {LEAST_TEXTS} different texts to be calibrated by; there are {said}"
        )
    model = SentenceEncoder(model=encoder)
    languages = {language: _statistics(model, sorted(set(each))) for language, each in sorted(texts.items())}
    kind = CalibratedEncoder.copied(encoder, out)
    (out / SETTINGS).write_text(json.dumps({"kind": kind, "languages": languages}), encoding="utf-8")


def texts_by_language(indexes: Iterable[str]) -> dict[str, list[str]]:
    """Texts of indexes as they are indexed, by the language that their metadata says as `lang`; others are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in indexes:
        with open_index(name) as index:
            for document in index.documents:
                language = document.metadata.get("lang")
                if isinstance(language, str) and language:
                    found[language].append(document.index_text)
    return dict(found)


def _statistics(model: SentenceEncoder, texts: Sequence[str]) -> dict[str, Any]:
    vectors = model.encode(texts, role="document").astype(np.float64)
    deviations = vectors.std(axis=0)
    # A number that never changes tells nothing, and is not divided by nothing.
    deviations[deviations < 1e-6] = 1.0
    return {
        "mean": [round(each, 7) for each in vectors.mean(axis=0).tolist()],
        "deviation": [round(each, 7) for each in deviations.tolist()],
        "texts": len(texts),
    }


def _are_whole(languages: object) -> bool:
    if not isinstance(languages, dict) or not languages:
        return False
    lengths = set[int]()
    for each in languages.values():
        if not isinstance(each, dict) or each.keys() != {"mean", "deviation", "texts"}:
            return False
        for name in ("mean", "deviation"):
            if not isinstance(each[name], list) or not all(isinstance(n, float) for n in each[name]):
                return False
            lengths.add(len(each[name]))
        if not all(n > 0 for n in each["deviation"]):
            return False
    return len(lengths) == 1


def main(arguments: Sequence[str]) -> int:
    """Calibrate by the documents of indexes, in those languages that have enough of them, and write the folder."""
    encoder, out, *indexes = arguments
    texts = texts_by_language(indexes)
    enough = {language: each for language, each in texts.items() if len(set(each)) >= LEAST_TEXTS}
    write_folder(encoder, Path(out), enough)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("python -m ragline_train.calibrated ENCODER FOLDER INDEX [INDEX ...]")
    sys.exit(main(sys.argv[1:]))
