"""Which of the four types of BioASQ an English question is of, by its own words. No model is asked."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["yes_no", "factoid", "list", "summary"]

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_PREPOSITIONS = frozenset({"at", "by", "during", "for", "from", "in", "of", "on", "through", "to", "under", "with"})
_ONE = frozenset({"is", "was", "has", "does"})
_SEVERAL = frozenset({"are", "were", "have", "do"})
_EITHER = frozenset({"can", "could", "did", "had", "may", "might", "must", "shall", "should", "will", "would"})
_VERBS = _ONE | _SEVERAL | _EITHER
_COUNTS = frozenset({"many", "much", "often", "long", "old", "far", "large", "big", "tall", "high", "fast"})
_LISTS = frozenset({"list", "enumerate"})
_TELLS = frozenset({"describe", "explain", "discuss", "give", "outline", "summarise", "summarize"})
# fmt: off
_EXPLAINED = frozenset(
    {
        "action", "application", "approach", "association", "background", "basis", "biology", "concept",
        "connection", "definition", "difference", "effect", "function", "goal", "idea", "impact", "importance",
        "influence", "link", "mechanism", "pathogenesis", "principle", "process", "purpose", "rationale",
        "relation", "relationship", "relevance", "role", "significance", "usefulness", "utility",
    }
)
# fmt: on
"""What a "what is the ..." asks a few sentences for."""


def kind_of(question: str) -> Kind:
    """The type, by the word that asks and the first verb behind it; a summary where neither tells.

    "Is ..." wants yes or no, unless it offers a choice ("... or ..."). "Which genes are ..." wants a list and "which gene is
    ..." a fact. "What is X?" wants a few sentences, and so does what asks for a role, a mechanism or the like; "what is the
    dose of X?" wants a fact. Other languages, and what is no question, are a summary.
    """
    words = [word.casefold() for word in _WORD.findall(question)]
    if words and words[0] in _PREPOSITIONS and len(words) > 1 and words[1] in ("which", "what", "whom"):
        words = words[1:]
    if not words:
        return "summary"
    first, rest = words[0], words[1:]
    if first in _VERBS:
        return "factoid" if "or" in rest else "yes_no"
    if first in _LISTS:
        return "list"
    if first == "name":
        return "list" if any(word.endswith("s") or word.isdigit() for word in rest[:3]) else "factoid"
    if first in ("who", "whom", "whose", "when", "where"):
        return "factoid"
    if first == "how":
        return "factoid" if rest and rest[0] in _COUNTS else "summary"
    if first in ("which", "what"):
        return _by_verb(first, rest)
    asked_late = [place for place, word in enumerate(words[:-1]) if word in ("which", "what")]
    return "factoid" if asked_late and first not in _TELLS and first != "why" else "summary"


def _by_verb(first: str, rest: list[str]) -> Kind:
    """Of a question that begins with "which" or "what"."""
    at = next((place for place, word in enumerate(rest) if word in _VERBS), None)
    if at is None:
        return "factoid" if first == "which" else "summary"
    if rest[at] in _SEVERAL:
        return "list"
    if at > 0 and rest[at] in _EITHER and rest[at - 1].endswith("s"):
        return "list"
    if first == "which" or at > 0:
        return "factoid"
    if rest[1:2] == ["the"]:
        return "summary" if _EXPLAINED.intersection(rest[2:6]) else "factoid"
    return "summary"
