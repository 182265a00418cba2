"""A file of questions whose documents have kinds: right, misleading, or noise. One JSON object a line, plain or gzipped.

    {"id": "7", "question": "...", "answers": ["..."], "wrong_answers": ["..."],
     "documents": [{"kind": "right", "text": "...", "title": "..."}, ...]}

`id`, `wrong_answers`, `documents` and `title` may be left out. The words of ramdocs for the same are read too: a field `type`
with correct, misinfo and noise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

from rag.errors import SpecError, did_you_mean
from rag.evaluate import holds, words_of
from rag.files import data_sha256, records, text_sha256, write_pieces_atomically
from rag.types import Answer, Query

Kind = Literal["right", "misleading", "noise"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_AS_RAMDOCS: Mapping[str, Kind] = {"correct": "right", "misinfo": "misleading"}

QUESTION, KIND = "question", "kind"
"""Metadata of every document, by which a question is given its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question without the texts of its documents. `documents`: how many there are of a kind.

    `wrong`: planted answers, none of which is right. `digest`: of all that its line says.
    """

    qid: str
    text: str
    answers: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    documents: Mapping[Kind, int] = field(default_factory=dict, hash=False)
    digest: str = ""

    def has(self, kind: Kind) -> bool:
        return self.documents.get(kind, 0) > 0


def load_questions(path: Path) -> list[Question]:
    """All questions, in the order of their ids' hashes, so that any beginning of the list is a sample.

    Raises:
        SpecError: a line is wrong, with file and line; or there is none.
    """
    questions = [question for question, _ in _read(path)]
    if not questions:
        raise SpecError(f"{path} has no question; a JSON object a line is wanted, with question, answers and documents")
    return sorted(questions, key=lambda question: (text_sha256(question.qid), question.qid))


def write_documents(path: Path, folder: Path) -> Path | None:
    """Write the documents of all questions as a corpus that can be indexed; the file. None where there are none.

    Raises:
        SpecError: as `load_questions`.
    """
    lines = _corpus(path)
    first = next(lines, None)
    if first is None:
        return None
    file = folder / "corpus.jsonl"
    write_pieces_atomically(file, chain([first], lines))
    return file


def _corpus(path: Path) -> Iterator[str]:
    for number, (question, documents) in enumerate(_read(path), start=1):
        for place, document in enumerate(documents, start=1):
            about = {QUESTION: question.qid, KIND: _kind(document)}
            words = {"title": document.get("title", ""), "text": document["text"]}
            yield json.dumps({"_id": f"{number}-{place}", **words, **about}) + "\n"


def _read(path: Path) -> Iterator[tuple[Question, list[dict[str, Any]]]]:
    seen: set[str] = set()
    for number, record in records(path):
        place = f"{path}:{number}"
        qid = str(record.get("id", number))
        if qid in seen:
            raise SpecError(f"{place}: the id '{qid}' is there twice; give every question one of its own")
        seen.add(qid)
        text = record.get("question")
        if not isinstance(text, str) or not text.strip():
            raise SpecError(f"{place}: a question is wanted, as text under 'question'")
        answers = _texts(record, "answers", place)
        if not answers:
            raise SpecError(f"{place}: 'answers' names no right answer, so nothing could be told of any answer")
        documents = _documents(record.get("documents") or [], place)
        question = Question(
            qid=qid,
            text=text,
            answers=answers,
            wrong=tuple(wrong for wrong in _texts(record, "wrong_answers", place) if wrong not in answers),
            documents=Counter(_kind(document) for document in documents),
            digest=data_sha256(record),
        )
        yield question, documents


def _texts(record: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    """A list of texts, each once; a bare text is one of them."""
    value = record.get(name) or []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) and each.strip() for each in texts):
        raise SpecError(f"{place}: '{name}' must be a list of texts, got {value!r:.80}")
    return tuple(dict.fromkeys(texts))


def _documents(value: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise SpecError(f"{place}: 'documents' must be a list of objects with kind and text, got {value!r:.80}")
    for number, document in enumerate(value, start=1):
        where = f"{place}: document {number}"
        if not isinstance(document, dict):
            raise SpecError(f"{where}: an object with kind and text is wanted, got {document!r:.80}")
        if not isinstance(document.get("text"), str) or not document["text"].strip():
            raise SpecError(f"{where} has no text")
        if not isinstance(document.get("title", ""), str):
            raise SpecError(f"{where}: its title must be text, got {document['title']!r:.80}")
        said = document.get("kind", document.get("type"))
        if not isinstance(said, str) or (said not in KINDS and said not in _AS_RAMDOCS):
            raise SpecError(f"{where} is of the kind {said!r:.80}. {did_you_mean(str(said)[:80], KINDS)}")
    return value


def _kind(document: Mapping[str, Any]) -> Kind:
    said = document.get("kind", document.get("type"))
    return _AS_RAMDOCS.get(said, said)


Verdict = Literal["right", "misled", "other", "refused", "failed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def verdict_of(answer: Answer, question: Question, *, language: str = "en") -> Verdict:
    """`misled`: a planted answer stands in it, whatever else does. `right`: a right one does, and no planted one.

    `refused`: the writer declined, `failed`: it wrote no word, or the question failed on its way. All else is `other`. Words
    are compared as `exact_match` does.
    """
    if answer.status != "answered":
        return "refused" if answer.status == "no_answer" else "failed"
    words = words_of(answer)
    if any(holds(words, wrong, language=language) for wrong in question.wrong):
        return "misled"
    return "right" if any(holds(words, right, language=language) for right in question.answers) else "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextKind:
    """Documents of the kinds that it `gives`, to questions that have one of each kind that it `needs`."""

    gives: tuple[Kind, ...]
    needs: tuple[Kind, ...]
    words: str

    def is_of(self, question: Question) -> bool:
        return all(map(question.has, self.needs))

    def given(self, question: Question) -> int:
        return sum(question.documents.get(kind, 0) for kind in self.gives)

    def query(self, question: Question) -> Query:
        """The question, which sees these documents and no others."""
        where: dict[str, Any] | None = {QUESTION: question.qid, KIND: list(self.gives)} if self.gives else None
        return Query(qid=question.qid, text=question.text, where=where)


ZERO = "zero"
CONTEXTS: Mapping[str, ContextKind] = {
    ZERO: ContextKind(gives=(), needs=(), words="no documents: what the model knows"),
    "right": ContextKind(gives=("right",), needs=("right",), words="the right documents alone"),
    "misleading": ContextKind(gives=("misleading",), needs=("misleading",), words="the misleading documents alone"),
    "irrelevant": ContextKind(gives=("noise",), needs=("noise",), words="documents that say nothing of it"),
    "mixed": ContextKind(
        gives=KINDS, needs=("right", "misleading"), words="all documents, right and misleading among them"
    ),
}
"""By name, in the order of the report."""
