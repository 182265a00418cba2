"""Claims with their passage and what is true of them: of wice, and of ramdocs (see `benchmarks.verdicts`)."""

from __future__ import annotations

import gzip
import json
import random
import re
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.make_samples import data_folder
from rag.core.types import Document
from rag.stages.checks.claims import Claim
from rag.stages.cite import overlap

SEED = 20261
SENTENCES = 6
"""Sentences of an article that a claim of wice is held against: those that share most words with it."""

Gold = Literal["supported", "contradicted", "unsupported"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`group`: cases of one group are drawn, and put into a half, together."""

    set: str
    group: str
    qid: str
    claim: Claim
    gold: Gold

    @property
    def first(self) -> bool:
        """Whether it is of the first half."""
        return random.Random(f"{SEED}:half:{self.group}").random() < 0.5


def wice(n: int | None) -> list[Case]:
    """`n` claims, or all; supported in full, or not."""
    return [
        Case(
            set="wice",
            group=row["id"],
            qid=row["id"],
            claim=Claim(question="", text=row["claim"], passages=(_nearest(row),)),
            gold="supported" if row["label"] == "supported" else "unsupported",
        )
        for row in _drawn("wice/claims.jsonl.gz", n)
    ]


def ramdocs(n: int | None) -> list[Case]:
    """Up to three cases of each of `n` questions, or of all, that a sentence can be made of.

    supported: a right answer against the first document that is typed as giving it. contradicted: the first wrong answer
    against that document. unsupported: the right answer against the first document typed as noise.
    """
    cases = []
    for row in _drawn("ramdocs/qa.jsonl.gz", n):
        right = _first(row, "correct")
        if right is None or statement(row["question"], right["answer"]) is None:
            continue
        cases.append(_case(row, "supported", right["answer"], right))
        if wrong := [answer for answer in row["wrong_answers"] if answer not in row["answers"]]:
            cases.append(_case(row, "contradicted", wrong[0], right))
        if noise := _first(row, "noise"):
            cases.append(_case(row, "unsupported", right["answer"], noise))
    return cases


_FORMS = (
    (r"(?:What|Who) (is|was|are|were) (the .+)\?", "{1} {0} {answer}."),
    (r"Who (?!is|was|did)(\w+ .+)\?", "{answer} {0}."),
    (r"Where (is|was) (.+) (\w+)\?", "{1} {0} {2} in {answer}."),
    (
        r"When (is|was|were) (.+) (born|built|established|founded|released|constructed|opened|formed)\?",
        "{1} {0} {2} in {answer}.",
    ),
    (r"What sport (is|was) (.+) associated with\?", "{1} {0} associated with {answer}."),
    (r"What political party (is|was) (.+) (affiliated with|a member of)\?", "{1} {0} {2} the {answer} party."),
    (r"In (?:which|what) (\w+) (is|was) (.+) (located|born)\?", "{2} {1} {3} in the {0} {answer}."),
    (r"What does (.+) refer to\?", "{0} refers to {answer}."),
    (r"What is (.+)'s profession\?", "The profession of {0} is {answer}."),
)
"""Forms of questions that a sentence can be made of without grammar."""


def statement(question: str, answer: str) -> str | None:
    """A question and its answer in one sentence; None where no form fits.

    >>> statement("Where is Fort Buchanan located?", "Arizona")
    'Fort Buchanan is located in Arizona.'
    """
    for form, sentence in _FORMS:
        if found := re.fullmatch(form, question):
            said = sentence.format(*found.groups(), answer=answer)
            return said[0].upper() + said[1:]
    return None


def _first(row: dict[str, Any], type_: str) -> dict[str, Any] | None:
    return next((document for document in row["documents"] if document["type"] == type_), None)


def _case(row: dict[str, Any], gold: Gold, answer: str, document: dict[str, Any]) -> Case:
    passage = Document(doc_id=document["id"], text=document["text"])
    said = statement(row["question"], answer) or answer
    claim = Claim(question=row["question"], text=said, passages=(passage,))
    return Case(set="ramdocs", group=row["id"], qid=f"{row['id']} {gold}", claim=claim, gold=gold)


def _nearest(row: dict[str, Any]) -> Document:
    sentences = row["sentences"]
    best = sorted(range(len(sentences)), key=lambda place: -overlap(row["claim"], sentences[place]))[:SENTENCES]
    return Document(doc_id=row["id"], text="\n\n".join(sentences[place] for place in sorted(best)))


def _drawn(path: str, n: int | None) -> list[dict[str, Any]]:
    """Rows in an order that the seed fixes, so that a smaller number is the beginning of a larger one."""
    with gzip.open(data_folder() / path, "rt", encoding="utf-8") as lines:
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    random.Random(f"{SEED}:{path}").shuffle(rows)
    return rows[:n]
