"""Question sets whose answers can be told right from wrong, half of them without an answer, for benchmarks of risk.

A question cannot be answered because its set says so (clapnq, poquad), or because the passage that it was asked about is
taken out of its reach (xquad, pubmedqa). Each set is written as a BEIR folder whose documents say which passage (`passage`)
or whose (`group`) they are, so that a filter can take one out. What is right is said by `right`.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.make_samples import data_folder
from rag.evaluate import Item, words_of
from rag.evaluate.right import Right, contains, f1
from rag.types import Answer, Query

SEED = 20261
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, what may be said of it, and the query with its filter."""

    item: Item
    query: Query


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSet:
    """`language`: of the documents. `passages`: how many the model reads. `right`: what makes an answer right."""

    name: str
    language: str
    passages: int
    asked: tuple[Asked, ...]
    documents: tuple[dict[str, Any], ...]
    right: Right

    def is_right(self, answer: Answer, item: Item) -> bool:
        """Whether an answer was given and is right."""
        return answer.status == "answered" and self.right(answer, item, self.language)

    def write(self, folder: Path) -> Path:
        """The corpus as a BEIR folder; the questions stay here."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(document, ensure_ascii=False) for document in self.documents]
        (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder


def contains_alone(answer: Answer, item: Item, language: str) -> bool:
    """As `contains`, and none of the wrong answers that some documents give."""
    wrong = replace(item, answers=tuple(item.more.get("wrong_answers", ())))
    return contains(answer, item, language) and not contains(answer, wrong, language)


def verdict(answer: Answer, item: Item, language: str) -> bool:
    """The question can be answered, and the first of yes, no and maybe in the answer is the reference's."""
    said = [word for word in _WORD.findall(words_of(answer).lower()) if word in ("yes", "no", "maybe")]
    return item.answerable and said[:1] == [item.answers[0]]


def xquad(n: int) -> RiskSet:
    """English; of every second question the passage it was asked about is out of reach."""
    items = [_item(record) for record in _drawn("xquad/en", n)]
    asked = [_without(item) if place % 2 else Asked(item=item, query=item.query) for place, item in enumerate(items)]
    return _set("xquad", asked, _passages("xquad/en"), contains)


def clapnq(n: int) -> RiskSet:
    """Half of the questions have no answer in the passage they were asked about."""
    half = {True: n - n // 2, False: n // 2}
    chosen = [[r for r in _records("clapnq") if r["answerable"] is kind] for kind in (True, False)]
    pairs = [
        _shuffled(records, f"clapnq:{kind}")[: half[kind]] for kind, records in zip((True, False), chosen, strict=True)
    ]
    items = [_item(record) for pair in _alternate(*pairs) for record in pair]
    return _set("clapnq", [Asked(item=i, query=i.query) for i in items], _passages("clapnq"), f1)


def poquad(n: int) -> RiskSet:
    """Polish; half of the questions have no answer."""
    kinds = [[r for r in _records("poquad") if r["answerable"] is kind] for kind in (True, False)]
    pairs = [_shuffled(records, f"poquad:{kind}")[: n // 2] for kind, records in zip((True, False), kinds, strict=True)]
    items = [_item(record) for pair in _alternate(*pairs) for record in pair]
    asked = [Asked(item=i, query=i.query) for i in items]
    return _set("poquad", asked, _passages("poquad"), contains, language="pl")


def ramdocs(n: int) -> RiskSet:
    """Each question has documents of its own; some of them mislead."""
    records = list(_records("ramdocs"))
    items = [_item(record) for record in _shuffled(records, "ramdocs")[:n]]
    asked = [Asked(item=item, query=replace(item.query, where={"group": item.qid})) for item in items]
    documents = [
        {"_id": one["id"], "title": "", "text": one["text"], "group": record["id"]}
        for record in records
        for one in record["documents"]
    ]
    return _set("ramdocs", asked, documents, contains_alone)


def pubmedqa(n: int) -> RiskSet:
    """Yes, no or maybe from an abstract; of every second question it is out of reach."""
    items = [replace(_item(record), supporting=(record["id"],)) for record in _drawn("pubmedqa", n)]
    asked = [_without(item) if place % 2 else Asked(item=item, query=item.query) for place, item in enumerate(items)]
    return _set("pubmedqa", asked, _passages("pubmedqa"), verdict, passages=1)


SETS = {"xquad": xquad, "clapnq": clapnq, "poquad": poquad, "ramdocs": ramdocs, "pubmedqa": pubmedqa}
"""Name -> the first n questions of a fixed random order; more of them begin with the same."""


def _set(
    name: str,
    asked: list[Asked],
    documents: list[dict[str, Any]],
    right: Right,
    *,
    language: str = "en",
    passages: int = 2,
) -> RiskSet:
    return RiskSet(
        name=name,
        language=language,
        passages=passages,
        asked=tuple(asked),
        documents=tuple(documents),
        right=right,
    )


def _without(item: Item) -> Asked:
    """The question with the passages that it was asked about out of reach: it then has no answer."""
    where = {"not": {"passage": list(item.supporting)}}
    return Asked(item=replace(item, answerable=False), query=replace(item.query, where=where))


def _item(record: dict[str, Any]) -> Item:
    known = ("id", "question", "answers", "answerable", "context_ids")
    return Item(
        qid=str(record["id"]),
        question=record["question"],
        answers=tuple(record["answers"]),
        answerable=bool(record.get("answerable", True)),
        supporting=tuple(record.get("context_ids", ())),
        more={key: value for key, value in record.items() if key not in known},
    )


def _drawn(name: str, n: int) -> list[dict[str, Any]]:
    return _shuffled(list(_records(name)), name)[:n]


def _shuffled(records: list[dict[str, Any]], seed: str) -> list[dict[str, Any]]:
    random.Random(f"{SEED}:{seed}").shuffle(records)
    return records


def _alternate(*lists: list[Any]) -> Iterator[tuple[Any, ...]]:
    for place in range(max(map(len, lists))):
        yield tuple(one[place] for one in lists if place < len(one))


def _passages(name: str) -> list[dict[str, Any]]:
    return [
        {"_id": one["_id"], "title": one.get("title") or "", "text": one["text"], "passage": one["_id"]}
        for one in _lines(data_folder() / name / "corpus.jsonl.gz")
    ]


def _records(name: str) -> Iterator[dict[str, Any]]:
    return _lines(data_folder() / name / "qa.jsonl.gz")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
