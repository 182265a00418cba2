"""One label for every relevant document: a run worked by hand, the edges of each rule, and that labels add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.lab.tests.lost.small_run import GRAPH, TRAILS_OF_ALL, K, data_set, run_folder
from rag import SpecError
from rag.evaluate import Trail, load_beir
from rag.graphs import load_spec
from ragline_lab.lost.fate import LABELS, Fate, Standing, standings
from ragline_lab.lost.reading import lost_in
from ragline_lab.lost.report import Lost, query_loss
from ragline_lab.lost.stages import Stages, stages_of


@pytest.fixture
def lost(tmp_path: Path) -> Lost:
    return lost_in(run_folder(tmp_path / "run"), load_beir(data_set(tmp_path / "data")), k=K)


def stages(nodes: dict[str, Any], output: str, depths: dict[str, int] | None = None) -> Stages:
    return stages_of(load_spec({"version": 1, "nodes": nodes, "output": output}).graph, depths or {}, name="run")


class TestByHand:
    def test_every_label_comes_once_with_its_node(self, lost: Lost) -> None:
        fates = {(query.qid, each.doc_id): each.fate for query in lost.queries for each in query.gold}
        assert fates == {
            ("q1", "a"): Fate(label="kept"),
            ("q1", "b"): Fate(label="not cited", node="answer"),
            ("q1", "c"): Fate(label="prompt", node="context"),
            ("q1", "f"): Fate(label="fell", node="fused"),
            ("q1", "u"): Fate(label="cut", node="ranked"),
            ("q1", "n"): Fate(label="never found"),
            ("q2", "t"): Fate(label="too low", node="ranked"),
            ("q3", "g"): Fate(label="failed", node="dense"),
        }
        assert {label: nodes.total() for label, nodes in lost.totals().items()} == dict.fromkeys(LABELS, 1)

    def test_ranks_after_every_node(self, lost: Lost) -> None:
        gold = {each.doc_id: each for each in lost.queries[0].gold}
        assert gold["a"].ranks == {"bm25": 2, "dense": 1, "fused": 1, "ranked": 2}
        assert gold["f"].ranks == {"bm25": 1, "fused": 5}
        assert gold["n"].ranks == {}
        assert (gold["b"].shown, gold["b"].cited, gold["c"].shown) == (2, False, None)
        assert gold["a"].grade == 2
        assert "x" not in gold, "judged, but not relevant"

    def test_what_nodes_have(self, lost: Lost) -> None:
        here = {stage.name: (lost.here(stage), lost.found(stage)) for stage in lost.stages.ranking}
        # bm25: f, a of c, t, g; dense: a, b of c, u; fused: a, c of b, f, u, t; ranked: c, a of b, t. g is bm25's first
        assert here == {"bm25": (3, 5), "dense": (2, 4), "fused": (2, 6), "ranked": (2, 4)}
        assert lost.behind() == [("context", "shown", 2), ("answer", "cited", 1)]
        assert lost.sources() == {("bm25",): 3, ("bm25", "dense"): 2, ("dense",): 2, (): 1}
        assert [query.qid for query in lost.worst] == ["q1", "q2", "q3"]


class TestRules:
    """Each on the smallest graph that can show it, with k = 2 and documents d at stake."""

    CHAIN = {
        "leg": {"use": "retrieve.bm25", "k": 5},
        "first": {"use": "rerank.identity", "in": "leg", "k": 5},
        "last": {"use": "rerank.identity", "in": "first", "k": 3},
    }

    def told(self, ways: Stages, **nodes: str) -> Fate:
        """The fate of d, where a string is a node's ranking, a letter a document."""
        lists = {name: tuple(tuple(each) for each in ranking.split()) or ((),) for name, ranking in nodes.items()}
        trail = Trail(qid="q", question="", nodes=lists)
        return query_loss(trail, {"d": 1}, ways, k=K).gold[0].fate

    @pytest.mark.parametrize(
        ("leg", "first", "last", "fate"),
        [
            ("d", "abcd", "abd", Fate(label="fell", node="first")),
            ("abcd", "d", "abc", Fate(label="fell", node="last")),
            ("d", "abd", "d", Fate(label="kept")),  # what a later node made good is no loss
            (
                "d",
                "abcd",
                "abc",
                Fate(label="fell", node="first"),
            ),  # and what happens to it lower down is not looked at
            ("abcd", "abcd", "abc", Fate(label="cut", node="last")),
            ("abcd", "abc", "abc", Fate(label="cut", node="first")),
            ("abd", "abd", "abd", Fate(label="too low", node="last")),
            ("", "", "", Fate(label="never found")),
            ("ab", "ab", "ab", Fate(label="never found")),
        ],
    )
    def test_on_a_chain(self, leg: str, first: str, last: str, fate: Fate) -> None:
        assert self.told(stages(self.CHAIN, "last"), leg=leg, first=first, last=last) == fate

    def test_one_that_a_node_could_not_keep_was_cut(self) -> None:
        one = {"leg": self.CHAIN["leg"], "last": {"use": "rerank.identity", "in": "leg", "k": 1}}
        assert self.told(stages(one, "last"), leg="ad", last="a") == Fate(label="cut", node="last")
        assert self.told(stages(one, "last"), leg="da", last="a") == Fate(label="fell", node="last")

    def test_what_a_reranker_does_not_look_at_it_cut(self) -> None:
        ranked = {"leg": "abcd", "first": "bacd", "last": "bad"}
        assert self.told(stages(self.CHAIN, "last", {"first": 3}), **ranked) == Fate(label="cut", node="first")
        assert self.told(stages(self.CHAIN, "last", {"first": 4}), **ranked) == Fate(label="too low", node="last")

    def test_passages_have_places_and_documents_ranks(self) -> None:
        # d is the second document and its first passage the fourth hit: here, and too deep for a node that passes on three
        assert standings((tuple("aaad"),)) == {"a": Standing(rank=1, place=1), "d": Standing(rank=2, place=4)}
        fate = self.told(stages(self.CHAIN, "last"), leg="aaad", first="aaad", last="aaa")
        assert fate == Fate(label="cut", node="last")

    def test_of_several_variants_the_best_counts(self) -> None:
        assert standings((tuple("abcd"), tuple("bd")))["d"] == Standing(rank=2, place=2)

    def test_legs_side_by_side(self) -> None:
        graph = {
            "one": {"use": "retrieve.bm25", "k": 4},
            "two": {"use": "retrieve.dense", "k": 4},
            "better": {"use": "rerank.identity", "in": "two", "k": 4},
            "both": {"use": "fuse.rrf", "in": ["one", "better"], "k": 4},
        }
        ways = stages(graph, "both")
        assert [stage.name for stage in ways.way] == ["both", "one", "better", "two"]
        assert [stage.name for stage in ways.legs] == ["one", "two"]
        # both lists had it here: the fusion put it down; one branch had it here at its leg alone: that branch did
        assert self.told(ways, one="da", two="ad", better="ad", both="abcd") == Fate(label="fell", node="both")
        assert self.told(ways, one="abc", two="da", better="abcd", both="abcd") == Fate(label="fell", node="better")

    def test_a_leg_for_feedback_is_beside_the_way(self) -> None:
        graph = {
            "first": {"use": "retrieve.bm25", "k": 4},
            "more": {"use": "reformulate.rm3", "in": ["query", "first"]},
            "again": {"use": "retrieve.bm25", "in": "more", "k": 4},
        }
        ways = stages(graph, "again")
        assert [stage.name for stage in ways.ranking] == ["first", "again"]
        assert ways.legs == ways.way == ways.ranking[1:]
        assert self.told(ways, first="d", again="abc") == Fate(label="never found")

    def test_a_writer_that_failed(self) -> None:
        [fate] = [
            each.fate
            for each in query_loss(
                Trail(qid="q", question="", nodes={"bm25": (("d",),), "ranked": (("d",),)}, failed="answer"),
                {"d": 1},
                stages_of(load_spec(GRAPH).graph, {}, name="run"),
                k=K,
            ).gold
        ]
        assert fate == Fate(label="failed", node="answer")

    def test_who_writes(self) -> None:
        ways = stages_of(load_spec(GRAPH).graph, {"ranked": 3}, name="run")
        assert (ways.context, ways.writer, ways.last.name, ways.last.depth) == ("context", "answer", "ranked", 3)
        assert stages(self.CHAIN, "last").writer is None

    def test_a_graph_that_ranks_nothing_is_refused(self) -> None:
        closed = {"answer": {"use": "generate.closed_book", "with": {"llm": "small"}}}
        with pytest.raises(SpecError, match="run: no node of its graph ranks documents"):
            stages(closed, "answer")
        with pytest.raises(SpecError, match="no node of its graph ranks documents"):
            stages({"leg": {"use": "retrieve.bm25", "k": 1}}, "nowhere")
        with pytest.raises(SpecError, match="no node of its graph ranks documents"):
            stages({"a": {"use": "rerank.identity", "in": "b"}, "b": {"use": "rerank.identity", "in": "a"}}, "a")


DOCUMENTS = st.lists(st.sampled_from("abcdefgh"), max_size=8)
LISTS = st.lists(DOCUMENTS.map(tuple), min_size=1, max_size=3).map(tuple)


@given(
    nodes=st.fixed_dictionaries(dict.fromkeys(("bm25", "dense", "fused", "ranked"), LISTS)),
    missing=st.sets(st.sampled_from(["bm25", "dense", "fused", "ranked"])),
    shown=st.none() | DOCUMENTS.map(tuple),
    relevant=st.sets(st.sampled_from("abcdefghij"), min_size=1),
    k=st.integers(1, 9),
    depth=st.none() | st.integers(1, 9),
)
def test_labels_part_the_relevant_documents(
    nodes: dict[str, Any],
    missing: set[str],
    shown: tuple[str, ...] | None,
    relevant: set[str],
    k: int,
    depth: int | None,
) -> None:
    """Whatever nodes gave, even what no graph gives: each document has one label, at a node that is there, and they add up."""
    ways = stages_of(load_spec(GRAPH).graph, {} if depth is None else {"ranked": depth}, name="run")
    trail = Trail(
        qid="q",
        question="",
        nodes={name: lists for name, lists in nodes.items() if name not in missing},
        failed="fused" if missing else None,
        shown=None if missing else shown,
        cited=() if missing or not shown else shown[:1],
    )
    query = query_loss(trail, dict.fromkeys(sorted(relevant), 1), ways, k=k)
    whole = Lost(
        name="run", dataset="d", split="s", graph="g", k=k, answers=shown is not None, stages=ways, queries=(query,)
    )
    totals = whole.totals()
    assert sum(nodes.total() for nodes in totals.values()) == len(relevant) == whole.n_gold
    assert query.lost == len(relevant) - totals["kept"].total()
    for label, at in totals.items():
        assert (set(at) == {""}) == (label in ("kept", "never found")) or not at
        assert set(at) <= {"", *load_spec(GRAPH).graph.nodes}


def test_the_small_run_is_what_it_says() -> None:
    """Its trails are those that its graph could give: no node passes on more hits than its k, or hits it was not given."""
    ways = stages_of(load_spec(GRAPH).graph, {}, name="run")
    for trail in TRAILS_OF_ALL.queries:
        for stage in ways.ranking:
            for hits in trail.nodes.get(stage.name, ()):
                given = {hit for source in stage.inputs for each in trail.nodes[source] for hit in each}
                assert len(hits) <= (stage.k or 0)
                assert not stage.inputs or set(hits) <= given
