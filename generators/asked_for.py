"""What kind of value a question asks for, and whether a text has one: a telephone number, an address, a year, a price.

Only questions that name the kind are told, in the languages below; of all others nothing is asked. Numbers may be words, so
they are looked for where words for them are known. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.stages.markers import MARKER

_PHONE_WORDS = (
    r"\b(?:tele)?(?:phone|fax) number\b|\b(?:tele[fp]on|handy)nummer|\bnuméro de téléphone|\bnúmero de tel[eé]fono"
)
_YEAR_WORDS = (
    r"\b(?:in|since|by|from|until) (?:what|which) year\b|^(?:what|which) year\b|\b(?:in|seit) welche[mns] jahr\b"
)
_PRICE_WORDS = r"\b(?:how much|what) (?:does|do|did|would|will) .*\b(?:cost|pay)\b|\bhow much is the (?:price|fee)\b"
_NOT_PHONE = r"\d+[.,]\d+(?![\d ()/.-]*\d)|\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{4}"
_PHONE = rf"(?<![\w.,/-])(?!{_NOT_PHONE})\+?\(?\d(?:[ ()/.-]{{0,2}}\d){{6,14}}(?![\w/])"
_MAIL = r"[\w.+-]+@[\w-]+\.\w"
_YEAR = r"(?<![\d.,])(?:1\d{3}|20\d{2})(?!\d|[.,]\d)"
_COUNT = r"""(?x)
    \d|[一二两三四五六七八九十百千万]|(?:twen|thir|for|fif|six|seven|eigh|nine)ty\b|(?:teen|zehn|zig|naście|dziesiąt|dziesięciu)\b|\b(?:
    one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozens?|hundreds?|thousands?|millions?|half|double|once|twice
    |single|both|all|every|few|couple|majority|no|none|zero|nothing|free
    |ein\w*|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|zwanzig|hundert\w*|tausend\w*|million\w*|beide|alle|mehrheit
    |kein\w*|nichts|kostenlos|gratis|umsonst
    |jed\w+|dwa|dwie|dwóch|trzy|trzech|czter\w+|pięć|pięciu|sześć|siedem|osiem|dziewięć|dziesięć|dwadzieścia|nic|darmo|bezpłatn\w+)\b
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: its name, questions that ask for it, and what it looks like. `copied`: only a passage's will do."""

    name: str
    asked: str
    looks: str
    copied: bool = False


KINDS = (
    Kind("a telephone number", rf"{_PHONE_WORDS}|\bnumer\w* telefonu|电话号码|電話番号", _PHONE, copied=True),
    Kind("an e-mail address", r"\be-?mail[ -]?ad(?:d?ress|resse)|\badres\w* e-?mail|邮箱地址", _MAIL, copied=True),
    Kind("a year", rf"{_YEAR_WORDS}|\bw którym roku\b|哪一?年(?!代)", _YEAR, copied=True),
    Kind("a price", rf"{_PRICE_WORDS}|^was kostete?n?\b|\bwie ?viel kostete?n?\b|^ile kosztuj[eą]\b|多少钱", _COUNT),
    Kind("a number", r"^(?:\w+\W+){0,3}how many\b|\bwie ?viele\b|^il[eu]\b", _COUNT),
)


def asked_for(question: str) -> Kind | None:
    """The kind of value that a question asks for by its name; None where it names none.

    >>> asked_for("In which year was it bought?").name, asked_for("Who bought it?")
    ('a year', None)
    """
    return next((kind for kind in KINDS if re.search(kind.asked, question, re.IGNORECASE)), None)


def has_value(kind: Kind, answer: str, texts: Sequence[str]) -> bool:
    """Whether an answer has a value of a kind. Markers are none, nor is the number of an item.

    A telephone number, an address or a year must stand in the text of a passage: the name of a file says nothing of a thing.
    """
    said = re.sub(r"(?m)^\s*\d{1,2}[.)]\s", "", MARKER.sub(" ", answer))
    values = [found[0].strip() for found in re.finditer(kind.looks, said, re.IGNORECASE)]
    return any(not kind.copied or any(value in text for text in texts) for value in values)
