"""Words of a house: acronyms and their long forms, synonyms, and phrases that are not to be touched."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.files import parse_yaml
from rag.types import NO_USAGE, OK, Outcome, Query
from rag.writing import input_file, require_positive

MOST_TERMS = 20_000
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LONGEST = 200
"""Characters of a term."""
_ALSO_WORDS = frozenset(
    {
        *("it", "us", "who", "or", "is", "am", "are", "as", "at", "be", "in", "on", "no", "so", "to"),
        *("we", "an", "all", "aids", "can", "may", "he", "me", "my", "was", "will", "if", "of", "up", "do", "go", "by"),
    }
)
"""Words that a capital makes an acronym: IT, US, WHO."""


@dataclass(frozen=True)
class Glossary:
    """`alternatives`: term as a query is searched for it -> the other terms of its groups, in the order of the file.

    `exact`: acronyms that are words too, as they are written. `protected`: phrases within which nothing is replaced.
    """

    alternatives: Mapping[str, tuple[str, ...]]
    exact: frozenset[str]
    protected: frozenset[str]

    def found(self, text: str) -> list[tuple[int, int, tuple[str, ...]]]:
        """Start and end of each known term of a text, the longest at each place, and what else it is called."""
        spans, last = list[tuple[int, int, tuple[str, ...]]](), 0
        for token in _TOKEN.finditer(text):
            if token.start() < last:
                continue
            matches = (term.match(text, token.start()) for term in self._beginning.get(token[0].casefold(), ()))
            match = next(filter(None, matches), None)
            if match is None:
                continue
            said = " ".join(match[0].split())
            known = said.casefold()
            if known in self.exact and said != said.upper():
                continue
            last = match.end()
            if known in self.alternatives and known not in self.protected:
                spans.append((match.start(), match.end(), self.alternatives[known]))
        return spans

    @cached_property
    def _beginning(self) -> Mapping[str, list[re.Pattern[str]]]:
        """The first token of terms -> the terms as whole words, the longest first, whatever white space stands in them."""
        found: dict[str, list[re.Pattern[str]]] = {}
        for term in sorted({*self.protected, *self.alternatives}, key=lambda term: (-len(term), term)):
            words = r"\s+".join(map(re.escape, term.split()))
            first = _TOKEN.match(term)
            assert first is not None  # a term is no white space
            found.setdefault(first[0].casefold(), []).append(re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE))
        return found


class GlossaryReformulator:
    """A query, and the same with terms of a glossary said otherwise: "PTO policy", "paid time off policy".

    The file is YAML:

        terms:
          - [PTO, paid time off]
          - [sick note, Krankmeldung]
        protected: [IT Crowd]
        languages: {de: {terms: [[AU, Arbeitsunfähigkeitsbescheinigung]]}}

    Each list of `terms` names one thing; the query's own word is replaced by each other, one at a time, so words and vectors
    are searched for both. Terms are whole words in any letter case, longest first; an acronym that is a word too, such as IT,
    counts in capitals alone. Nothing is replaced within a protected phrase. A term may stand in several lists; what one leads
    to is not looked up again, so that lists that lead to one another end. A query without a term stays alone, outcome `empty`.

    Args:
        glossary: path of the file; read at the first call.
        n: other queries, at most.
        language: lists of this language count beside those of all; unset: those of every language.
    """

    def __init__(self, *, glossary: str, n: int = 3, language: str | None = None) -> None:
        require_positive("reformulate.glossary", n=n)
        self._path = input_file(glossary, what="glossary", by="reformulate.glossary")
        self.n, self.language = n, language
        self._glossary: Glossary | None = None
        self._lock = threading.Lock()

    def reformulate(self, queries: Sequence[Query]) -> list[Query]:
        """Each query as it came, then its others, under its qid.

        Raises:
            SpecError: the file is no glossary.
        """
        return [variant for query in queries for variant in self._family(query)]

    def _family(self, query: Query) -> list[Query]:
        texts = others(query.text, self._loaded())[: self.n]
        if not texts:
            detail = "the query has no term of the glossary"
            return [replace(query, outcome=Outcome(kind="empty", detail=detail), usage=NO_USAGE)]
        variants = [replace(query, text=text, original=query.asked, parts=(), terms={}) for text in texts]
        return [replace(each, outcome=OK, usage=NO_USAGE) for each in (query, *variants)]

    def _loaded(self) -> Glossary:
        with self._lock:
            if self._glossary is None:
                self._glossary = read_glossary(self._path, language=self.language)
            return self._glossary


def others(text: str, glossary: Glossary) -> list[str]:
    """The text with one of its terms said otherwise, in the order of the text and of the file."""
    made = [f"{text[:start]}{other}{text[end:]}" for start, end, terms in glossary.found(text) for other in terms]
    return [other for other in dict.fromkeys(made) if other != text]


def read_glossary(path: Path, *, language: str | None = None) -> Glossary:
    """What a file says.

    Raises:
        SpecError: it is of another form; says where.
    """
    try:
        said = parse_yaml(path.read_text(encoding="utf-8"), name=str(path)).data
    except (OSError, UnicodeDecodeError) as cause:
        raise SpecError(f"glossary '{path}' cannot be read: {cause}") from None
    said = _checked(said, path, {"terms", "protected", "languages"})
    languages = said.get("languages") or {}
    if not isinstance(languages, Mapping):
        raise SpecError(f"{path}: languages is a mapping of codes, such as {{de: {{terms: [[AU, Krankmeldung]]}}}}")
    parts = [
        said,
        *(_checked(part, path, {"terms", "protected"}) for code, part in languages.items() if language in (None, code)),
    ]
    groups = [group for part in parts for group in _lists(part.get("terms") or [], path)]
    protected = [_term(phrase, path) for part in parts for phrase in part.get("protected") or []]
    if sum(map(len, groups)) + len(protected) > MOST_TERMS:
        raise SpecError(f"{path}: more than {MOST_TERMS:,} terms")
    alternatives: dict[str, dict[str, None]] = {}
    for group in groups:
        for term in group:
            alternatives.setdefault(term.casefold(), {}).update(
                (other, None) for other in group if other.casefold() != term.casefold()
            )
    exact = {term.casefold() for group in groups for term in group if term.isupper() and term.lower() in _ALSO_WORDS}
    return Glossary(
        alternatives={term: tuple(known) for term, known in alternatives.items()},
        exact=frozenset(exact),
        protected=frozenset(phrase.casefold() for phrase in protected),
    )


def _checked(said: Any, path: Path, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise SpecError(f"{path}: a glossary is a mapping with {', '.join(sorted(known))}")
    if unknown := sorted(set(map(str, said)) - known):
        raise SpecError(f"{path}: unknown key {unknown[0][:80]!r}. Known: {', '.join(sorted(known))}")
    return said


def _lists(said: Any, path: Path) -> list[list[str]]:
    if not isinstance(said, list) or not all(isinstance(group, list) and len(group) > 1 for group in said):
        raise SpecError(f"{path}: terms is a list of lists, each of two terms or more that name one thing")
    return [[_term(term, path) for term in group] for group in said]


def _term(said: Any, path: Path) -> str:
    term = " ".join(said.split()) if isinstance(said, str) else ""
    if not 0 < len(term) <= _LONGEST:
        raise SpecError(f"{path}: a term is a text of 1 to {_LONGEST} characters, got {str(said)[:80]!r}")
    return term
