"""Claims with their passage and what is true of them: of wice, and of ramdocs (see `benchmarks.verdicts`)."""

from __future__ import annotations

import gzip
import json
import random
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
    def tuning(self) -> bool:
        """Whether it is of the half that thresholds are chosen on."""
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
    """Up to three cases of each of `n` questions, or of all.

    supported: a right answer against the first document that is typed as giving it. contradicted: the first wrong answer
    against that document. unsupported: the right answer against the first document typed as noise. A case is left out
    where the document lacks the answer that it should hold, or holds one that it should not.
    """
    cases = []
    for row in _drawn("ramdocs/qa.jsonl.gz", n):
        documents = row["documents"]
        right = next((d for d in documents if d["type"] == "correct" and _holds(d, d["answer"])), None)
        if right is None:
            continue
        wrong = next((answer for answer in row["wrong_answers"] if not _holds(right, answer)), None)
        noise = next((d for d in documents if d["type"] == "noise" and not _holds(d, right["answer"])), None)
        cases.append(_case(row, "supported", right["answer"], right))
        if wrong is not None:
            cases.append(_case(row, "contradicted", wrong, right))
        if noise is not None:
            cases.append(_case(row, "unsupported", right["answer"], noise))
    return cases


def _case(row: dict[str, Any], gold: Gold, answer: str, document: dict[str, Any]) -> Case:
    passage = Document(doc_id=document["id"], text=document["text"])
    claim = Claim(question=row["question"], text=answer, passages=(passage,))
    return Case(set="ramdocs", group=row["id"], qid=f"{row['id']} {gold}", claim=claim, gold=gold)


def _holds(document: dict[str, Any], answer: str) -> bool:
    return answer.casefold() in document["text"].casefold()


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
