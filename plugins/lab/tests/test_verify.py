"""A run asked again: what is the same, what is noise, and what changed facts explain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plugins.lab.tests.conftest import Command, write_lines
from rag import Document
from rag.files import text_sha256
from rag.graphs import Change
from rag.pipeline.provenance import PROVENANCE
from ragline_lab.drift.report import QueryDrift, compared_hits, is_noise, surplus_by_chance, verdict_of
from tests.small_index import small_index

SETTINGS = Change(section="graph", name="bm25", before="x", now="y")
LIBRARY = Change(section="libraries", name="numpy", before="1", now="2")
ONE = (("a", 3.0), ("b", 2.0), ("c", 1.0))


class TestRankings:
    @pytest.mark.parametrize(
        ("now", "kind"),
        [
            (ONE, "same"),
            ((("a", 3.0001), ("b", 2.0), ("c", 1.0)), "same"),  # a thirty-thousandth of the largest
            ((("a", 3.01), ("b", 2.0), ("c", 1.0)), "scores"),
            ((("b", 3.0), ("a", 2.0), ("c", 1.0)), "ranking"),
            ((("a", 3.0), ("b", 2.0)), "ranking"),
            ((("a", 3.0), ("b", 2.0), ("d", 1.0)), "ties"),  # cut off between two of equal scores
            ((("a", 3.0), ("b", 2.0), ("d", 1.5)), "ranking"),
            ((), "ranking"),
        ],
    )
    def test_by_hand(self, now: Any, kind: str) -> None:
        assert compared_hits(ONE, now, 1e-4) == kind

    def test_equal_scores_may_change_places(self) -> None:
        assert compared_hits((("a", 1.0), ("b", 1.0), ("c", 0.5)), (("b", 1.0), ("a", 1.0), ("c", 0.5)), 1e-4) == "ties"
        assert compared_hits((("a", 1.0), ("b", 1.0)), (("b", 1.0), ("a", 0.9)), 1e-4) == "ranking"

    def test_nothing_twice_is_the_same(self) -> None:
        assert compared_hits((), (), 1e-4) == "same"

    @given(st.lists(st.floats(-1e6, 1e6), unique=True, max_size=8))
    def test_a_ranking_is_the_same_as_itself(self, scores: list[float]) -> None:
        hits = tuple((f"d{place}", score) for place, score in enumerate(sorted(scores, reverse=True)))
        assert compared_hits(hits, hits, 0.0) == "same"


def same(*qids: str) -> list[QueryDrift]:
    return [QueryDrift(qid=qid, nodes={}) for qid in qids]


def other(*qids: str) -> list[QueryDrift]:
    return [QueryDrift(qid=qid, nodes={"bm25": "ranking"}) for qid in qids]


class TestVerdicts:
    @pytest.mark.parametrize(
        ("first", "second", "facts", "verdict"),
        [
            (same("a", "b"), [], [], "same"),
            (same("a", "b"), [], [SETTINGS], "same"),  # a fact that changed, and nothing came of it
            ([QueryDrift(qid="a", nodes={"bm25": "ties"})], [], [SETTINGS], "noise"),
            (other("a", "b"), other("a", "b"), [], "noise"),
            (other("a", "b"), same("a", "b"), [], "unexplained"),
            (other("a", "b"), same("a", "b"), [LIBRARY], "version"),
            (other("a", "b"), same("a", "b"), [LIBRARY, SETTINGS], "configuration"),
            (other("a"), other("b"), [], "noise"),
        ],
    )
    def test_by_hand(self, first: Any, second: Any, facts: Any, verdict: str) -> None:
        assert verdict_of(first, second, facts) == verdict

    def test_an_answer_alone_is_a_difference(self) -> None:
        drift = QueryDrift(qid="a", nodes={"bm25": "ties"}, answered_otherwise=True)
        assert verdict_of([drift], [], []) == "unexplained"

    def test_far_more_than_two_reruns_differ_by_is_no_noise(self) -> None:
        """Ten queries differ from the run and one between reruns: nine against none, (1/2)^9."""
        names = [f"q{number}" for number in range(10)]
        few = other("q0") + same(*names[1:])
        assert surplus_by_chance(9, 0) == 0.5**9
        assert not is_noise(other(*names), few)
        assert verdict_of(other(*names), few, [LIBRARY]) == "version"
        four = other(*names[:4]) + same(*names[4:])
        assert surplus_by_chance(4, 0) == 1 / 16
        assert is_noise(four, other("q0", "q1", "q2", "q3")), "the same queries, both times"
        assert is_noise(four, other("q9") + same(*names[:9])), "four against one may be chance"


@pytest.fixture
def evaluated(made_up: Path, tmp_path: Path, rag: Command) -> Callable[..., Path]:
    """`rag eval` of a graph on the made-up set."""

    def run(graph: Any = "bm25", *, name: str = "run", data: Path = made_up, more: tuple[str, ...] = ()) -> Path:
        if not isinstance(graph, str):
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(graph))
            graph = str(tmp_path / f"{name}.yaml")
        assert rag("eval", data, "--graph", graph, "--out", tmp_path / name, *more)[0] == 0
        return tmp_path / name

    return run


def report(rag: Command, *words: str | Path) -> tuple[int, dict[str, Any]]:
    code, said, told = rag("lab", "verify", *words, "--json")
    assert said, told
    return code, json.loads(said)


def swapped(run: Path, places: tuple[int, int] = (0, 1)) -> str:
    """Two documents of the first query change places in the run that was kept; its qid."""
    file = run / "bm25.trec"
    lines = [line.split(" ") for line in file.read_text().splitlines()]
    one, other = (lines[place] for place in places)
    one[2], other[2] = other[2], one[2]
    file.write_text("".join(" ".join(line) + "\n" for line in lines))
    return one[0]


def with_another(run: Path, section: str, name: str, value: str) -> None:
    told = json.loads((run / PROVENANCE).read_text())
    told["made_by"][0]["facts"][section][name] = value
    (run / PROVENANCE).write_text(json.dumps(told))


class TestEvaluations:
    def test_a_run_that_still_holds(self, evaluated: Any, made_up: Path, rag: Command) -> None:
        run = evaluated()
        code, told = report(rag, run, "--dataset", made_up)
        assert (code, told["verdict"], told["holds"], told["made_by"]) == (0, "same", True, "rag eval")
        assert (told["queries"], told["of"], told["counts"]) == (48, 48, {"same": 48, "ties": 0, "otherwise": 0})
        assert (told["facts"], told["drifts"], told["reruns_differ"]) == ([], [], None)
        assert {(one["measure"], one["difference"], one["queries"]) for one in told["measures"]} == {
            ("nDCG@10", 0.0, 48), ("R@100", 0.0, 48), ("AP", 0.0, 48),
        }  # fmt: skip
        code, said, _ = rag("lab", "verify", run, "--dataset", made_up, "-n", "5")
        assert code == 0
        assert said.splitlines()[0] == f"{run}, made by rag eval: 5 of its 48 queries asked again"
        assert said.splitlines()[1].startswith("verdict: same")
        assert "asked again against run" in said

    def test_the_same_queries_whatever_their_order(
        self, evaluated: Any, made_up: Path, tmp_path: Path, rag: Command
    ) -> None:
        turned = tmp_path / "turned"
        shutil.copytree(made_up, turned)
        lines = (turned / "queries.jsonl").read_text().splitlines()
        (turned / "queries.jsonl").write_text("\n".join(reversed(lines)) + "\n")
        runs = [(evaluated(), made_up), (evaluated(name="turned_run", data=turned), turned)]
        for run, _ in runs:
            with_another(run, "libraries", "numpy", "0.1")
            file = run / "bm25.trec"  # of every query other documents, so that all that are asked are told
            file.write_text(file.read_text().replace(" Q0 d", " Q0 x"))
        asked = [
            [one["qid"] for one in report(rag, run, "--dataset", data, "-n", "7")[1]["drifts"]] for run, data in runs
        ]
        assert asked[0] == asked[1] == sorted((f"q{n:02d}" for n in range(48)), key=text_sha256)[:7]

    def test_facts_that_were_kept_explain_what_differs(self, evaluated: Any, made_up: Path, rag: Command) -> None:
        run = evaluated()
        qid = swapped(run)
        code, told = report(rag, run, "--dataset", made_up)
        assert (code, told["verdict"], told["reruns_differ"]) == (1, "unexplained", 0)
        assert (told["counts"], told["first_at"]) == ({"same": 47, "ties": 0, "otherwise": 1}, {"bm25": 1})
        assert told["drifts"] == [{"qid": qid, "nodes": {"bm25": "ranking"}}]
        with_another(run, "libraries", "numpy", "0.1")
        code, told = report(rag, run, "--dataset", made_up)
        assert (code, told["verdict"]) == (1, "version")
        assert [(one["section"], one["name"], one["before"]) for one in told["facts"]] == [
            ("libraries", "numpy", "0.1")
        ]
        with_another(run, "prompts", "answer_cited", "abc")
        code, said, _ = rag("lab", "verify", run, "--dataset", made_up)
        assert code == 1
        assert "verdict: configuration" in said
        assert "  prompts: answer_cited: abc -> none" in said
        assert "  libraries: numpy: 0.1 -> " in said
        assert "two reruns, in other batches, differ on 0 of the 48" in said
        assert f"  {qid}: bm25 ranking" in said

    def test_other_facts_and_the_same_results_are_the_same(self, evaluated: Any, made_up: Path, rag: Command) -> None:
        run = evaluated()
        with_another(run, "libraries", "numpy", "0.1")
        code, told = report(rag, run, "--dataset", made_up)
        assert (code, told["verdict"], len(told["facts"])) == (0, "same", 1)

    def test_another_graph_is_another_configuration(
        self, evaluated: Any, made_up: Path, lexical_graph: dict[str, Any], rag: Command
    ) -> None:
        run = evaluated(lexical_graph)
        assert report(rag, run, "--dataset", made_up)[1]["verdict"] == "same"
        lexical_graph["nodes"]["fused"]["with"]["weights"] = {"bm25": 0.9, "again": 0.1}
        other = run.parent / "other.yaml"
        other.write_text(yaml.safe_dump(lexical_graph))
        code, told = report(rag, run, "--dataset", made_up, "--graph", other)
        assert (code, told["verdict"]) == (1, "configuration")
        assert [(one["section"], one["name"]) for one in told["facts"]] == [("graph", "fused")]
        assert set(told["first_at"]) == {"fused"}
        assert any(one["low"] < 0 or one["high"] > 0 for one in told["measures"])

    def test_other_documents_are_another_configuration(
        self, evaluated: Any, made_up: Path, tmp_path: Path, rag: Command
    ) -> None:
        data = tmp_path / "data"
        shutil.copytree(made_up, data)
        run = evaluated(data=data)
        lines = (data / "corpus.jsonl").read_text().splitlines()
        (data / "corpus.jsonl").write_text("\n".join(lines[: len(lines) // 2]) + "\n")
        code, told = report(rag, run, "--dataset", data)
        assert (code, told["verdict"]) == (1, "configuration")
        assert [(one["section"], one["name"]) for one in told["facts"]] == [("index", "identity"), ("data", "corpus")]

    def test_a_writer_that_never_says_the_same_is_noise(self, made_up: Path, tmp_path: Path, rag: Command) -> None:
        data = tmp_path / "data"
        shutil.copytree(made_up, data)
        questions = [json.loads(line) for line in (data / "queries.jsonl").read_text().splitlines()]
        write_lines(
            data / "qa.jsonl", [{"id": one["_id"], "question": one["text"], "answers": ["balam"]} for one in questions]
        )
        replies = [f"word{number} [1]." for number in range(400)]
        graph = {
            "version": 1,
            "models": {"small": {"use": "llm.scripted", "with": {"replies": replies}}},
            "nodes": {
                "bm25": {"use": "retrieve.bm25", "k": 5},
                "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small"}},
                "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small"}},
            },
            "output": "answer",
        }
        (tmp_path / "graph.yaml").write_text(yaml.safe_dump(graph))
        run = tmp_path / "run"
        assert rag("eval", data, "--graph", tmp_path / "graph.yaml", "--out", run)[0] == 0
        code, told = report(rag, run, "--dataset", data, "-n", "20")
        assert (code, told["verdict"], told["reruns_differ"]) == (0, "noise", 20)
        assert set(told["first_at"]) == {"answer"}
        assert {one["measure"] for one in told["measures"]} >= {"EM", "F1", "nDCG@10"}
        [first, *_] = told["drifts"]
        assert first["nodes"] == {}
        assert first["answers"]["before"]["text"] != first["answers"]["now"]["text"]

    def test_equal_scores_in_another_order_are_noise(self, tmp_path: Path, rag: Command) -> None:
        data = tmp_path / "twins"
        (data / "qrels").mkdir(parents=True)
        write_lines(data / "corpus.jsonl", [{"_id": name, "title": "", "text": "balam coner"} for name in "ab"])
        write_lines(data / "queries.jsonl", [{"_id": "q", "text": "balam"}])
        (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
        run = tmp_path / "run"
        assert rag("eval", data, "--graph", "bm25", "--out", run)[0] == 0
        swapped(run)
        code, told = report(rag, run, "--dataset", data)
        assert (code, told["verdict"], told["counts"]["ties"], told["reruns_differ"]) == (0, "noise", 1, None)
        assert told["drifts"] == [{"qid": "q", "nodes": {"bm25": "ties"}}]

    def test_a_run_within_a_language_and_a_field_is_asked_so_again(
        self, made_up: Path, tmp_path: Path, rag: Command
    ) -> None:
        data = tmp_path / "data"
        shutil.copytree(made_up, data)
        for name in ("corpus.jsonl", "queries.jsonl"):
            lines = [json.loads(line) for line in (data / name).read_text().splitlines()]
            write_lines(data / name, [{**line, "half": int(line["_id"][1:]) % 2} for line in lines])
        run = tmp_path / "run"
        assert rag("eval", data, "--graph", "bm25", "--out", run, "--within", "half", "--language", "de")[0] == 0
        assert report(rag, run, "--dataset", data)[1]["verdict"] == "same"

    def test_a_run_of_before_says_so_and_is_compared(self, evaluated: Any, made_up: Path, rag: Command) -> None:
        run = evaluated()
        (run / PROVENANCE).unlink()
        (run / "trails.json").unlink()
        code, told = report(rag, run, "--dataset", made_up)
        assert (code, told["verdict"], told["keeps_facts"]) == (0, "same", False)
        swapped(run)
        code, said, _ = rag("lab", "verify", run, "--dataset", made_up)
        assert code == 1
        assert "verdict: unexplained" in said
        assert "of an older format and keeps no facts" in said
        told = json.loads((run / "report.json").read_text())
        (run / "report.json").write_text(json.dumps(told | {"index": "another"}))
        assert report(rag, run, "--dataset", made_up)[1]["verdict"] == "configuration", "it always said which index"


class TestBadInput:
    def test_what_is_no_run(self, tmp_path: Path, rag: Command) -> None:
        code, _, told = rag("lab", "verify", tmp_path / "nowhere")
        assert code == 2
        assert "is no folder, and so has neither per_query.csv of rag eval nor run.json and answers.jsonl" in told
        (tmp_path / "run.json").write_text("{}")
        code, _, told = rag("lab", "verify", tmp_path)
        assert code == 2
        assert "it is no run that can be asked again" in told

    def test_a_graph_of_components_that_are_not_here(self, evaluated: Any, made_up: Path, rag: Command) -> None:
        run = evaluated()
        graph = json.loads((run / "graph.json").read_text())
        graph["nodes"]["bm25"]["use"] = "retrieve.bm52"
        (run / "graph.json").write_text(json.dumps(graph))
        code, _, told = rag("lab", "verify", run, "--dataset", made_up)
        assert code == 2
        assert "graph.json: node 'bm25'" in told
        assert "Did you mean 'bm25'" in told
        assert "--plugin" in told
        assert rag("lab", "verify", run, "--dataset", made_up, "--graph", "bm25")[0] == 0

    def test_other_queries(self, evaluated: Any, made_up: Path, tmp_path: Path, rag: Command) -> None:
        run = evaluated()
        data = tmp_path / "data"
        shutil.copytree(made_up, data)
        text = (data / "queries.jsonl").read_text()
        (data / "queries.jsonl").write_text(text.replace('"text": "', '"text": "other ', 1))
        code, _, told = rag("lab", "verify", run, "--dataset", data)
        assert code == 2
        assert "the run is of another data set" in told
        (data / "queries.jsonl").write_text(text.replace('"_id": "q', '"_id": "p'))
        (data / "qrels" / "test.tsv").write_text((data / "qrels" / "test.tsv").read_text().replace("q0", "p0"))
        (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\np00\td00\t1\n")
        code, _, told = rag("lab", "verify", run, "--dataset", data)
        assert code == 2
        assert "none of its 48 queries is asked in split 'test'" in told

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            ([], "is of the data set 'made-up': name its folder with --dataset"),
            (["--dataset", "{data}", "--index", "idx"], "--index is for runs of rag batch"),
            (["--dataset", "{data}", "--tolerance", "-1"], "must be 0 or more"),
            (["--dataset", "{data}", "--tolerance", "nan"], "must be 0 or more"),
            (["--dataset", "{data}", "--queries", "-1"], "--queries must be 0 or more"),
            (["--dataset", "{data}", "--split", "dev"], "has no split 'dev'"),
            (["--dataset", "{data}", "--graph", "nothing"], "no graph 'nothing'"),
            (["--dataset", "{data}", "--graph", "{run}/one.yaml"], "keeps no ranking of a node of this graph (first)"),
        ],
    )
    def test_wrong_options(self, words: list[str], why: str, evaluated: Any, made_up: Path, rag: Command) -> None:
        run = evaluated()
        one = {"version": 1, "nodes": {"first": {"use": "retrieve.bm25", "k": 5}}, "output": "first"}
        (run / "one.yaml").write_text(yaml.safe_dump(one))
        given = [word.replace("{data}", str(made_up)).replace("{run}", str(run)) for word in words]
        code, _, told = rag("lab", "verify", run, *given)
        assert code == 2
        assert why in told

    @pytest.mark.parametrize("name", ["graph.json", "report.json", PROVENANCE, "per_query.csv", "trails.json"])
    def test_a_damaged_file_is_named(self, name: str, evaluated: Any, made_up: Path, rag: Command) -> None:
        run = evaluated()
        (run / name).write_text("[1")
        code, _, told = rag("lab", "verify", run, "--dataset", made_up)
        assert code == 2
        assert name in told


HANDBOOK = [
    Document(doc_id="a", text="Everyone has thirty days of leave."),
    Document(doc_id="b", text="Report a lost key at once."),
    Document(doc_id="c", text="Leave a note at the door."),
]


@pytest.fixture
def batched(tmp_path: Path, rag: Command) -> tuple[Path, Path]:
    """A run of `rag batch` over six questions, one of them with a filter, and its index."""
    index = small_index(tmp_path, HANDBOOK)
    graph = {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["Thirty [1]."]}}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "k": 3},
            "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small", "max_tokens": 60}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 8}},
        },
        "output": "answer",
    }
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump(graph))
    lines: list[dict[str, Any]] = [{"id": f"q{n}", "question": f"who has leave {n}"} for n in range(5)]
    lines.append({"id": "q5", "question": "leave", "where": {"not": {"source": "nothing"}}})
    write_lines(tmp_path / "questions.jsonl", lines)
    words = ["batch", tmp_path / "questions.jsonl", "--graph", tmp_path / "graph.yaml", "--index", index]
    code, _, told = rag(*words, "--out", tmp_path / "out")
    assert code == 0, told
    return tmp_path / "out", index


class TestBatches:
    def test_a_batch_that_still_holds(self, batched: tuple[Path, Path], rag: Command) -> None:
        code, told = report(rag, batched[0])
        assert (code, told["verdict"], told["made_by"]) == (0, "same", "rag batch")
        assert (told["queries"], told["of"], told["left_out"], told["facts"]) == (5, 6, 1, [])
        assert told["measures"] == []
        said = rag("lab", "verify", batched[0])[1]
        assert "left out, as they had a filter or a history that the folder does not keep: 1" in said

    def test_another_answer_is_told(self, batched: tuple[Path, Path], rag: Command) -> None:
        out, _ = batched
        spec = json.loads((out / "run.json").read_text())
        spec["spec"]["models"]["small"]["with"]["replies"] = ["Forty [1]."]
        (out / "run.json").write_text(json.dumps(spec))
        code, told = report(rag, out)
        assert (code, told["verdict"], told["first_at"]) == (1, "configuration", {"answer": 5})
        answers = {(one["answers"]["before"]["text"], one["answers"]["now"]["text"]) for one in told["drifts"]}
        assert answers == {("Thirty [1].", "Forty [1].")}
        assert [(one["section"], one["name"]) for one in told["facts"]] == [("graph", "models.small")]

    def test_an_index_that_is_gone(self, batched: tuple[Path, Path], tmp_path: Path, rag: Command) -> None:
        out, index = batched
        index.rename(tmp_path / "moved")
        code, _, told = rag("lab", "verify", out)
        assert code == 4
        assert f"the index of '{out}' cannot be opened at '{index.absolute()}'" in told
        assert "--index" in told
        assert rag("lab", "verify", out, "--index", tmp_path / "moved")[0] == 0

    def test_a_batch_of_before(self, batched: tuple[Path, Path], rag: Command) -> None:
        out, index = batched
        (out / PROVENANCE).unlink()
        assert rag("lab", "verify", out)[0] == 2, "nobody knows where its index lies"
        code, told = report(rag, out, "--index", index)
        assert (code, told["verdict"], told["keeps_facts"], told["facts"]) == (0, "same", False, [])

    def test_lines_that_are_none(self, batched: tuple[Path, Path], rag: Command) -> None:
        out, _ = batched
        (out / "answers.jsonl").write_text('{"id": "q0"}\n')
        code, _, told = rag("lab", "verify", out)
        assert code == 2
        assert "answers.jsonl:1: no line of an answer" in told
        (out / "answers.jsonl").write_text("")
        assert "has no answer whose question can be asked again" in rag("lab", "verify", out)[2]

    def test_a_file_that_was_cut_off_is_named_with_what_writes_it(
        self, batched: tuple[Path, Path], rag: Command
    ) -> None:
        out, _ = batched
        (out / "run.json").write_text('{"graph":')
        code, _, told = rag("lab", "verify", out)
        assert code == 2
        assert "run.json is no JSON" in told
        assert "Run rag batch again" in told

    def test_measures_by_a_data_set(self, batched: tuple[Path, Path], tmp_path: Path, rag: Command) -> None:
        data = tmp_path / "set"
        data.mkdir()
        answers = [{"id": f"q{n}", "question": f"who has leave {n}", "answers": ["thirty"]} for n in range(5)]
        write_lines(data / "qa.jsonl", answers)
        code, told = report(rag, batched[0], "--dataset", data)
        assert code == 0
        assert {(one["measure"], one["difference"]) for one in told["measures"]} >= {("EM", 0.0), ("F1", 0.0)}
