from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.evaluate import Evaluation, evaluate, read_per_query, results, write_per_query, write_results


@pytest.fixture
def evaluation() -> Evaluation:
    qrels = {"=1+1": {"a": 1}, "@sum": {"a": 1}, 'with "quotes", comma\nand line': {"a": 1}, "-5": {"a": 1}}
    return evaluate({qid: ["b", "a", "c"] for qid in qrels}, qrels, ["RR", "P@3"])


def test_every_query_has_a_line_and_no_cell_is_a_formula(evaluation: Evaluation, tmp_path: Path) -> None:
    write_per_query(evaluation, tmp_path / "out/per_query.csv")
    with (tmp_path / "out/per_query.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["qid", "RR", "P@3"]
    assert [line[0] for line in lines] == ["'=1+1", "'@sum", 'with "quotes", comma\nand line', "'-5"]
    assert all([float(cell) for cell in line[1:]] == [0.5, pytest.approx(1 / 3)] for line in lines)


def test_a_cell_is_empty_where_the_measure_does_not_hold_and_all_comes_back(tmp_path: Path) -> None:
    per_query = {"EM": {"=1": 1.0, "b": 0.0}, "RefusedUnanswerable": {"c": 1 / 3}}
    write_per_query(Evaluation(measures={}, per_query=per_query, n_queries=3), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "'=1,1.0,"
    assert read_per_query(tmp_path / "t.csv") == per_query


@pytest.mark.parametrize("text", ["query,EM\na,1\n", "qid,EM\na,yes\n", "qid,EM\na,1,2\n", "\xff\xfe"])
def test_another_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(SpecError, match="no table of values per query"):
        read_per_query(tmp_path / "t.csv")
    with pytest.raises(SpecError, match="cannot read"):
        read_per_query(tmp_path / "absent.csv")


def test_results_are_one_json_object(evaluation: Evaluation, tmp_path: Path) -> None:
    write_results(results(evaluation, seconds=1.5, graph="bm25"), tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "measures": {"RR": 0.5, "P@3": pytest.approx(1 / 3)},
        "queries": 4,
        "seconds": 1.5,
        "graph": "bm25",
    }


def test_what_json_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_results({"p": float("nan")}, tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()
