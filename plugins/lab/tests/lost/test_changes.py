"""Two runs of the same queries: which node gained and lost, and which of them tells the two apart first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.lab.tests.lost.small_run import FIRST, GRAPH, SECOND, TRAILS_OF_ALL, K, data_set, run_folder
from rag import SpecError
from rag.evaluate import Trail, Trails, load_beir
from rag.graphs import load_spec
from ragline_lab.lost.changes import Move, NodeChange, changes_between
from ragline_lab.lost.fate import Fate
from ragline_lab.lost.reading import lost_in
from ragline_lab.lost.report import Lost, query_loss
from ragline_lab.lost.stages import stages_of

HYBRID: dict[str, Any] = {
    "bm25": {"use": "retrieve.bm25", "k": 9},
    "dense": {"use": "retrieve.dense", "k": 9},
    "fused": {"use": "fuse.rrf", "in": ["bm25", "dense"], "k": 9},
}


def run_of(nodes: dict[str, Any], output: str, relevant: str = "d", name: str = "run", **rankings: str) -> Lost:
    """A run of one query; a string is a node's ranking, a letter a document."""
    stages = stages_of(load_spec({"version": 1, "nodes": nodes, "output": output}).graph, {}, name=name)
    trail = Trail(qid="q", question="", nodes={node: (tuple(ranking),) for node, ranking in rankings.items()})
    queries = (query_loss(trail, dict.fromkeys(relevant, 1), stages, k=K),)
    return Lost(name=name, dataset="d", split="test", graph="g", k=K, answers=False, stages=stages, queries=queries)


def first(before: Lost, after: Lost) -> tuple[bool, str]:
    [move] = changes_between(before, after).moves
    return move.gained, move.first


class TestFirst:
    OLD = {"bm25": "abd", "dense": "abc", "fused": "abcd"}

    def test_the_first_node_where_it_stood_better(self) -> None:
        old = run_of(HYBRID, "fused", **self.OLD)
        new = run_of(HYBRID, "fused", bm25="abd", dense="abd", fused="adb")
        assert first(old, new) == (True, "dense"), "there instead of not"
        assert first(new, old) == (False, "dense"), "and the other way round it is lost there"
        assert first(old, run_of(HYBRID, "fused", bm25="adb", dense="abc", fused="da")) == (True, "bm25"), "higher"
        assert first(old, run_of(HYBRID, "fused", bm25="abd", dense="abc", fused="da")) == (True, "fused")

    def test_a_node_that_one_run_has_alone(self) -> None:
        ranked = {**HYBRID, "ranked": {"use": "rerank.identity", "in": "fused", "k": 9}}
        old = run_of(HYBRID, "fused", **self.OLD)
        assert first(old, run_of(ranked, "ranked", **self.OLD, ranked="dabc")) == (True, "ranked")
        kept = {"bm25": "ad", "dense": "ad", "fused": "ad"}
        worse = run_of(ranked, "ranked", **kept, ranked="abcd")
        assert first(run_of(HYBRID, "fused", **kept), worse) == (False, "ranked"), "lost at a node of its own"
        assert first(worse, run_of(HYBRID, "fused", **kept)) == (True, "ranked"), "gained by being without it"

    def test_a_leg_that_one_run_has_alone(self) -> None:
        one = {
            "bm25": HYBRID["bm25"],
            "fused": {"use": "fuse.rrf", "in": "bm25", "k": 9},
        }
        old = run_of(one, "fused", bm25="abc", fused="abc")
        new = run_of(HYBRID, "fused", bm25="abc", dense="abd", fused="da")
        assert first(old, new) == (True, "dense"), "nobody found it before"


class TestByHand:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> tuple[Lost, Lost]:
        """The small run, and one whose fusion keeps f, whose writer cites b, and whose writer is not shown a."""
        changed = replace(
            FIRST,
            nodes={**FIRST.nodes, "fused": (("f", "a", "c", "b", "x", "u"),), "ranked": (("f", "c", "a", "b"),)},
            shown=("f", "b"),
            cited=("b", "f"),
        )
        data = load_beir(data_set(tmp_path / "data"))
        after = run_folder(tmp_path / "b", Trails(depths={"ranked": 3}, queries=(changed, *TRAILS_OF_ALL.queries[1:])))
        return lost_in(run_folder(tmp_path / "a"), data, k=K), lost_in(after, data, k=K)

    def test_moves(self, runs: tuple[Lost, Lost]) -> None:
        changes = changes_between(*runs)
        assert {move.doc_id: move for move in changes.moves} == {
            "a": Move(
                qid="q1",
                doc_id="a",
                gained=False,
                first="ranked",  # second there before, third after
                before=Fate(label="kept"),
                after=Fate(label="fell", node="ranked"),
            ),
            "b": Move(
                qid="q1",
                doc_id="b",
                gained=True,
                first="answer",
                before=Fate(label="not cited", node="answer"),
                after=Fate(label="kept"),
            ),
            "f": Move(
                qid="q1",
                doc_id="f",
                gained=True,
                first="fused",
                before=Fate(label="fell", node="fused"),
                after=Fate(label="kept"),
            ),
        }
        assert changes.firsts() == {"answer": (1, 0), "fused": (1, 0), "ranked": (0, 1)}
        assert list(changes.by_query()) == ["q1"]

    def test_nodes(self, runs: tuple[Lost, Lost]) -> None:
        assert changes_between(*runs).nodes == (
            NodeChange(node="bm25", gained=0, lost=0, found=0, missed=0),
            NodeChange(node="dense", gained=0, lost=0, found=0, missed=0),
            NodeChange(node="fused", gained=1, lost=1, found=0, missed=0),  # f for c
            NodeChange(node="ranked", gained=1, lost=1, found=1, missed=0),  # f for a; f was not there
            NodeChange(node="context", gained=1, lost=1, found=1, missed=1),  # f for a
            NodeChange(node="answer", gained=2, lost=1, found=2, missed=1),  # b and f for a
        )

    def test_the_other_way_round_all_is_turned(self, runs: tuple[Lost, Lost]) -> None:
        there, back = changes_between(*runs), changes_between(*reversed(runs))
        assert [(m.doc_id, m.gained, m.first) for m in back.moves] == [
            (m.doc_id, not m.gained, m.first) for m in there.moves
        ]
        assert [(n.lost, n.gained, n.missed, n.found) for n in back.nodes] == [
            (n.gained, n.lost, n.found, n.missed) for n in there.nodes
        ]

    def test_a_run_beside_itself_is_nothing(self, runs: tuple[Lost, Lost]) -> None:
        for run in runs:
            changes = changes_between(run, run)
            assert changes.moves == ()
            assert {(n.gained, n.lost, n.found, n.missed) for n in changes.nodes} == {(0, 0, 0, 0)}
            assert (changes.only_before, changes.only_after, changes.firsts()) == ((), (), {})

    def test_nodes_of_one_run_alone_are_named(self, runs: tuple[Lost, Lost], tmp_path: Path) -> None:
        text = json.dumps(GRAPH).replace("fused", "mixed")
        renamed = tuple(
            replace(trail, nodes={name.replace("fused", "mixed"): lists for name, lists in trail.nodes.items()})
            for trail in TRAILS_OF_ALL.queries
        )
        other = run_folder(tmp_path / "c", Trails(depths={"ranked": 3}, queries=renamed), json.loads(text))
        changes = changes_between(runs[0], lost_in(other, load_beir(tmp_path / "data"), k=K))
        assert (changes.only_before, changes.only_after) == (("fused",), ("mixed",))
        assert changes.moves == ()


class TestRefused:
    def test_runs_of_other_queries(self, tmp_path: Path) -> None:
        data = load_beir(data_set(tmp_path / "data"))
        whole = lost_in(run_folder(tmp_path / "whole"), data, k=K)
        part = lost_in(run_folder(tmp_path / "part", Trails(depths={}, queries=(FIRST, SECOND))), data, k=K)
        with pytest.raises(SpecError, match="were not asked the same: 1 queries are in one of them alone, 2 in both"):
            changes_between(whole, part)
        assert len(changes_between(whole, part, common=True).after.queries) == 2
        with pytest.raises(SpecError, match="have no query in common"):
            changes_between(replace(whole, queries=whole.queries[2:]), part, common=True)

    def test_other_judgements(self) -> None:
        rankings = {"bm25": "abd", "dense": "abc", "fused": "abcd"}
        one, other = (run_of(HYBRID, "fused", relevant, **rankings) for relevant in "da")
        with pytest.raises(SpecError, match="query 'q' has other relevant documents in 'run' than in 'run'"):
            changes_between(one, other)

    def test_answers_beside_none(self, tmp_path: Path) -> None:
        lost = lost_in(run_folder(tmp_path / "run"), load_beir(data_set(tmp_path / "data")), k=K)
        with pytest.raises(SpecError, match=r"has answers and .* has none, so a document is kept by another rule"):
            changes_between(lost, replace(lost, answers=False))


RANKING = st.permutations("abcd").map("".join).flatmap(lambda whole: st.integers(0, 4).map(lambda n: whole[:n]))
RANKINGS = st.fixed_dictionaries({"bm25": RANKING, "dense": RANKING, "fused": RANKING})


@given(old=RANKINGS, new=RANKINGS)
def test_what_the_end_gained_less_what_it_lost_is_the_difference(old: dict[str, str], new: dict[str, str]) -> None:
    before, after = (run_of(HYBRID, "fused", "abcd", **rankings) for rankings in (old, new))
    changes = changes_between(before, after)
    kept = [lost.totals()["kept"].total() for lost in (before, after)]
    gained = sum(move.gained for move in changes.moves)
    assert kept[1] - kept[0] == 2 * gained - len(changes.moves)
    assert sum(won + gone for won, gone in changes.firsts().values()) == len(changes.moves)
    last = changes.nodes[-1]
    assert (last.gained, last.lost) == (gained, len(changes.moves) - gained), "the last node is what is measured"
