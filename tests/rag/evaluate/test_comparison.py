"""Runs side by side: what is better, by how much, on which queries, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import main
from rag.core.errors import SpecError
from rag.evaluate import Evaluation, Plan, compare_runs, measured_run, write_per_query
from rag.evaluate.beir import load_beir


def of(**values: list[float]) -> Evaluation:
    per_query = {name.replace("_at_", "@"): {f"q{i}": v for i, v in enumerate(some)} for name, some in values.items()}
    means = {name: sum(some.values()) / len(some) for name, some in per_query.items()}
    return Evaluation(measures=means, per_query=per_query, n_queries=len(next(iter(per_query.values()))))


BEFORE, AFTER = of(nDCG_at_10=[0.5, 0.5, 0.5, 0.2]), of(nDCG_at_10=[0.9, 0.5, 0.6, 0.1])


class TestComparing:
    def test_it_says_which_queries_gained_and_lost(self) -> None:
        [one] = compare_runs(BEFORE, {"after": AFTER})["after"]
        assert (one.baseline, one.run) == pytest.approx((0.425, 0.525))
        assert one.test.difference == pytest.approx(0.1)
        assert ([*one.gained], [*one.lost], one.as_dict()["equal"]) == (["q0", "q2"], ["q3"], 1)
        assert [*one.differences] == ["q0", "q2", "q1", "q3"]
        assert one.p == one.test.p, "one comparison needs no correction"

    def test_p_is_corrected_over_all_runs_and_measures(self) -> None:
        several = {"a": of(nDCG_at_10=[1.0] * 4, AP=[1.0] * 4), "b": of(nDCG_at_10=[1.0] * 4, AP=[1.0] * 4)}
        base = of(nDCG_at_10=[0.0] * 4, AP=[0.0] * 4)
        alone = compare_runs(base, {"a": several["a"]}, measures=["AP"])["a"][0].p
        together = compare_runs(base, several)
        assert alone == 2 / 16
        assert {one.p for found in together.values() for one in found} == {4 * 2 / 16}

    def test_other_queries_are_refused_unless_the_common_ones_are_asked_for(self) -> None:
        fewer = of(nDCG_at_10=[0.9, 0.5])
        with pytest.raises(SpecError, match=r"2 queries have nDCG@10 in one of them alone, 2 in both\. --common"):
            compare_runs(BEFORE, {"fewer": fewer})
        [one] = compare_runs(BEFORE, {"fewer": fewer}, common=True)["fewer"]
        assert len(one.differences) == 2

    def test_runs_of_other_questions_have_nothing_in_common(self) -> None:
        other = Evaluation(measures={}, per_query={"nDCG@10": {"x": 1.0}}, n_queries=1)
        with pytest.raises(SpecError, match="no query with nDCG@10 in common"):
            compare_runs(BEFORE, {"other": other}, common=True)

    def test_measures_that_are_missing_are_named(self) -> None:
        with pytest.raises(SpecError, match="no measure in common"):
            compare_runs(BEFORE, {"a": of(AP=[1.0] * 4)})
        with pytest.raises(SpecError, match=r"'a' has no nDCG@10; it has AP"):
            compare_runs(BEFORE, {"a": of(AP=[1.0] * 4)}, measures=["nDCG@10"])


class TestRunsOfAnyKind:
    def test_a_table_is_taken_as_it_was_measured(self, tmp_path: Path) -> None:
        write_per_query(BEFORE, tmp_path / "per_query.csv")
        assert measured_run(tmp_path).per_query == BEFORE.per_query
        assert measured_run(tmp_path / "per_query.csv").measures == BEFORE.measures

    def test_a_trec_run_is_measured_by_judgements(self, tmp_path: Path) -> None:
        (tmp_path / "a.trec").write_text("q1 Q0 d3 1 2.0 x\nq1 Q0 d1 2 1.0 x\n")
        plan = Plan(queries=(), qrels={"q1": {"d1": 1}}, retrieval=("RR",))
        assert measured_run(tmp_path / "a.trec", plan).measures == {"RR": 0.5}
        with pytest.raises(SpecError, match=r"a TREC run is measured by a data set; name one with --dataset"):
            measured_run(tmp_path / "a.trec")

    def test_a_folder_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"neither per_query\.csv nor answers\.jsonl"):
            measured_run(tmp_path)

    def test_a_line_that_is_no_answer_is_named(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "answers.jsonl").write_text('{"id": "q1"}\n')
        with pytest.raises(SpecError, match=r"answers\.jsonl:1: no line of an answer"):
            measured_run(tmp_path, Plan(queries=(), items=tuple(load_beir(data).items())))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "Seine"}\n{"_id": "d2", "text": "Rhine"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "Paris?"}\n{"_id": "q2", "text": "Basel?"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    items = [
        {"id": "q1", "question": "Paris?", "answers": ["Seine"], "context_ids": ["d1"]},
        {"id": "q2", "question": "Basel?", "answers": ["Rhine"], "context_ids": ["d2"]},
    ]
    (folder / "qa.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def batch(folder: Path, *texts: str) -> Path:
    """A folder as `rag batch` leaves it."""
    folder.mkdir()
    lines = [
        {
            "key": str(n),
            "id": f"q{n}",
            "question": "?",
            "answer": f"{text} [1]",
            "status": "answered",
            "confidence": None,
            "finish_reason": "stop",
            "citations": [
                {
                    "marker": 1,
                    "doc_id": f"d{n}",
                    "start": len(text) + 1,
                    "end": len(text) + 4,
                    "by": "model",
                    "similar": True,
                }
            ],
            "verdicts": [],
            "passages": [f"d{n}"],
        }
        for n, text in enumerate(texts, start=1)
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


class TestCommand:
    def test_batches_are_measured_and_compared(
        self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one, other = batch(tmp_path / "one", "Loire", "Rhine"), batch(tmp_path / "other", "Seine", "Rhine")
        assert main(["compare", str(one), str(other), "--dataset", str(data), "--measures", "em"]) == 0
        out = capsys.readouterr().out
        assert "other against one" in out
        assert "EM         0.5000 -> 1.0000  +0.5000" in out
        assert "of 2 queries 1 gained, 0 lost" in out
        assert "gained most EM: q1 +1.000" in out

    def test_trec_runs_are_measured_and_told_as_data(
        self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "a.trec").write_text("q1 Q0 d2 1 2.0 x\nq1 Q0 d1 2 1.0 x\nq2 Q0 d2 1 2.0 x\n")
        (tmp_path / "b.trec").write_text("q1 Q0 d1 1 2.0 x\nq2 Q0 d2 1 2.0 x\n")
        runs = [str(tmp_path / name) for name in ("a.trec", "b.trec")]
        assert main(["compare", *runs, "--dataset", str(data), "--measures", "RR", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["baseline"] == "a.trec"
        [row] = said["runs"]["b.trec"]
        assert (row["measure"], row["baseline"], row["run"], row["gained"]) == ("RR", 0.75, 1.0, 1)
        assert row["differences"] == {"q1": 0.5, "q2": 0.0}

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["a.csv"], "two runs are wanted at the least"),
            (["a.csv", "a.csv"], "a run is named twice"),
            (["a.csv", "b.trec"], "a TREC run is measured by a data set"),
            (["a.csv", "nowhere.csv"], "nowhere.csv"),
        ],
    )
    def test_what_cannot_be_compared_is_said(
        self,
        arguments: list[str],
        why: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_per_query(BEFORE, Path("a.csv"))
        Path("b.trec").write_text("q1 Q0 d1 1 2.0 x\n")
        assert main(["compare", *arguments]) == 2
        assert why in capsys.readouterr().err
