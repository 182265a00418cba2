from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SpecError
from rag.core.types import Document, Query
from rag.evaluate.beir import load_beir

CORPUS: list[dict[str, Any]] = [
    {"_id": "d1", "title": "One", "text": "first", "group": "g"},
    {"_id": 2, "title": None, "text": "second"},
    {"_id": "d 3", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "who", "group": "g"}, {"_id": "q2", "text": "what", "group": "h"}]
QA = [
    {"id": "a1", "question": "why?", "answers": ["because", 7], "answerable": True, "supporting_ids": ["d1"]},
    {"id": "a2", "question": "when?", "answers": [], "answerable": False, "context_ids": [2], "hops": 2},
]


def jsonl(records: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "tiny"
    (place / "qrels").mkdir(parents=True)
    (place / "corpus.jsonl").write_text(jsonl(CORPUS))
    (place / "queries.jsonl.gz").write_bytes(gzip.compress(jsonl(QUERIES).encode()))
    (place / "qa.jsonl").write_text(jsonl(QA))
    (place / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td 3\t2\nq2\t2\t0\nq1\td1\t0\n")
    (place / "qrels/dev.tsv.gz").write_bytes(gzip.compress(b"q1\td1\t1\n"))
    return place


def test_a_folder_is_read_plain_or_gzipped(folder: Path) -> None:
    dataset = load_beir(folder)
    assert dataset.name == "tiny"
    assert list(dataset.documents()) == [
        Document(doc_id="d1", title="One", text="first", metadata={"group": "g"}),
        Document(doc_id="2", text="second"),
        Document(doc_id="d 3", text=""),
    ]
    assert dataset.queries == (Query(qid="q1", text="who"), Query(qid="q2", text="what"))
    assert dataset.qrels() == {"q2": {"d 3": 2, "2": 0}, "q1": {"d1": 0}}


def test_a_split_without_a_header_line_loses_no_line(folder: Path) -> None:
    assert load_beir(folder).qrels("dev") == {"q1": {"d1": 1}}


def test_only_queries_with_a_positive_judgement_count(folder: Path) -> None:
    dataset = load_beir(folder)
    assert [query.qid for query in dataset.queries_of(dataset.qrels())] == ["q2"]


def test_a_judged_query_without_text_is_named(folder: Path) -> None:
    dataset = load_beir(folder)
    with pytest.raises(SpecError, match="1 judged queries have no text, first 'q9'"):
        dataset.queries_of({"q9": {"d1": 1}})


def test_a_missing_split_lists_those_there_are(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"has no split 'train'\. There is: dev, test"):
        load_beir(folder).qrels("train")


def test_items_carry_answers_and_whether_there_is_one(folder: Path) -> None:
    first, second = load_beir(folder).items()
    assert (first.qid, first.answers, first.answerable, first.supporting) == (
        "a1",
        ("because", "7"),
        True,
        ("d1",),
    )
    assert (second.answers, second.answerable, second.supporting) == ((), False, ("2",))
    assert second.more == {"hops": 2}
    assert second.query == Query(qid="a2", text="when?")


def test_questions_stand_in_where_there_are_no_queries(folder: Path) -> None:
    (folder / "queries.jsonl.gz").unlink()
    assert [query.text for query in load_beir(folder).queries] == ["why?", "when?"]


def test_a_query_can_be_kept_to_documents_of_its_own_group(folder: Path) -> None:
    assert [query.where for query in load_beir(folder, within="group").queries] == [
        {"group": "g"},
        {"group": "h"},
    ]
    with pytest.raises(SpecError, match=r"queries\.jsonl\.gz:1: query 'q1' has no field 'year'"):
        load_beir(folder, within="year")


def test_what_is_absent_is_missed_only_when_it_is_asked_for(folder: Path) -> None:
    for name in ("corpus.jsonl", "qa.jsonl"):
        (folder / name).unlink()
    dataset = load_beir(folder)
    with pytest.raises(SpecError, match=r"has no corpus\.jsonl"):
        list(dataset.documents())
    with pytest.raises(SpecError, match=r"has no qa\.jsonl"):
        dataset.items()


@pytest.mark.parametrize(("name", "problem"), [("nowhere", "is not a folder"), ("qrels", "has no corpus.jsonl")])
def test_a_folder_of_another_layout_is_refused(folder: Path, name: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        load_beir(folder / name)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"queries\.jsonl:2: not JSON"),
        ("[" * 100_000, r"queries\.jsonl:2: nested too deeply"),
        ("[]", r"queries\.jsonl:2: a JSON object is wanted, not list"),
        ('{"text": "x"}', r"queries\.jsonl:2: no _id"),
        ('{"_id": "", "text": "x"}', r"queries\.jsonl:2: no _id"),
        ('{"_id": "q1", "text": "x"}', r"queries\.jsonl:2: id 'q1' is there twice"),
        ('{"_id": "q2"}', r"queries\.jsonl:2: query 'q2' has no text"),
    ],
)
def test_a_malformed_query_is_named_by_file_and_line(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "queries.jsonl").write_text(f'{{"_id": "q1", "text": "x"}}\n{line}\n')
    with pytest.raises(SpecError, match=problem):
        load_beir(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q1 d1 1", r"test\.tsv:3: 3 columns between tabs are wanted .* has 1"),
        ("q1\td9\tyes", r"test\.tsv:3: grade 'yes' is not a whole number"),
        ("q1\td1\t0", r"test\.tsv:3: document 'd1' of qid 'q1' was judged 1 before"),
    ],
)
def test_a_malformed_judgement_is_named_by_file_and_line(folder: Path, line: str, problem: str) -> None:
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\nq1\td1\t1\n{line}\n")
    with pytest.raises(SpecError, match=problem):
        load_beir(folder).qrels()


@pytest.mark.parametrize(
    ("record", "problem"),
    [({"id": "a3"}, "item 'a3' has no question"), ({"id": "a1", "question": "x"}, "id 'a1' is there twice")],
)
def test_a_malformed_item_is_named(folder: Path, record: dict[str, object], problem: str) -> None:
    (folder / "qa.jsonl").write_text(jsonl([*QA, record]))
    with pytest.raises(SpecError, match=rf"qa\.jsonl:3: {problem}"):
        list(load_beir(folder).items())


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "n_documents", "n_queries"),
    [("adi", 82, 35), ("cacm", 3204, 52), ("xquad/zh", 240, 1190), ("time", 423, 79)],
)
def test_published_sets_have_the_published_counts(eval_data: Path, name: str, n_documents: int, n_queries: int) -> None:
    dataset = load_beir(eval_data / name)
    assert sum(1 for _ in dataset.documents()) == n_documents
    assert len(dataset.queries_of(dataset.qrels())) == n_queries
