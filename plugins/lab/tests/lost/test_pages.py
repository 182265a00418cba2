"""Pages that need nothing from elsewhere, hold whatever names there are, and draw as much as was lost."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from plugins.lab.tests.leaderboard.test_leaderboard import HOSTILE, read
from plugins.lab.tests.lost.small_run import FIRST, GRAPH, TRAILS_OF_ALL, K, data_set, run_folder
from rag.evaluate import Trail, Trails, load_beir
from ragline_lab.lost.changes import changes_between
from ragline_lab.lost.flow import COLOUR, Column, columns, flow
from ragline_lab.lost.page import diff_page, lost_page
from ragline_lab.lost.reading import lost_in
from ragline_lab.lost.report import Lost
from ragline_lab.lost.tables import told

NODES = ("bm25", "dense", "fused", "ranked", "context", "answer", "checked")


@pytest.fixture
def lost(tmp_path: Path) -> Lost:
    return lost_in(run_folder(tmp_path / "run"), load_beir(data_set(tmp_path / "data")), k=K)


def hostile(folder: Path) -> tuple[Lost, Lost]:
    """The small run with a hostile text for every name, question and document; and one where nothing was cited."""
    names = {name: f"{HOSTILE} {name}" for name in NODES}
    ids = {letter: f"{HOSTILE} {letter}" for letter in "abcfguntxy"}

    def renamed(trail: Trail) -> Trail:
        lists: dict[str, Any] = {
            names[node]: tuple(tuple(ids[each] for each in ranking) for ranking in rankings)
            for node, rankings in trail.nodes.items()
        }
        shown = None if trail.shown is None else tuple(ids[each] for each in trail.shown)
        return Trail(
            qid=trail.qid,
            question=HOSTILE,
            nodes=lists,
            failed=None if trail.failed is None else names[trail.failed],
            shown=shown,
            cited=tuple(ids[each] for each in trail.cited),
        )

    nodes = {}
    for name, node in GRAPH["nodes"].items():
        inputs = [node["in"]] if isinstance(node["in"], str) else node["in"]
        nodes[names[name]] = {**node, "in": [names.get(each, each) for each in inputs]}
    graph = json.loads(json.dumps({**GRAPH, "nodes": nodes, "output": names["checked"]}))
    trails = Trails(depths={names["ranked"]: 3}, queries=tuple(map(renamed, TRAILS_OF_ALL.queries)))
    silent = Trails(depths=trails.depths, queries=tuple(replace(trail, cited=()) for trail in trails.queries))
    qrels = {"q1": {ids[each]: 1 for each in "abcfun"}, "q2": {ids["t"]: 1}, "q3": {ids["g"]: 1}}
    data = load_beir(data_set(folder / "data", qrels, {f"q{n}": HOSTILE for n in (1, 2, 3)}))
    one, other = run_folder(folder / "one", trails, graph), run_folder(folder / "other", silent, graph)
    return lost_in(one, data, k=K), lost_in(other, data, k=K)


def test_pages_need_nothing_from_elsewhere_and_hold_hostile_names(tmp_path: Path) -> None:
    one, other = hostile(tmp_path)
    assert one.totals()["fell"] == {f"{HOSTILE} fused": 1}
    for text in (lost_page(one, title=HOSTILE), diff_page(changes_between(one, other), title=HOSTILE)):
        found = read(text)
        assert found.tags.isdisjoint({"script", "img", "link", "iframe", "object", "base", "a"})
        assert not any(name.startswith("on") for name in found.others)
        assert found.addresses == []
        assert "\u202e" not in text
        assert "default-src 'none'" in text
        assert not re.search(r"https?://|@import|url\(", text)
        assert HOSTILE.replace("\u202e", "") not in text


def test_the_page_says_what_the_report_says(lost: Lost) -> None:
    text = lost_page(lost, title="t")
    assert "8 relevant documents of 3 queries, k = 2." in text
    assert "Kept: 1. Lost: 7." in text
    for each in lost.gold:
        assert f'<span class="fate c{COLOUR[each.fate.label]}">{told(each.fate)}</span>' in text
    assert text.count("<details>") == 3
    assert "the first question" in text


class TestFlow:
    def test_columns_by_hand(self, lost: Lost) -> None:
        assert columns(lost) == [
            Column(name="bm25 + dense", arriving=8, leaving=(("never found", 1), ("failed", 1))),
            Column(name="fused", arriving=6, leaving=(("fell", 1),)),
            Column(name="ranked", arriving=5, leaving=(("cut", 1), ("too low", 1))),
            Column(name="context", arriving=3, leaving=(("prompt", 1),)),
            Column(name="answer", arriving=2, leaving=(("not cited", 1),)),
        ]
        assert columns(lost)[-1].staying == lost.totals()["kept"].total() == 1

    def test_where_a_check_failed_the_rankings_had_passed_the_document(self, tmp_path: Path) -> None:
        unchecked = replace(FIRST, failed="checked", shown=None, cited=())
        trails = Trails(depths={"ranked": 3}, queries=(unchecked, *TRAILS_OF_ALL.queries[1:]))
        lost = lost_in(run_folder(tmp_path / "run", trails), load_beir(data_set(tmp_path / "data")), k=K)
        assert lost.totals()["failed"] == {"checked": 2, "dense": 1}, "a and c were here at the end"
        way = columns(lost)
        assert way[0].leaving == (("never found", 1), ("failed", 1)), "dense is one of the legs"
        assert way[-1] == Column(name="answer", arriving=2, leaving=(("failed", 2),))

    def test_bands_are_as_high_as_what_they_show(self) -> None:
        way = [
            Column(name="a", arriving=10, leaving=(("never found", 4), ("failed", 1))),
            Column(name="b", arriving=5, leaving=()),
        ]
        drawn = ET.fromstring(flow("t", way, begin="all", end="kept"))
        stream = [float(band.attrib["height"]) for band in drawn.findall("rect") if "band" in band.attrib["class"]]
        assert stream == pytest.approx([130, 130])
        heights = [
            float(match) for match in re.findall(r"v([\d.]+)C", " ".join(p.attrib["d"] for p in drawn.findall("path")))
        ]
        assert heights == pytest.approx([104, 26])
        assert [text.text for text in drawn.findall("text")][-1] == "kept 5"

    def test_nothing_is_outside_of_the_frame(self) -> None:
        labels = tuple((label, 1) for label in COLOUR if label != "kept")
        drawn = ET.fromstring(
            flow(HOSTILE, [Column(name=HOSTILE, arriving=7000, leaving=labels)], begin="all", end="kept")
        )
        _, _, width, height = map(float, drawn.attrib["viewBox"].split())
        for text in drawn.findall("text"):
            assert 0 <= float(text.attrib["x"]) < width
            assert 10 <= float(text.attrib["y"]) < height
        lines = [float(text.attrib["y"]) for text in drawn.findall("text")[4:-1]]
        assert all(below - above >= 14 for above, below in pairwise(lines)), "names do not overlap"


def test_one_leg_alone_is_a_stream_too(tmp_path: Path) -> None:
    graph = {"version": 1, "nodes": {"bm25": GRAPH["nodes"]["bm25"]}, "output": "bm25"}
    trails = Trails(
        depths={}, queries=(Trail(qid="q1", question=FIRST.question, nodes={"bm25": (("f", "x", "a", "b"),)}),)
    )
    lost = lost_in(run_folder(tmp_path / "run", trails, graph), load_beir(data_set(tmp_path / "data")), k=K)
    assert columns(lost) == [Column(name="bm25", arriving=6, leaving=(("never found", 3), ("too low", 2)))]
    assert "<td>1</td>" in lost_page(lost, title="t")
