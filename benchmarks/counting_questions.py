"""Questions about many documents, from hand-written templates and values of documents that were drawn with a seed.

What is right comes from the metadata alone, by the plain meaning of a filter (`rag.core.filters.matches`). Of the form `text`
the field that decides is kept from the system: it has to be read out of the documents.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from benchmarks.make_samples import records
from rag.core.filters import matches, parse_where

SEED = 20264
A_TEMPLATE = 4
"""Questions of a template."""
FEWEST, MOST_LISTED = 2, 15
"""Documents of an answer that lists them, or that has to be read."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A set, and the fields that a plan over it may use."""

    name: str
    folder: str
    fields: tuple[str, ...]


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(name="openstax-medical", folder="openstax-medical", fields=("book", "chapter", "kind")),
        Corpus(name="versions", folder="versions", fields=("program", "version", "released")),
        Corpus(name="forecast", folder="forecast", fields=("date", "topics")),
        Corpus(name="forecast, topics hidden", folder="forecast", fields=("date",)),
    )
}


@dataclass(frozen=True, kw_only=True)
class Template:
    """`wordings` have slots of a document, which `where` fills too."""

    form: str
    corpus: str
    wordings: tuple[str, ...]
    operation: str
    where: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""

    @property
    def bounded(self) -> bool:
        """Whether there may be few documents only: they are cited one by one, or have to be read."""
        return self.form == "text" or self.operation in ("list", "earliest", "latest")


@dataclass(frozen=True, kw_only=True)
class Question:
    """`gold`: doc_ids of the documents that it is about; `visible`: those that the fields a plan may use let through, more where
    one is hidden. `values`: of a group, how many documents each value has; `ends`: of earliest and latest, the documents
    at that end."""

    qid: str
    form: str
    corpus: str
    text: str
    operation: str
    by: str
    gold: frozenset[str]
    visible: frozenset[str]
    values: Mapping[str, int]
    ends: frozenset[str]


_TEMPLATES = (
    Template(
        form="count",
        corpus="openstax-medical",
        wordings=("How many sections does the chapter {chapter} have?", "Number of sections in the chapter {chapter}?"),
        operation="count",
        where={"chapter": "{chapter}"},
    ),
    Template(
        form="count",
        corpus="versions",
        wordings=("How many pages are there about {program}?", "Count the pages of {program}."),
        operation="count",
        where={"program": "{program}"},
    ),
    Template(
        form="count",
        corpus="forecast",
        wordings=("How many news items are dated {date}?", "How much was reported on {date}, in items?"),
        operation="count",
        where={"date": "{date}"},
    ),
    Template(
        form="count of two",
        corpus="openstax-medical",
        wordings=(
            "How many sections of the kind {kind} are in the book {book}?",
            "In {book}, how many are of the kind {kind}?",
        ),
        operation="count",
        where={"kind": "{kind}", "book": "{book}"},
    ),
    Template(
        form="count of two",
        corpus="versions",
        wordings=("How many pages describe {program} in version {version}?", "Pages of {program} {version}: how many?"),
        operation="count",
        where={"program": "{program}", "version": "{version}"},
    ),
    Template(
        form="count of two",
        corpus="forecast",
        wordings=(
            "How many news items are from {date} to {later}, both included?",
            "From {date} through {later}, how many items?",
        ),
        operation="count",
        where={"date": {"gte": "{date}", "lte": "{later}"}},
    ),
    Template(
        form="list",
        corpus="openstax-medical",
        wordings=(
            "List all sections of the kind {kind} in the chapter {chapter}.",
            "Which {kind} sections has {chapter}?",
        ),
        operation="list",
        where={"kind": "{kind}", "chapter": "{chapter}"},
    ),
    Template(
        form="list",
        corpus="forecast",
        wordings=(
            "Which news items of {date} have the topic {topics}?",
            "Show every item of {date} on the topic {topics}.",
        ),
        operation="list",
        where={"date": "{date}", "topics": "{topics}"},
    ),
    Template(
        form="list",
        corpus="forecast",
        wordings=("List all news items that have the topic {topics}.", "Everything with the topic {topics}, please."),
        operation="list",
        where={"topics": "{topics}"},
    ),
    Template(
        form="first or last",
        corpus="forecast",
        wordings=(
            "What is the earliest news item on the topic {topics}?",
            "Which item was the first on the topic {topics}?",
        ),
        operation="earliest",
        where={"topics": "{topics}"},
        by="date",
    ),
    Template(
        form="first or last",
        corpus="forecast",
        wordings=("What is the latest news item on the topic {topics}?", "The most recent item on the topic {topics}?"),
        operation="latest",
        where={"topics": "{topics}"},
        by="date",
    ),
    Template(
        form="first or last",
        corpus="forecast",
        wordings=(
            "What was reported first on the topic {topics} after {date}?",
            "After {date}, the first item on {topics}?",
        ),
        operation="earliest",
        where={"topics": "{topics}", "date": {"gt": "{date}"}},
        by="date",
    ),
    Template(
        form="group",
        corpus="openstax-medical",
        wordings=(
            "How many sections of each kind does the chapter {chapter} have?",
            "Count the sections of {chapter} by kind.",
        ),
        operation="group",
        where={"chapter": "{chapter}"},
        by="kind",
    ),
    Template(
        form="group",
        corpus="openstax-medical",
        wordings=(
            "How many sections of the kind {kind} are in each book?",
            "Per book, the number of sections of the kind {kind}?",
        ),
        operation="group",
        where={"kind": "{kind}"},
        by="book",
    ),
    Template(
        form="group",
        corpus="versions",
        wordings=("How many pages does each version of {program} have?", "Number of pages of {program} per version?"),
        operation="group",
        where={"program": "{program}"},
        by="version",
    ),
    Template(
        form="text",
        corpus="forecast, topics hidden",
        wordings=("How many news items of {month} are about this: {topics}?", "{topics}: how many items in {month}?"),
        operation="count",
        where={"topics": "{topics}", "date": {"gte": "{first}", "lte": "{end}"}},
    ),
    Template(
        form="text",
        corpus="forecast, topics hidden",
        wordings=(
            "List all news items of {month} that are about this: {topics}.",
            "Which items of {month} report on {topics}?",
        ),
        operation="list",
        where={"topics": "{topics}", "date": {"gte": "{first}", "lte": "{end}"}},
    ),
    Template(
        form="text",
        corpus="forecast, topics hidden",
        wordings=(
            "Which item on {topics} was the first in {month}?",
            "The earliest news item of {month} about {topics}?",
        ),
        operation="earliest",
        where={"topics": "{topics}", "date": {"gte": "{first}", "lte": "{end}"}},
        by="date",
    ),
)
FORMS = tuple(dict.fromkeys(template.form for template in _TEMPLATES))


def questions() -> list[Question]:
    """All of them, in the order of their templates. The same every time."""
    documents = {folder: records(f"{folder}/corpus") for folder in {corpus.folder for corpus in CORPORA.values()}}
    made: list[Question] = []
    for number, template in enumerate(_TEMPLATES):
        made += _of(template, number, documents[CORPORA[template.corpus].folder])
    return made


def _of(template: Template, number: int, documents: Sequence[dict[str, Any]]) -> Iterator[Question]:
    """At most so many questions of a template, no two alike; of one whose slots have few values there are fewer."""
    random_ = random.Random(f"{SEED}:{number}")
    seen: set[str] = set()
    given = 0
    for document in random_.sample(list(documents), min(len(documents), 400)):
        slots = _slots(document, random_)
        where = _filled(template.where, slots)
        if where is None or str(where) in seen:
            continue
        seen.add(str(where))
        tree = parse_where(where)
        assert tree is not None  # no template is without a filter
        about = [each for each in documents if matches(tree, each)]
        if not about or (template.bounded and not FEWEST <= len(about) <= MOST_LISTED):
            continue
        given += 1
        wording = template.wordings[given % len(template.wordings)]
        yield Question(
            qid=f"{template.form.replace(' ', '-')}-{number}-{given}",
            form=template.form,
            corpus=template.corpus,
            text=wording.format(**slots),
            operation=template.operation,
            by=template.by,
            gold=frozenset(each["_id"] for each in about),
            visible=_visible(where, template, documents),
            values=Counter(str(each[template.by]) for each in about) if template.operation == "group" else {},
            ends=_ends(template, about),
        )
        if given == A_TEMPLATE:
            return


def _slots(document: Mapping[str, Any], random_: random.Random) -> dict[str, str]:
    """Values of a document that templates may have."""
    slots = {name: value for name, value in document.items() if isinstance(value, str)}
    topics = document.get("topics", [])
    if topics:
        slots["topics"] = random_.choice(topics)
    if day := slots.get("date"):
        start = date.fromisoformat(day)
        first = start.replace(day=1)
        end = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        slots |= {"later": (start + timedelta(days=6)).isoformat(), "month": f"{start:%B %Y}"}
        slots |= {"first": first.isoformat(), "end": end.isoformat()}
    return slots


def _filled(where: Any, slots: Mapping[str, str]) -> Any:
    """The filter with its slots filled; None where one has no value."""
    if isinstance(where, str):
        name = where[1:-1]
        return slots.get(name)
    filled = {key: _filled(value, slots) for key, value in where.items()}
    return None if None in filled.values() else filled


def _visible(where: Mapping[str, Any], template: Template, documents: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    known = {key: value for key, value in where.items() if key in CORPORA[template.corpus].fields}
    tree = parse_where(known)
    return frozenset(each["_id"] for each in documents if tree is None or matches(tree, each))


def _ends(template: Template, about: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    if template.operation not in ("earliest", "latest"):
        return frozenset()
    best = (min if template.operation == "earliest" else max)(each[template.by] for each in about)
    return frozenset(each["_id"] for each in about if each[template.by] == best)
