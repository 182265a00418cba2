"""What cannot be followed is refused with the reason: other data, damaged folders, nothing judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.lab.tests.lost.small_run import FIRST, GRAPH, QRELS, SECOND, THIRD, TRAILS_OF_ALL, data_set, run_folder
from rag import SpecError
from rag.evaluate import Trail, Trails, load_beir
from ragline_lab.lost.reading import lost_in


def followed(tmp_path: Path, qrels: dict[str, dict[str, int]]) -> tuple[int, int, int]:
    lost = lost_in(run_folder(tmp_path / "run"), load_beir(data_set(tmp_path / "data", qrels)))
    return len(lost.queries), lost.unjudged, lost.unasked


def test_queries_without_a_relevant_document_are_counted_and_left_out(tmp_path: Path) -> None:
    assert followed(tmp_path, {"q1": QRELS["q1"], "q2": {"t": 0}}) == (1, 2, 0)


def test_judged_queries_that_were_not_asked_are_counted(tmp_path: Path) -> None:
    assert followed(tmp_path, {**QRELS, "q9": {"z": 1}, "q8": {"z": 0}}) == (3, 0, 1)


def test_a_run_without_a_relevant_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no query of it has a relevant document in split 'test'"):
        followed(tmp_path, {"q1": {"a": 0}})


def test_a_run_of_other_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none of its 3 queries is judged in split 'test' of .* there are test"):
        followed(tmp_path, {"q7": {"a": 1}})


def test_a_run_of_another_data_set_with_the_same_ids_is_refused(tmp_path: Path) -> None:
    texts = {"q1": FIRST.question, "q2": "something else", "q3": THIRD.question}
    data = data_set(tmp_path / "data", texts=texts)
    why = "query 'q2' was asked as 'the second question', but the data set .* says 'something else'"
    with pytest.raises(SpecError, match=why):
        lost_in(run_folder(tmp_path / "run"), load_beir(data))


def test_an_unknown_split_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"has no split 'dev'\. There is: test"):
        lost_in(run_folder(tmp_path / "run"), load_beir(data_set(tmp_path / "data")), split="dev")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is no folder; the folder of a `rag eval` is wanted"):
        lost_in(tmp_path / "nowhere", load_beir(data_set(tmp_path / "data")))


@pytest.mark.parametrize(
    ("file", "change", "why"),
    [
        ("trails.json", None, r"trails\.json cannot be read"),
        ("trails.json", lambda text: text[: len(text) // 2], r"trails\.json is no JSON"),
        ("graph.json", None, r"graph\.json cannot be read"),
        ("graph.json", lambda text: text[: len(text) // 2], r"graph\.json is no JSON .*Run rag eval again"),
        ("graph.json", lambda text: "[]", "a JSON object is wanted, as rag eval writes it, not list"),
        ("graph.json", lambda text: '{"version": 1}', r"(?s)graph\.json is no graph as rag eval writes it: .*nodes"),
        ("report.json", lambda text: text[:5], r"report\.json is no JSON"),
    ],
)
def test_a_damaged_folder_is_named(file: str, change: Callable[[str], str] | None, why: str, tmp_path: Path) -> None:
    run, data = run_folder(tmp_path / "run"), load_beir(data_set(tmp_path / "data"))
    if change is None:
        (run / file).unlink()
    else:
        (run / file).write_text(change((run / file).read_text()))
    with pytest.raises(SpecError, match=why):
        lost_in(run, data)


def test_files_of_two_runs_are_told_apart(tmp_path: Path) -> None:
    other = json.loads(json.dumps(GRAPH).replace("fused", "mixed"))
    run = run_folder(tmp_path / "run", graph=other)
    with pytest.raises(SpecError, match=r"query 'q1' has nothing of node 'mixed' in trails\.json"):
        lost_in(run, load_beir(data_set(tmp_path / "data")))


def test_a_run_that_ranks_nothing_is_refused(tmp_path: Path) -> None:
    nodes = {"answer": {"use": "generate.follow_up", "with": {"llm": "small", "answers": "one"}}}
    trails = Trails(depths={}, queries=(Trail(qid="q1", question=FIRST.question, nodes={}, shown=()),))
    run = run_folder(tmp_path / "run", trails, graph={"version": 1, "nodes": nodes, "output": "answer"})
    with pytest.raises(
        SpecError, match=r"ranks documents, so none can be lost .* What inner graphs rank is not followed"
    ):
        lost_in(run, load_beir(data_set(tmp_path / "data")))


def test_of_a_run_without_answers_the_ranking_decides(tmp_path: Path) -> None:
    """The same rankings, not written from: what was cited or not is kept by its rank, and `prompt` is no label of it."""
    trails = Trails(
        depths={"ranked": 3},
        queries=tuple(
            Trail(qid=trail.qid, question=trail.question, nodes=trail.nodes, failed=trail.failed)
            for trail in (FIRST, SECOND, THIRD)
        ),
    )
    lost = lost_in(run_folder(tmp_path / "run", trails), load_beir(data_set(tmp_path / "data")), k=2)
    assert not lost.answers
    assert lost.behind() == []
    assert {label: nodes.total() for label, nodes in lost.totals().items() if nodes} == {
        "kept": 2, "never found": 1, "cut": 1, "fell": 2, "too low": 1, "failed": 1,
    }  # fmt: skip
    assert lost.totals()["fell"] == {"fused": 2}, "b was here at dense alone"
    assert len(TRAILS_OF_ALL.queries) == len(lost.queries)
