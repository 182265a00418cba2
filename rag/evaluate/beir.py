"""Evaluation sets in the layout of BEIR, plain or gzipped. Their `_id` ends here.

    corpus.jsonl    _id, title, text, and fields of its own, which become metadata
    queries.jsonl   _id, text
    qrels/SPLIT.tsv a header line, then query-id, corpus-id, score
    qa.jsonl        id, question, answers, and optionally answerable and supporting_ids or context_ids

Any of them may be absent; asking for an absent part says so.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError
from rag.core.lines import numbered, opened, records
from rag.core.trec import Qrels, add_judgement
from rag.core.types import Document, Query, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A question with its reference answers. `supporting`: doc_ids that hold the answer."""

    qid: str
    question: str
    answers: tuple[str, ...] = ()
    answerable: bool = True
    supporting: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def query(self) -> Query:
        """The question, with its metadata filter where its line has one under `where`."""
        return Query(qid=self.qid, text=self.question, where=self.more.get("where"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of evaluation data. Queries are in memory; all else is read when asked for.

    `queries` come from queries.jsonl, or from qa.jsonl where there is none. `corpus`: what to index. `within`: the field that a
    query shares with the documents it searches.
    """

    name: str
    folder: Path
    corpus: tuple[Path, ...] = ()
    queries: tuple[Query, ...] = ()
    splits: Mapping[str, Path] = field(default_factory=dict, hash=False)
    qa: Path | None = None
    within: str | None = None

    def documents(self) -> Iterator[Document]:
        """The corpus in file order.

        Raises:
            SpecError: there is no corpus, or a line is malformed, has no `_id` or repeats one.
        """
        if not self.corpus:
            raise SpecError(f"data set '{self.folder}' has no corpus.jsonl or corpus.jsonl.gz")
        seen: set[str] = set()
        for path in self.corpus:
            for number, record in records(path):
                doc_id = _id(record, seen, place=f"{path}:{number}")
                yield Document(
                    doc_id=doc_id,
                    title=str(record.pop("title", None) or ""),
                    text=str(record.pop("text", None) or ""),
                    metadata=record,
                )

    def qrels(self, split: str = "test") -> Qrels:
        """qid -> doc_id -> grade.

        Raises:
            SpecError: no such split (the message lists those there are), or a line is malformed.
        """
        if split not in self.splits:
            known = ", ".join(sorted(self.splits)) or "none"
            raise SpecError(f"data set '{self.folder}' has no split '{split}'. There is: {known}")
        return _read_qrels(self.splits[split])

    def queries_of(self, qrels: Mapping[str, Mapping[str, int]]) -> list[Query]:
        """The queries with a positive judgement, in file order: those that count.

        Raises:
            SpecError: a judged query has no text.
        """
        positive = {qid for qid, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
        if lost := positive - {query.qid for query in self.queries}:
            raise SpecError(f"data set '{self.folder}': {len(lost)} judged queries have no text, first '{min(lost)}'")
        return [query for query in self.queries if query.qid in positive]

    def items(self) -> Iterator[Item]:
        """Questions with reference answers, in file order.

        Raises:
            SpecError: there is no qa.jsonl, or a line is malformed, has no `id` or repeats one.
        """
        if self.qa is None:
            raise SpecError(f"data set '{self.folder}' has no qa.jsonl or qa.jsonl.gz")
        return read_items(self.qa)

    def fingerprint(self, splits: Iterable[str]) -> dict[str, str]:
        """Part -> sha256 of its content, unpacked: corpus, queries, answers, and the judgements of each split that there is.

        So a file that is packed again is the same, and one that holds a word more is not.

        Raises:
            SpecError: a file cannot be read.
        """
        judged = {f"judgements of {split}": self.splits[split] for split in splits if split in self.splits}
        queries = plain_or_packed(self.folder / "queries.jsonl")
        parts = {
            "corpus": self.corpus,
            "queries": [queries] if queries else [],
            "answers": [self.qa] if self.qa else [],
            **{name: [path] for name, path in judged.items()},
        }
        return {name: _content_sha256(paths) for name, paths in parts.items() if paths}


def load_beir(folder: str | Path, *, within: str | None = None) -> Dataset:
    """Look at a folder in BEIR layout and read its queries.

    Args:
        within: a field of corpus and queries; each query then searches only documents that share its value.
    Raises:
        SpecError: nothing of the layout is there, or a query is malformed.
    """
    folder = Path(folder)
    corpus = plain_or_packed(folder / "corpus.jsonl")
    queries = plain_or_packed(folder / "queries.jsonl")
    qa = plain_or_packed(folder / "qa.jsonl")
    splits = {
        path.name.removesuffix(".gz").removesuffix(".tsv"): path
        for path in sorted((folder / "qrels").glob("*"))
        if path.name.endswith((".tsv", ".tsv.gz"))
    }
    if not (corpus or queries or qa):
        what = "has no corpus.jsonl, queries.jsonl or qa.jsonl" if folder.is_dir() else "is not a folder"
        raise SpecError(f"'{folder}' {what}; a data set in the layout of BEIR is wanted")
    read = _queries(queries, within) if queries else [item.query for item in read_items(qa)] if qa else []
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        corpus=(corpus,) if corpus else (),
        queries=tuple(read),
        splits=splits,
        qa=qa,
        within=within,
    )


def plain_or_packed(path: Path) -> Path | None:
    """The plain file, else the gzipped one, else None."""
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)


def _queries(path: Path, within: str | None) -> Iterator[Query]:
    seen: set[str] = set()
    for number, record in records(path):
        place = f"{path}:{number}"
        qid = _id(record, seen, place=place)
        if not isinstance(text := record.get("text"), str):
            raise SpecError(f"{place}: query '{qid}' has no text")
        where: Where | None = None
        if within is not None:
            if within not in record:
                raise SpecError(f"{place}: query '{qid}' has no field '{within}'")
            where = {within: record[within]}
        yield Query(qid=qid, text=text, where=where)


def read_items(path: Path) -> Iterator[Item]:
    """The lines of a qa.jsonl, in order.

    Raises:
        SpecError: a line is malformed, has no `id` or no question, or repeats an id.
    """
    seen: set[str] = set()
    for number, record in records(path):
        place = f"{path}:{number}"
        qid = _id(record, seen, place=place)
        question = record.pop("question", None)
        if not isinstance(question, str):
            raise SpecError(f"{place}: item '{qid}' has no question")
        supporting = record.pop("supporting_ids", None) or record.pop("context_ids", None)
        yield Item(
            qid=qid,
            question=question,
            answers=_strings(record.pop("answers", None)),
            answerable=bool(record.pop("answerable", True)),
            supporting=_strings(supporting),
            more=record,
        )


def _strings(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)


def _id(record: dict[str, Any], seen: set[str], *, place: str) -> str:
    """Take the record's id out of it; ids are strings whatever the file says."""
    id_ = record.pop("_id", None)
    if id_ is None:
        id_ = record.pop("id", None)
    if id_ is None or str(id_) == "":
        raise SpecError(f"{place}: no _id")
    if str(id_) in seen:
        raise SpecError(f"{place}: id '{id_}' is there twice")
    seen.add(str(id_))
    return str(id_)


def _read_qrels(path: Path) -> Qrels:
    qrels: Qrels = {}
    for number, line in numbered(path):
        cells = line.split("\t")
        if len(cells) != 3:
            raise SpecError(
                f"{path}:{number}: 3 columns between tabs are wanted (query-id corpus-id score), this line"
                f" has {len(cells)}"
            )
        if number == 1 and not cells[2].strip().lstrip("+-").replace(".", "", 1).isdigit():
            continue  # the header
        add_judgement(qrels, cells[0], cells[1], cells[2].strip(), place=f"{path}:{number}")
    return qrels


def _content_sha256(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            with opened(path) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except (OSError, EOFError, zlib.error) as cause:
            raise SpecError(f"{path} cannot be read: {cause}") from None
    return digest.hexdigest()
