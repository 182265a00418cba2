from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import ContractError, SpecError
from rag.core.trec import read_qrels, read_run, strictly_falling, write_run
from rag.core.types import Document, Query, Ranking, ScoredDocument


def ranking(qid: str, *hits: tuple[str, float]) -> Ranking:
    return Ranking(
        query=Query(qid=qid, text=""),
        hits=tuple(ScoredDocument(document=Document(doc_id=i, text=""), score=s) for i, s in hits),
    )


def test_a_run_is_written_in_six_columns(tmp_path: Path) -> None:
    write_run([ranking("q1", ("d2", 2.5), ("d1", 1.0)), ranking("q2")], tmp_path / "a/b.trec", tag="bm25")
    assert (tmp_path / "a/b.trec").read_text() == "q1 Q0 d2 1 2.5 bm25\nq1 Q0 d1 2 1.0 bm25\n"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.trec"]


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    write_run([ranking("q", ("z", 0.1), ("a", 1 / 30), ("m", -7e-9))], tmp_path / "run")
    assert read_run(tmp_path / "run") == {"q": [("z", 0.1), ("a", 1 / 30), ("m", -7e-9)]}


def test_ties_are_written_so_that_an_evaluator_sees_our_order(tmp_path: Path) -> None:
    import ir_measures
    from ir_measures import RR

    write_run([ranking("q", ("a", 1.0), ("b", 1.0), ("c", 1.0))], tmp_path / "run")
    run = list(ir_measures.read_trec_run(str(tmp_path / "run")))  # type: ignore[no-untyped-call]
    for rank, doc_id in enumerate("abc", start=1):
        assert ir_measures.calc_aggregate([RR], {"q": {doc_id: 1}}, run)[RR] == pytest.approx(1 / rank)


@given(st.lists(st.floats(-1e30, 1e30)))
def test_scores_fall_strictly_as_32_bit_numbers(scores: list[float]) -> None:
    falling = np.array(strictly_falling(sorted(scores, reverse=True)), dtype=np.float32)
    assert np.all(falling[1:] < falling[:-1])


def test_scores_that_fall_already_are_written_untouched() -> None:
    assert strictly_falling([3.3, 0.1 + 0.2, -1e-9]) == [3.3, 0.1 + 0.2, -1e-9]
    assert strictly_falling([]) == []


@pytest.mark.parametrize("doc_id", ["a b", "a\tb", "a\nb", "a\u00a0b", "a%20b c", "\x00x", "na\u00efve file.pdf:3"])
def test_ids_with_white_space_survive(tmp_path: Path, doc_id: str) -> None:
    write_run([ranking("my query", (doc_id, 2.0), ("plain", 1.0))], tmp_path / "run")
    lines = (tmp_path / "run").read_text().splitlines()
    assert all(len(line.split()) == 6 for line in lines)
    assert read_run(tmp_path / "run") == {"my query": [(doc_id, 2.0), ("plain", 1.0)]}


def test_ids_with_percent_signs_alone_are_left_alone(tmp_path: Path) -> None:
    write_run([ranking("q", ("100%25", 1.0))], tmp_path / "run")
    assert "100%25" in (tmp_path / "run").read_text()
    assert read_run(tmp_path / "run") == {"q": [("100%25", 1.0)]}


@pytest.mark.parametrize(
    "rankings",
    [
        [ranking("")],
        [ranking("q"), ranking("q")],
        [ranking("q", ("", 1.0))],
        [ranking("q", ("d", 2.0), ("d", 1.0))],
        [ranking("q", ("d", math.nan))],
        [ranking("q", ("d", -math.inf))],
    ],
)
def test_a_run_that_no_file_can_say_is_refused_and_the_old_file_stays(tmp_path: Path, rankings: list[Ranking]) -> None:
    (tmp_path / "run").write_text("old")
    with pytest.raises(ContractError):
        write_run(rankings, tmp_path / "run")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("run", "old")]


@pytest.mark.parametrize("tag", ["", "two words", "x+quoted"])
def test_a_tag_is_one_word(tmp_path: Path, tag: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        write_run([], tmp_path / "run", tag=tag)


def test_a_foreign_run_is_sorted_by_score_then_doc_id(tmp_path: Path) -> None:
    (tmp_path / "run.gz").write_bytes(
        gzip.compress(b"q\tQ0\tb\t9\t1e0\tx\r\n\r\nq Q0 c 1  0.5 x\nq Q0 a 3 1.0 x\nr Q0 a 1 -3 x\n")
    )
    assert read_run(tmp_path / "run.gz") == {"q": [("a", 1.0), ("b", 1.0), ("c", 0.5)], "r": [("a", -3.0)]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q Q0 d 1 0.5", r"run:2: 6 columns are wanted .* this line has 5"),
        ("q Q0 d e 1 0.5 x", r"run:2: 6 columns .* has 7"),
        ("q Q0 d 1 high x", r"run:2: score 'high' is not a finite number"),
        ("q Q0 d 1 nan x", r"run:2: score 'nan'"),
        ("q Q0 first 2 0.1 x", r"run:2: document 'first' of qid 'q' is in the run twice"),
    ],
)
def test_a_malformed_line_of_a_run_is_named(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "run").write_text(f"q Q0 first 1 1.0 x\n{line}\n")
    with pytest.raises(SpecError, match=problem):
        read_run(tmp_path / "run")


def test_qrels_are_read_with_their_grades(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q 0 a 2\nq 0 b -1\nr 0 a 1.0\nq 0 a 2\n")
    assert read_qrels(tmp_path / "qrels") == {"q": {"a": 2, "b": -1}, "r": {"a": 1}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("q 0 b", r"qrels:2: 4 columns are wanted"),
        ("q 0 b yes", r"qrels:2: grade 'yes' is not a whole number"),
        ("q 0 b 0.5", r"qrels:2: grade '0.5'"),
        ("q 0 b inf", r"qrels:2: grade 'inf'"),
        ("q 0 a 0", r"qrels:2: document 'a' of qid 'q' was judged 1 before"),
    ],
)
def test_a_malformed_line_of_qrels_is_named(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "qrels").write_text(f"q 0 a 1\n{line}\n")
    with pytest.raises(SpecError, match=problem):
        read_qrels(tmp_path / "qrels")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("absent", None, "absent cannot be read: No such file"),
        ("latin", b"q Q0 a 1 1 x\nq Q0 \xff 2 0 x\n", "latin:2: not UTF-8"),
        ("cut.gz", gzip.compress(bytes(range(256)) * 99, mtime=0)[:99], "cut.gz:1: "),
        ("not.gz", b"q Q0 a 1 1 x\n", "not.gz:1: its compression is damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match=problem):
        read_run(tmp_path / name)
