"""Sentences of pages that tell figures: `sentences.yaml` says which lines each is of, and a test holds the page to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from docs.figures import Figure, number, told
from rag.core.yaml_source import parse_yaml

ROOT = Path(__file__).parents[1]

_PLACE = re.compile(r"\{(\d+)(n?)\}")
_CODE = re.compile(r"^```.*?^```|`[^`]*`|\]\([^)]*\)|^\[[^\]]*\]:.*$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d,]*)?\.?\d+%?(?![\w]*-)")


class Sentence(BaseModel):
    """`says`: words of the page, with {0} where the first figure stands and {0n} where its number of questions does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str
    figures: tuple[Figure, ...]


class Page(BaseModel):
    """`other`: words of the page whose numbers are no measurement: a size, a version, a limit, an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    figures: tuple[Sentence, ...] = ()
    other: tuple[str, ...] = Field(default=())


def pages() -> Mapping[str, Page]:
    """Path from the root of the checkout -> what its numbers are."""
    said = parse_yaml((ROOT / "docs" / "sentences.yaml").read_text(encoding="utf-8"), name="sentences.yaml").data
    return {name: Page.model_validate(page) for name, page in said.items()}


def filled(sentence: Sentence) -> str:
    """The sentence with its figures, as lines have them.

    Raises:
        SpecError: a line or a key is missing.
    """
    found = [told(figure) for figure in sentence.figures]

    def of(place: re.Match[str]) -> str:
        at = int(place[1])
        return f"{found[at].n:,}" if place[2] else number(sentence.figures[at], found[at].value)

    return _PLACE.sub(of, sentence.says)


def amiss(text: str, page: Page) -> Iterator[str]:
    """What a page says otherwise than its lines, and numbers that stand in no sentence of which `sentences.yaml` knows."""
    text = _plain(_CODE.sub(" ", text))
    for sentence in page.figures:
        wanted = _plain(_CODE.sub(" ", filled(sentence)))
        if wanted not in text:
            yield f"the lines say '{wanted}', and the page does not"
        text = text.replace(wanted, " ")
    for words in page.other:
        known = _plain(_CODE.sub(" ", words))
        if known not in text:
            yield f"the page does not say '{known}'"
        text = text.replace(known, " ")
    for found in _NUMBER.finditer(text):
        yield f"no line is named for {found[0]} in '...{text[max(0, found.start() - 40) : found.end() + 20]}...'"


def _plain(text: str) -> str:
    return " ".join(text.split())
