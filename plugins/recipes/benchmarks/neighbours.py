"""A corpus with misleading neighbours for checked persuasion: a page of facts, the same facts with others in their places, and
hundreds of passages beside them.

    page     pairs of sentences of the page of what persuaders say of the charity (`plugins/recipes/examples`)
    swapped  the same pairs with every number and place changed by rule, or told of another charity; drawn with a seed
    other    passages of medquad that speak of children, their first words

A swapped passage reads like the page and is wrong, as the page is all that is held to be true. Nothing is written by a model.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.make_samples import records
from rag.writing import first_words, sentences

PAGE = Path(__file__).parents[1] / "examples" / "save-the-children.md"
CORPUS = Path("runs/persuasion/corpus")
SEED, VARIANTS, OTHERS, OTHER_WORDS = 20270, 6, 450, 60
CHARITY = "Save the Children"
CHARITIES = ("World Vision", "Plan International", "Oxfam", "the Red Cross", "UNICEF", "Doctors Without Borders")
PLACES: Mapping[str, tuple[str, ...]] = {
    "London": ("Paris", "Oslo", "Vienna"),
    "the United States": ("Canada", "France", "Brazil"),
    "Syria": ("Angola", "Peru", "Nepal"),
    "Mexico": ("Guatemala", "Cuba", "Chile"),
    "Myanmar": ("Laos", "Vietnam", "Chad"),
    "Bangladesh": ("India", "Kenya", "Mali"),
    "Hawaii": ("Florida", "Jamaica", "Fiji"),
    "First World War": ("Second World War", "Korean War", "Crimean War"),
}
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_PLACE = re.compile("|".join(map(re.escape, PLACES)), re.IGNORECASE)


def page() -> list[tuple[str, str]]:
    """The passages of the page: heading and text, two sentences each. What stands before the first section is left out."""
    made = []
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        text = " ".join(body.split())
        said = [text[start:end].strip() for start, end in sentences(text)]
        made += [(heading.strip(), " ".join(said[at : at + 2])) for at in range(0, len(said), 2)]
    return made


def swapped(text: str, chance: random.Random) -> str | None:
    """The same with other numbers and other places; None where it has neither.

    A year stays a year, a share stays below 100, and a number keeps its form.
    """
    changed = _PLACE.sub(lambda found: chance.choice(_others(found[0])), text)
    changed = _NUMBER.sub(lambda found: _number(found[0], chance), changed)
    return None if changed == text else changed


def of_another(text: str, chance: random.Random) -> str | None:
    """The same told of another charity; None where it names none and does not begin with "It"."""
    other = chance.choice(CHARITIES)
    if CHARITY in text:
        return text.replace(CHARITY, other)
    return f"{other[0].upper()}{other[1:]}{text.removeprefix('It')}" if text.startswith("It ") else None


def _others(place: str) -> tuple[str, ...]:
    return next(others for name, others in PLACES.items() if name.casefold() == place.casefold())


def _number(said: str, chance: random.Random) -> str:
    value = float(said.replace(",", ""))
    if 1900 <= value <= 2030 and "," not in said:
        return str(int(value) + chance.choice((-31, -17, -9, 8, 12, 23)))
    if value <= 31 and "." not in said:  # it may be a day
        return str(chance.choice([each for each in range(2, 29) if abs(each - value) >= 3]))
    if value <= 100:
        other = chance.choice([each for each in range(2, 98) if abs(each - value) >= 3])
        return f"{other}.{chance.randrange(1, 9)}" if "." in said else str(other)
    return f"{int(value * chance.choice((0.3, 0.6, 1.7, 2.4))):,}"


def passages() -> list[dict[str, Any]]:
    """All passages as lines of a BEIR corpus, each with its `kind`. The same every time."""
    made = []
    for place, (heading, text) in enumerate(page()):
        made.append(_line(f"page-{place}", heading, text, "page"))
        known = {text}
        for variant in range(VARIANTS):
            chance = random.Random(f"{SEED}:{place}:{variant}")
            other = (of_another if variant % 3 == 2 else swapped)(text, chance)
            if other is not None and other not in known:
                known.add(other)
                made.append(_line(f"swapped-{place}-{variant}", heading, other, "swapped"))
    children = [each for each in records("medquad/corpus") if "child" in each["text"].casefold()]
    made += [
        _line(each["_id"], each["title"], first_words(each["text"], OTHER_WORDS), "other") for each in children[:OTHERS]
    ]
    return made


def corpus() -> Path:
    """The same as a BEIR folder."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(line) + "\n" for line in passages())
    (CORPUS / "corpus.jsonl").write_text(lines, encoding="utf-8")
    return CORPUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A sentence that has a number or a place, its passage, and the same sentence with others."""

    name: str
    passage: str
    right: str
    wrong: str


def pairs() -> Iterator[Pair]:
    """All such sentences of the page, then those of the passages beside it, in order. The same every time."""
    told = [(f"page-{place}", text) for place, (_, text) in enumerate(page())]
    told += [(line["_id"], line["text"]) for line in passages() if line["kind"] == "other"]
    for name, text in told:
        for number, (start, end) in enumerate(sentences(text)):
            said = text[start:end].strip()
            if said.endswith(".") and (wrong := swapped(said, random.Random(f"{SEED}:{name}:{number}"))):
                yield Pair(name=f"{name}:{number}", passage=text, right=said, wrong=wrong)


def _line(doc_id: str, title: str, text: str, kind: str) -> dict[str, Any]:
    return {"_id": doc_id, "title": title, "text": text, "kind": kind}
