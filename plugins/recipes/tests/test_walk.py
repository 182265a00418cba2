"""Walks through a graph of triples: which entities a question names, which moves are shown, and which way is kept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from generators.llm.scripted import ScriptedLLM
from rag.errors import SpecError
from rag.types import Prompt, Query, Ranking
from ragline_recipes.options import between, options_of
from ragline_recipes.triples import Triple, TripleGraph
from ragline_recipes.walk import STOP, WalkRetriever

PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "walk.md"
TRIPLES = """head\trelation\ttail
anna_of_x\tspouse\tbert
anna_of_x\tchildren\tcarl
anna_of_x\tchildren\tdora
bert\tnationality\tfrance
carl\tnationality\titaly
dora\tnationality\tspain
bert\tspouse\tanna_of_x
"""


class Liking(ScriptedLLM):
    """Likes moves by these probabilities; one that is not named has a thousandth. Notes what it reads, call by call."""

    def __init__(self, likes: Mapping[str, float]) -> None:
        super().__init__(replies=("",))
        self._likes, self.calls = likes, list[list[str]]()

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> np.ndarray:
        self.calls.append([prompt[-1].content for prompt in prompts])
        return np.log(np.array([[self._likes.get(c, 0.001) for c in choices]] * len(prompts), dtype=np.float32))


def walked(
    tmp_path: Path, likes: Mapping[str, float], *texts: str, k: int = 10, **params: object
) -> tuple[list[Ranking], Liking]:
    file = tmp_path / "triples.tsv"
    file.write_text(TRIPLES, encoding="utf-8")
    llm = Liking(likes)
    retriever = WalkRetriever(llm=llm, triples=str(file), **params)  # type: ignore[arg-type]
    return retriever.retrieve([Query(qid=str(n), text=text) for n, text in enumerate(texts)], k=k), llm


def test_entities_by_their_names_the_longest_first() -> None:
    graph = TripleGraph.of([Triple("anna", "r", "anna_of_x"), Triple("x", "r", "bert")])
    assert graph.named_in("Who is the couple of anna of x, and of Bert?") == ["anna_of_x", "bert"]
    assert graph.named_in("who is anna_of_x 's couple ?") == ["anna_of_x"]
    assert graph.named_in("Annas") == []


def test_the_way_to_the_answer_one_relation_a_step(tmp_path: Path) -> None:
    likes = {"spouse": 0.9, "nationality": 0.8, STOP: 0.2}
    [ranking], llm = walked(tmp_path, likes, "which nationality is anna_of_x 's couple ?", hops=2, beam=1)
    assert [(hit.document.text, hit.document.metadata["hop"]) for hit in ranking.hits] == [
        ("anna of x spouse bert", 1),
        ("bert nationality france", 2),
    ]
    assert [hit.document.metadata["reached"] for hit in ranking.hits] == ["bert", "france"]
    assert ranking.usage.calls == len(llm.calls) == 2
    assert ranking.outcome.counts == {"steps": 2, "hops": 2}
    assert "Way so far: anna of x\n" in llm.calls[0][0]
    assert "Way so far: anna of x -> spouse -> bert\n" in llm.calls[1][0]
    assert STOP not in llm.calls[0][0]


def test_a_relation_is_followed_to_all_that_it_leads_to(tmp_path: Path) -> None:
    [ranking], _ = walked(
        tmp_path, {"children": 0.9, "nationality": 0.9}, "nations of the children of anna of x", hops=2
    )
    assert [hit.document.metadata["reached"] for hit in ranking.hits] == ["carl", "dora", "italy", "spain"]


def test_it_stops_where_the_model_would_and_never_goes_back(tmp_path: Path) -> None:
    [ranking], _ = walked(tmp_path, {"spouse": 0.9, STOP: 0.9}, "the spouse of anna of x", hops=3)
    assert [hit.document.text for hit in ranking.hits] == ["anna of x spouse bert"]
    [back], llm = walked(tmp_path, {"spouse": 0.9}, "bert", hops=1)
    assert [hit.document.text for hit in back.hits] == ["bert spouse anna of x"]
    assert "spouse of" not in llm.calls[0][0]


def test_relations_are_followed_from_tail_to_head_where_that_is_asked_for(tmp_path: Path) -> None:
    [ranking], llm = walked(tmp_path, {"nationality of": 0.9}, "who is from italy ?", hops=1, back=True)
    assert [hit.document.metadata["reached"] for hit in ranking.hits] == ["carl"]
    assert "nationality of" in llm.calls[0][0]


def test_of_several_ways_the_likeliest_is_kept(tmp_path: Path) -> None:
    likes = {"children": 0.6, "spouse": 0.4, "nationality": 0.1, STOP: 0.9}
    [ranking], _ = walked(tmp_path, likes, "anna of x", hops=2, beam=2)
    ways = {"children": math.log(0.6) + math.log(0.9), "spouse": math.log(0.4) + math.log(0.9)}
    assert max(ways, key=ways.__getitem__) == "children"
    assert [hit.document.metadata["reached"] for hit in ranking.hits] == ["carl", "dora"]


def test_all_questions_go_in_step_and_those_that_choose_from_the_same_are_one_call(tmp_path: Path) -> None:
    rankings, llm = walked(tmp_path, {"spouse": 0.9}, "the wife of bert", "the wife of bert again", "nobody", hops=1)
    assert [len(call) for call in llm.calls] == [2]
    assert rankings[2].outcome.kind == "empty"
    assert "names no entity" in rankings[2].outcome.detail


def test_at_most_so_many_moves_those_with_words_of_the_question_first(tmp_path: Path) -> None:
    _, llm = walked(tmp_path, {}, "children of anna of x", hops=1, moves=1)
    assert "children" in llm.calls[0][0].split("lead on:")[1]
    assert "spouse" not in llm.calls[0][0].split("lead on:")[1]


@pytest.mark.parametrize("line", ["a\tb", "a\tb\tc\td", "a\t\tc"])
def test_a_line_that_is_no_triple_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.tsv").write_text(f"a\tr\tb\n{line}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"bad\.tsv:2: a line is head, relation and tail"):
        TripleGraph.read(tmp_path / "bad.tsv")


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no file of triples"):
        WalkRetriever(llm=Liking({}), triples=str(tmp_path / "none.tsv"))
    (tmp_path / "latin.tsv").write_bytes("a\tr\tbé\n".encode("latin-1"))
    with pytest.raises(SpecError, match="not UTF-8 at byte"):
        TripleGraph.read(tmp_path / "latin.tsv")


def test_a_graph_with_circles_ends(tmp_path: Path) -> None:
    file = tmp_path / "circle.tsv"
    file.write_text("a\tr\tb\nb\tr\ta\n", encoding="utf-8")
    [ranking] = WalkRetriever(llm=Liking({"r": 0.9}), triples=str(file), hops=50).retrieve(
        [Query(qid="q", text="a")], k=9
    )
    assert [hit.document.text for hit in ranking.hits] == ["a r b"]


def test_a_filter_on_a_relation_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    [ranking], llm = walked(tmp_path, {}, "the spouse of anna of x", where={"relation": "spouze"})
    assert (ranking.hits, llm.calls, ranking.outcome.kind) == ((), [], "empty")
    assert ranking.outcome.detail == (
        "the filter lets no fact of the graph through; its relations are children, nationality, spouse"
    )
    [ranking], _ = walked(tmp_path, {}, "the spouse of italy", where={"relation": "spouse"})
    assert ranking.outcome.detail == "nothing leads on from what it names"


def test_a_graph_of_networkx_is_written_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```python\n(import networkx.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, PAGE.name, "exec"), {})
    [ranking] = WalkRetriever(llm=Liking({"spouse": 0.9}), triples="family.tsv").retrieve(
        [Query(qid="q", text="the spouse of anna of x")], k=9
    )
    assert [hit.document.text for hit in ranking.hits] == ["anna of x spouse bert"]


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "options"),
        [
            ("Who is it?\nA. Anna\nB. Bert", ("Anna", "Bert")),
            ("Who is it?\n(a) Anna of X\n (b) Bert ", ("Anna of X", "Bert")),
            ("Who is it?\n1) Anna\n2) Bert\n3) Carl", ("Anna", "Bert", "Carl")),
            ("Who is it?\nA. Anna", ()),
            ("A. Anna\nB. Bert\nWho is it?", ()),
            ("Who is A. Anna or B. Bert?", ()),
            ("", ()),
        ],
    )
    def test_options_are_lines_at_the_end(self, text: str, options: tuple[str, ...]) -> None:
        asked, found = options_of(text)
        assert found == options
        assert asked == ("Who is it?" if options else text)

    def test_what_lies_between_worked_by_hand(self) -> None:
        """a -> b -> c -> d, a -> e, f -> c. From a to d in three steps go three of them; to c in two, two."""
        graph = TripleGraph.of([Triple(*names) for names in ("arb", "brc", "crd", "are", "frc")])
        found = between(graph, ["a"], ["d"], hops=3, back=False)
        assert {"".join(triple) for triple in found} == {"arb", "brc", "crd"}
        assert between(graph, ["a"], ["d"], hops=2, back=False) == frozenset()
        assert {"".join(t) for t in between(graph, ["a"], ["c"], hops=4, back=False)} == {"arb", "brc"}
        assert {"".join(t) for t in between(graph, ["d"], ["f"], hops=2, back=True)} == {"crd", "frc"}

    def test_the_walk_keeps_to_ways_to_an_option_and_ends_there(self, tmp_path: Path) -> None:
        likes = {"spouse": 0.9, "children": 0.8, "nationality": 0.7, STOP: 0.9}
        [ranking], llm = walked(tmp_path, likes, "Which nation has anna_of_x to do with?\nA. Italy\nB. Poland", hops=4)
        assert [hit.document.text for hit in ranking.hits] == ["anna of x children carl", "carl nationality italy"]
        assert ranking.hits[-1].document.metadata["option"] == "Italy"
        assert "option" not in ranking.hits[0].document.metadata
        assert ranking.outcome.detail == "anna of x -> children -> carl -> nationality -> italy; option: Italy"
        assert ranking.outcome.counts == {"steps": 2, "hops": 2, "options": 1}
        assert all("Poland" not in prompt and "spouse" not in prompt for call in llm.calls for prompt in call)

    def test_options_that_the_graph_does_not_know_change_nothing(self, tmp_path: Path) -> None:
        likes = {"spouse": 0.9, "nationality": 0.8, STOP: 0.1}
        question = "which nationality is anna_of_x 's couple ?"
        plain, listed = walked(tmp_path, likes, question, f"{question}\nA. Mars\nB. Venus", hops=2)[0]
        assert [hit.doc_id for hit in plain.hits] == [hit.doc_id for hit in listed.hits]
        assert "option" not in listed.outcome.detail
