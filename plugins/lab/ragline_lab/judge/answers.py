"""Answers to judge: the file of a run, and what may be taken as true about its questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from rag.errors import SpecError
from rag.evaluate import Dataset, RunFile
from rag.files import records
from rag.indexes import Index
from rag.writing import without_markers
from ragline_lab.judge.asking import Known

MOST_PASSAGES = 10
"""Passages that a judge is shown of what runs have read for a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer: its text without markers, and the doc_ids of what was read for it. `given`: false for a refusal or failure."""

    qid: str
    question: str
    text: str
    given: bool
    passages: tuple[str, ...] = ()


Answers = Mapping[str, Answered]
"""By qid, in the order of the file."""


def read_answers(place: str | Path) -> Answers:
    """The answers of a folder of `rag eval` or `rag batch`, or of a file of such lines.

    A line has `id`, `question` and `answer`, and where known `status` and `passages`.

    Raises:
        SpecError: there are none, or a line is none of an answer, or an id is there twice.
    """
    file = Path(place)
    if file.is_dir():
        file = file / RunFile.ANSWERS
        if not file.is_file():
            raise SpecError(
                f"'{place}' has no {RunFile.ANSWERS}: it is no run that wrote answers. Evaluate a graph that ends in answers"
            )
    answers: dict[str, Answered] = {}
    for number, line in records(file):
        qid, question, text = (line.get(name) for name in ("id", "question", "answer"))
        if not (isinstance(qid, str | int) and isinstance(question, str) and isinstance(text, str)):
            raise SpecError(f"{file}:{number}: no line of an answer: id, question and answer are wanted")
        if str(qid) in answers:
            raise SpecError(f"{file}:{number}: the id '{qid}' is there twice")
        passages = line.get("passages")
        answers[str(qid)] = Answered(
            qid=str(qid),
            question=question,
            text=without_markers(text).strip(),
            given=line.get("status", "answered") == "answered",
            passages=tuple(map(str, passages)) if isinstance(passages, list) else (),
        )
    if not answers:
        raise SpecError(f"{file} holds no answer")
    return answers


def asked_alike(run: Answers, other: Answers, *, names: tuple[str, str], common: bool) -> list[str]:
    """The qids that two runs share, in the order of the first.

    Args:
        common: take those that both have; otherwise other questions in one of them are an error.
    Raises:
        SpecError: they share none, one has others, or an id stands for two questions.
    """
    shared = [qid for qid in run if qid in other]
    if not shared:
        raise SpecError(
            f"'{names[0]}' and '{names[1]}' have no question in common: answers of different questions do not compare"
        )
    if not common and (alone := len(run.keys() ^ other.keys())):
        raise SpecError(
            f"'{names[0]}' and '{names[1]}' were not asked the same: {alone} questions are in one of them alone, {len(shared)} "
            "in both. --common judges those"
        )
    for qid in shared:
        if run[qid].question.split() != other[qid].question.split():
            raise SpecError(
                f"question '{qid}' is {run[qid].question[:80]!r} in '{names[0]}' and {other[qid].question[:80]!r} in "
                f"'{names[1]}': answers of different questions do not compare"
            )
    return shared


def by_references(dataset: Dataset, run: Answers) -> dict[str, Known]:
    """qid -> the reference answers of the questions that have some.

    Raises:
        SpecError: none has, or an id stands for another question there.
    """
    known: dict[str, Known] = {}
    for item in dataset.items():
        answered = run.get(item.qid)
        if answered is None or not (item.answerable and item.answers):
            continue
        if answered.question.split() != item.question.split():
            raise SpecError(
                f"question '{item.qid}' is {answered.question[:80]!r} in the run and {item.question[:80]!r} in data set "
                f"'{dataset.folder}': the run is of other questions"
            )
        known[item.qid] = Known(question=item.question, texts=item.answers)
    if not known:
        raise SpecError(
            f"data set '{dataset.folder}' has a reference answer for none of the {len(run):,} questions of the run"
        )
    return known


def by_passages(index: Index, runs: Sequence[Answers], qids: Iterable[str]) -> dict[str, Known]:
    """qid -> the first passages that the runs have read, those of each run in turn, ten at most.

    Raises:
        SpecError: a passage is not in the index.
    """
    known: dict[str, Known] = {}
    for qid in qids:
        turns = zip_longest(*(run[qid].passages for run in runs))
        doc_ids = list(dict.fromkeys(doc_id for turn in turns for doc_id in turn if doc_id is not None))[:MOST_PASSAGES]
        if doc_ids:
            texts = tuple(_text(index, doc_id, qid) for doc_id in doc_ids)
            known[qid] = Known(question=runs[0][qid].question, texts=texts)
    return known


def _text(index: Index, doc_id: str, qid: str) -> str:
    try:
        return index.documents[index.documents.row(doc_id)].full_text
    except KeyError:
        raise SpecError(
            f"question '{qid}': passage '{doc_id}' is not in index '{index.name}'; name the index that the run has searched"
        ) from None
