"""What a question names, against what a plan says: values that the plan leaves out, and values that it has from nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generators.tally_forms import forms, stems, words_of
from generators.tally_question import Known
from generators.tally_words import BETWEEN, FORMS, THINGS
from rag.core.filters import AllOf, Condition, Filter, conditions
from rag.core.filters.operators import Equal, Exists, OneOf
from rag.stages.checks.dates import is_month
from rag.stages.checks.exact import names_in
from retrievers.index.fields import Field

_LONGEST = 12
"""Words of a value that are looked for."""
_MOST_TOLD = 4
_CODE = 4
"""Letters of a value that may be a code, at most."""
_SAME = 4
"""Letters with which a word and an inflected or derived one begin alike, as sun and sunny do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A value that a question names. `said`: as the question has it; `phrase`: as the documents do; `fields`: field -> value."""

    said: str
    phrase: str
    fields: Mapping[str, Any]


def named_values(question: str, known: Known) -> list[Named]:
    """The values of documents that a question names, in the singular or the plural, in its order; in one place the longest.

    What documents and their fields are called is none, even where a value is called alike.
    """
    words, found, place = words_of(question), list[Named](), 0
    while place < len(words):
        n, value = next(_values_at(words, place, known), (1, None))
        found += [value] if value is not None else []
        place += n
    return found


def _values_at(words: list[str], first: int, known: Known) -> Iterator[tuple[int, Named]]:
    for n in range(min(_LONGEST, len(words) - first), 0, -1):
        said = " ".join(words[first : first + n])
        if said in known.names or said in known.things or said in BETWEEN or said in THINGS or said in FORMS:
            continue
        for phrase in stems(said):
            if phrase in known.values:
                yield n, Named(said=said, phrase=phrase, fields=known.values[phrase])


def other_forms(question: str, known: Known) -> str:
    """How documents write the values that a question names in another form, for whoever writes a filter; empty for none.

    Values come from documents, so only one that is made of a word of the question is told.
    """
    named = {each.phrase: each for each in named_values(question, known) if each.said != each.phrase}
    told = [f"{field} = '{value}'" for each in named.values() for field, value in each.fields.items()]
    return ", ".join(told[:_MOST_TOLD])


def left_out(question: str, told: str, known: Known) -> list[str]:
    """The names and the values of a question that a text says nothing of, in the singular or the plural; months are none."""
    said = {form for word in words_of(told) for form in forms(word)}
    names = [name for name in names_in(question) if not is_month(name) and said.isdisjoint(words_of(name))]
    named = {word for name in names for word in words_of(name)}
    values = [each for each in named_values(question, known) if not said.issuperset(words_of(each.phrase))]
    return names + [each.said for each in values if named.isdisjoint(words_of(each.said))]


def coded(where: Filter | None, question: str, fields: Mapping[str, Field]) -> list[str]:
    """The names of a question for which a filter has a code, as state = 'AK' for Alaska and 'NY' for New York: letters of the
    name in their order, from its first on, in capitals, where all values of the field are as short."""
    asked = [each for each in conditions(where) if isinstance(each.operator, Equal)] if where is not None else []
    codes = [_value(each) for each in asked if each.key in fields and all(map(_is_code, fields[each.key].values))]
    names = names_in(question)
    runs = [names[first : first + n] for n in range(1, _CODE + 1) for first in range(len(names) - n + 1)]
    return [name for run in runs if any(_is_of(code, run) for code in codes) for name in run]


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and value.isalpha() and value.isupper() and len(value) <= _CODE


def _is_of(code: str, names: Sequence[str]) -> bool:
    if len(names) > 1:
        return code == "".join(name[0] for name in names)
    letters = iter(names[0].upper())
    return names[0].upper().startswith(code[:1]) and all(letter in letters for letter in code)


def invented(where: Filter | None, question: str) -> str:
    """The first value of a filter of which the question says no word, in any form; empty for none.

    A value of several words, a day among them, is said where one of them is.
    """
    said = {form for word in words_of(question) for form in stems(word)}
    asked = (each for each in conditions(where) if not isinstance(each.operator, Exists)) if where is not None else ()
    for condition in asked:
        if said.isdisjoint(form for word in words_of(_value(condition)) for form in stems(word)):
            return _value(condition)
    return ""


def without_invented(where: Filter | None, question: str, *, of: tuple[type, ...] = (Equal, OneOf)) -> Filter | None:
    """A filter without the parts that ask for a word which the question does not say, nor one that begins like it.

    A model that is shown the values of a field puts one of them, or all, into its filter where nobody asked for it.

    Args:
        of: operators of the parts that may go.
    """
    parts = where.parts if isinstance(where, AllOf) else () if where is None else (where,)
    said = words_of(question)

    def is_asked(part: Filter) -> bool:
        value = invented(part, question) if isinstance(part, Condition) and isinstance(part.operator, of) else ""
        return not value or any(word.startswith(value.casefold()[:_SAME]) for word in said)

    kept = tuple(filter(is_asked, parts))
    return AllOf(kept) if len(kept) > 1 else kept[0] if kept else None


def misplaced(where: Filter | None, fields: Mapping[str, Field]) -> str:
    """The first value that a filter asks of a field that has it nowhere, while another field has it; empty for none."""
    for each in conditions(where) if where is not None else ():
        if isinstance(each.operator, Equal):
            value = each.operator.value
            having = {name for name, field in fields.items() if value in field.values}
            if having and each.key not in having:
                return str(value)
    return ""


def _value(condition: Condition) -> str:
    operator = condition.operator
    return " ".join(map(str, operator.value)) if isinstance(operator, OneOf) else str(operator.value)
