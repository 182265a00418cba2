"""Reference runs: which they are, how recorded values become one, and that the leaderboard reads what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.legs import LEGS, fusions
from benchmarks.work_lines import Setup, Work
from plugins.lab.benchmarks.leaderboard import ATTENTION, PUBLISHED, Run, is_reference, recorded, recorded_runs
from rag import Document, Query, Ranking, ScoredDocument
from rag.evaluate import evaluate, measured_run
from rag.ranking import ranked
from ragline_lab.leaderboard.published import read_published
from ragline_lab.leaderboard.run_folders import facts_of, find_runs


def test_bm25_is_fused_with_each_leg_and_with_all() -> None:
    names = [name for name in fusions([*LEGS]) if is_reference(name)]
    pairs = [f"{how} bm25 + {other}" for other in LEGS if other != "bm25" for how in ("RRF", "z-score")]
    whole = " + ".join(LEGS)
    assert names == [*pairs, f"RRF {whole}", f"z-score {whole}", "hybrid, built in"]
    assert all(map(is_reference, LEGS))


def add(work: Work, settings: str, **values: float) -> None:
    for qid, value in values.items():
        work.add({"method": "fused", "set": "s", "qid": qid, "nDCG@10": value}, Setup.of(settings=settings))


def test_recorded_values_are_those_of_the_most_queries_and_of_equals_the_last(tmp_path: Path) -> None:
    work = Work(tmp_path / "lines.jsonl")
    assert recorded(work, "fused", "s") == {}
    add(work, "first", a=0.1, b=0.2)
    add(work, "second", a=0.3, b=0.4)
    add(work, "sample", a=0.9)
    assert recorded(work, "fused", "s") == {"a": 0.3, "b": 0.4}


def test_what_is_not_recorded_for_every_query_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Work(tmp_path / "lines.jsonl")
    add(work, "first", a=0.1, b=0.2)
    [run] = recorded_runs("s", {"b": {"d": 1}}, work)
    assert (run.system, run.evaluation.per_query) == (ATTENTION["fused"], {"nDCG@10": {"b": 0.2}})
    assert list(recorded_runs("s", {"b": {"d": 1}, "c": {"d": 1}}, work)) == []
    assert "'fused' is not recorded for all 2 queries, left out" in capsys.readouterr().err


def test_the_leaderboard_reads_what_is_written(tmp_path: Path) -> None:
    hits = ranked([ScoredDocument(document=Document(doc_id="d", text=""), score=1.0)])
    rankings = [Ranking(query=Query(qid="a", text="x"), hits=hits, source="bm25")]
    evaluation = evaluate(rankings, {"a": {"d": 1, "e": 1}}, ["nDCG@10", "R@100"])
    command = ("python", "-m", "plugins.lab.benchmarks.leaderboard", "s", "--systems", "bm25")
    for _ in range(2):  # what is there is replaced
        run = Run(system="bm25", evaluation=evaluation, command=command, rankings=rankings)
        run.write(tmp_path / "s" / "bm25", dataset="s")
    found = find_runs(tmp_path)
    assert (list(found.runs), found.left_out) == (["s"], ())
    place = found.runs["s"]["bm25"]
    assert measured_run(place).measures == pytest.approx(evaluation.measures)
    assert (facts_of(place).kind, facts_of(place).command) == ("rankings and values per query", command)
    assert (place / "run.trec").read_text().startswith("a Q0 d 1 ")


def test_published_figures_name_their_source() -> None:
    figures = read_published(PUBLISHED)
    assert figures
    assert all(figure.source for figure in figures)
