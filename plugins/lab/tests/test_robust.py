"""Right, misleading and empty documents: a table worked by hand, work that goes on, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.lab.tests.conftest import Command, write_lines
from plugins.lab.tests.leaderboard.test_leaderboard import HOSTILE, read
from rag import Answer, Context, Query, SpecError
from rag.graphs import Part, load_spec
from ragline_lab.robust.questions import CONTEXTS, Question, load_questions, verdict_of
from ragline_lab.robust.report import RobustReport, is_better
from ragline_lab.robust.robust import robust
from ragline_lab.robust.ways import CLOSED_BOOK, UNDEFENDED, WAYS, Way, model_part, ways_of
from tests.small_legs import SmallModels

REFUSAL = "I don't know."


def document(kind: str, says: str) -> dict[str, Any]:
    return {"kind": kind, "text": f"The river flows {says}."}


SEINE = {
    "id": "seine",
    "question": "Where does the river Seine flow?",
    "answers": ["France"],
    "wrong_answers": ["Spain"],
    "documents": [document("right", "in France"), document("misleading", "in Spain"), document("noise", "today")],
}
RHINE = {
    "id": "rhine",
    "question": "Where does the river Rhine flow?",
    "answers": ["Germany", "Switzerland"],
    "wrong_answers": ["Norway"],
    "documents": [document("right", "in Germany"), document("misleading", "in Norway")],
}
OHIO = {
    "id": "ohio",
    "question": "Where does the river Ohio flow?",
    "answers": ["America"],
    "documents": [document("right", "in America"), document("noise", "slowly")],
}
LINES = [SEINE, RHINE, OHIO]

ASKED: dict[str, tuple[str, ...]] = {
    "zero": ("seine", "rhine", "ohio"),
    "right": ("seine", "rhine", "ohio"),
    "misleading": ("seine", "rhine"),
    "irrelevant": ("seine", "ohio"),
    "mixed": ("seine", "rhine"),
}
"""Which questions have documents for which context."""

SAID: dict[tuple[str, str], dict[str, Sequence[str]]] = {
    (CLOSED_BOOK, "zero"): {"seine": ["France."], "rhine": ["Norway."], "ohio": [REFUSAL]},
    ("cited", "right"): {"seine": ["In France [1]."], "rhine": ["In Germany [1]."], "ohio": ["In America [1]."]},
    ("cited", "misleading"): {"seine": ["In Spain [1]."], "rhine": ["In Norway [1]."]},
    ("cited", "irrelevant"): {"seine": [REFUSAL], "ohio": ["In Asia [1]."]},
    ("cited", "mixed"): {"seine": ["In France or in Spain [1]."], "rhine": ["In Norway [1]."]},
    ("vote", "right"): {"seine": ["France"], "rhine": ["Germany"], "ohio": [REFUSAL]},
    ("vote", "misleading"): {"seine": ["Spain"], "rhine": [REFUSAL]},
    ("vote", "irrelevant"): {"seine": [REFUSAL], "ohio": [REFUSAL]},
    ("vote", "mixed"): {"seine": ["France", "France", REFUSAL], "rhine": ["Germany", "Norway"]},
}
"""What the writer says in each way and context: to `vote` once for each document."""

BY_HAND: dict[tuple[str, str], dict[str, str]] = {
    (CLOSED_BOOK, "zero"): {"seine": "right", "rhine": "misled", "ohio": "refused"},
    ("cited", "right"): {"seine": "right", "rhine": "right", "ohio": "right"},
    ("cited", "misleading"): {"seine": "misled", "rhine": "misled"},
    ("cited", "irrelevant"): {"seine": "refused", "ohio": "other"},
    ("cited", "mixed"): {"seine": "misled", "rhine": "misled"},
    ("vote", "right"): {"seine": "right", "rhine": "right", "ohio": "refused"},
    ("vote", "misleading"): {"seine": "misled", "rhine": "refused"},
    ("vote", "irrelevant"): {"seine": "refused", "ohio": "refused"},
    ("vote", "mixed"): {"seine": "right", "rhine": "right"},  # one vote each: the first document's answer
}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    write_lines(tmp_path / "set.jsonl", LINES)
    return tmp_path / "set.jsonl"


def in_order(path: Path) -> list[str]:
    return [question.qid for question in load_questions(path)]


def replies(path: Path) -> list[str]:
    order = in_order(path)
    return [reply for said in SAID.values() for qid in order for reply in said.get(qid, ())]


def scripted(said: Sequence[str], names: Sequence[str] = ("cited", "vote")) -> list[Way]:
    part = Part(use="llm.scripted", params={"replies": list(said)})
    return ways_of({"scripted": part}, {}, search=load_spec("bm25"), names=names)


class TestByHand:
    @pytest.fixture
    def report(self, questions: Path, tmp_path: Path) -> RobustReport:
        return robust(questions, scripted(replies(questions)), out=tmp_path / "out")

    def test_verdicts_and_shares(self, report: RobustReport) -> None:
        rows = {(row.tried.way, row.tried.context): row for row in report.rows}
        assert list(rows) == list(BY_HAND)
        for place, verdicts in BY_HAND.items():
            assert {qid: line.verdict for qid, line in rows[place].tried.lines.items()} == verdicts
            n = len(verdicts)
            assert rows[place].shares == {
                verdict: pytest.approx(list(verdicts.values()).count(verdict) / n)
                for verdict in ("right", "misled", "other", "refused", "failed")
            }
            assert rows[place].tried.skipped == 3 - n

    def test_calls_and_documents(self, report: RobustReport) -> None:
        """A call a question where all is read at once, a call a document where each is read alone: 3 + 9 + 12."""
        calls = {
            (row.tried.way, row.tried.context): sum(line.calls for line in row.tried.lines.values())
            for row in report.rows
        }
        assert calls == {
            (CLOSED_BOOK, "zero"): 3,
            ("cited", "right"): 3, ("cited", "misleading"): 2, ("cited", "irrelevant"): 2, ("cited", "mixed"): 2,
            ("vote", "right"): 3, ("vote", "misleading"): 2, ("vote", "irrelevant"): 2, ("vote", "mixed"): 5,
        }  # fmt: skip
        mixed = next(row for row in report.rows if (row.tried.way, row.tried.context) == ("vote", "mixed"))
        assert (mixed.given, mixed.shown, mixed.calls) == (2.5, 2.5, 2.5)
        assert all(row.shown == row.given for row in report.rows), (
            "each question saw its own documents, and all of them"
        )
        assert all(line.read > 0 for row in report.rows for line in row.tried.lines.values())

    def test_beside_the_undefended_writer(self, report: RobustReport) -> None:
        compared = {one.measure: one.test.difference for one in report.defences["scripted"]["vote"]}
        assert compared == {
            "right, right": pytest.approx(-1 / 3),  # the cost
            "right, mixed": 1.0,
            "misled, mixed": -1.0,
            "misled, misleading": -0.5,
            "refused, irrelevant": 0.5,
        }
        assert all(is_better(one) is None for one in report.defences["scripted"]["vote"]), "two questions show nothing"

    def test_beside_no_documents_on_the_same_questions(self, report: RobustReport) -> None:
        beside = {(row.tried.way, row.tried.context): row.zero for row in report.rows}
        assert beside[CLOSED_BOOK, "zero"] is None
        mixed, right = beside["vote", "mixed"], beside["cited", "right"]
        assert mixed is not None
        assert right is not None
        assert (mixed.baseline, mixed.run) == (0.5, 1.0), "of the two that have both kinds, one was known"
        assert right.baseline == pytest.approx(1 / 3)
        assert right.run == 1.0

    def test_the_files_say_the_same(self, report: RobustReport, tmp_path: Path) -> None:
        out = tmp_path / "out"
        assert json.loads((out / "robust.json").read_text()) == json.loads(json.dumps(report.as_dict()))
        text = (out / "robust.md").read_text()
        assert "| scripted | vote | mixed | 2 | 1 | 1.00 \\[1.00, 1.00\\] |" in text
        assert "| defence | costs: right, right | gains: right, mixed |" in text
        page = read((out / "robust.html").read_text())
        assert page.tags.isdisjoint({"script", "img", "link", "iframe", "a"})
        lines = [json.loads(line) for line in (out / "lines.jsonl").read_text().splitlines()]
        assert len(lines) == sum(map(len, BY_HAND.values()))
        assert {line["answer"] for line in lines if line["way"] == "cited" and line["context"] == "right"} == {
            "In France [1].", "In Germany [1].", "In America [1].",
        }  # fmt: skip


def test_a_difference_is_called_one_where_it_is_shown(tmp_path: Path) -> None:
    """Twelve questions, all misled by one way and none by the other: 2 / 2^12 for each of five comparisons."""
    lines = [{**SEINE, "id": f"q{number}"} for number in range(12)]
    write_lines(tmp_path / "set.jsonl", lines)
    n = 12
    said = ["France."] * n + ["In France [1]."] * n + ["Spain [1]."] * n + [REFUSAL] * n + ["Spain [1]."] * n
    said += ["France"] * n + ["France"] * n + [REFUSAL] * n + ["France"] * 3 * n
    report = robust(tmp_path / "set.jsonl", scripted(said), out=tmp_path / "out")
    better = {one.measure: is_better(one) for one in report.defences["scripted"]["vote"]}
    assert better == {
        "right, right": None,
        "right, mixed": True,
        "misled, mixed": True,
        "misled, misleading": True,
        "refused, irrelevant": None,
    }
    [mixed] = [one for one in report.defences["scripted"]["vote"] if one.measure == "misled, mixed"]
    assert mixed.test.p == pytest.approx(2 / 2**12)
    assert mixed.p == pytest.approx(5 * 2 / 2**12), "corrected for the five"


def test_calls_are_those_of_the_writer_and_not_of_an_encoder(
    questions: Path, tmp_path: Path, small_models: SmallModels
) -> None:
    search = {
        "version": 1,
        "index": {"dense": {"encoder": str(small_models.sentences), "compute": "float32"}},
        "nodes": {"dense": {"use": "retrieve.dense", "k": 10}},
        "output": "dense",
    }
    part = Part(use="llm.scripted", params={"replies": ["France [1]."]})
    ways = ways_of({"scripted": part}, {}, search=load_spec(search), names=["cited", "vote"])
    report = robust(questions, ways, out=tmp_path / "out")
    calls = {
        (row.tried.way, row.tried.context): [line.calls for line in row.tried.lines.values()] for row in report.rows
    }
    assert calls["cited", "right"] == [1, 1, 1]
    assert sorted(calls["vote", "mixed"]) == [2, 3]


class TestGoingOn:
    def test_what_is_done_is_not_asked_again(self, questions: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        first = robust(questions, scripted(replies(questions)), out=out)
        kept = (out / "lines.jsonl").read_bytes()
        again = robust(questions, scripted(["not asked"]), out=tmp_path / "other")
        assert again.as_dict() != first.as_dict()
        same = robust(questions, scripted(replies(questions)), out=out)
        assert (out / "lines.jsonl").read_bytes() == kept
        assert same.as_dict() == first.as_dict()

    def test_a_run_that_was_killed_goes_on(self, questions: Path, tmp_path: Path) -> None:
        out, ways = tmp_path / "out", scripted(["France [1]."])
        whole = robust(questions, ways, out=out)
        lines = (out / "lines.jsonl").read_bytes().splitlines(keepends=True)
        (out / "lines.jsonl").write_bytes(b"".join(lines[:7]) + lines[7][:20])
        assert robust(questions, scripted(["France [1]."]), out=out).as_dict() == whole.as_dict()
        after = (out / "lines.jsonl").read_bytes().splitlines(keepends=True)
        assert after[:7] == lines[:7]
        assert sorted(json.loads(line)["key"] for line in after) == sorted(json.loads(line)["key"] for line in lines)

    def test_a_line_that_was_deleted_is_asked_again(self, questions: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        robust(questions, scripted(["France [1]."]), out=out)
        first, second, *others = (out / "lines.jsonl").read_bytes().splitlines(keepends=True)
        (out / "lines.jsonl").write_bytes(b"".join([first, *others]))
        robust(questions, scripted(["France [1]."]), out=out)
        *kept, again = (out / "lines.jsonl").read_bytes().splitlines(keepends=True)
        assert kept == [first, *others]
        assert json.loads(again)["key"] == json.loads(second)["key"]

    def test_an_answer_that_failed_is_asked_again(self, questions: Path, tmp_path: Path) -> None:
        out, said = tmp_path / "out", replies(questions)
        said[2] = ""

        def verdicts() -> list[str]:
            [zero, *_] = robust(questions, scripted(said), out=out).rows
            return [line.verdict for line in zero.tried.lines.values()]

        assert verdicts()[2] == "failed"
        before = (out / "lines.jsonl").read_bytes()
        assert verdicts()[2] != "failed", "asked alone, it gets the first reply"
        kept = (out / "lines.jsonl").read_bytes()
        assert (kept.startswith(before), len(kept.splitlines())) == (True, len(before.splitlines()) + 1)
        assert verdicts()[2] != "failed"
        assert (out / "lines.jsonl").read_bytes() == kept

    def test_more_questions_keep_what_fewer_had(self, questions: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        few = robust(questions, scripted(["France [1]."]), out=out, limit=1)
        assert few.questions == 1
        kept = (out / "lines.jsonl").read_bytes()
        assert robust(questions, scripted(["France [1]."]), out=out).questions == 3
        assert (out / "lines.jsonl").read_bytes().startswith(kept)
        first = in_order(questions)[0]
        assert {json.loads(line)["id"] for line in kept.splitlines()} == {first}

    def test_a_changed_question_is_asked_anew(self, questions: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        robust(questions, scripted(["France [1]."]), out=out)
        n = len((out / "lines.jsonl").read_bytes().splitlines())
        write_lines(questions, [{**SEINE, "answers": ["Gaul"]}, RHINE, OHIO])
        report = robust(questions, scripted(["France [1]."]), out=out)
        assert len((out / "lines.jsonl").read_bytes().splitlines()) == n + 9, "one of zero, four each of two ways"
        [zero, *_] = report.rows
        assert zero.tried.lines["seine"].verdict == "other"

    def test_a_line_of_something_else(self, questions: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        out.mkdir()
        (out / "lines.jsonl").write_text('{"key": "x", "verdict": "fine"}\n')
        with pytest.raises(SpecError, match="a line is none of rag lab robust"):
            robust(questions, scripted(["x"]), out=out)


class TestQuestions:
    def test_the_words_of_ramdocs_are_read(self, tmp_path: Path) -> None:
        documents = [{"type": "correct", "text": "a"}, {"type": "misinfo", "text": "b"}, {"type": "noise", "text": "c"}]
        line = {**SEINE, "wrong_answers": ["Spain", "Spain", "France"], "documents": documents}
        write_lines(tmp_path / "set.jsonl", [line])
        [question] = load_questions(tmp_path / "set.jsonl")
        assert question.documents == {"right": 1, "misleading": 1, "noise": 1}
        assert question.wrong == ("Spain",), "a right answer is not planted"
        assert all(kind.is_of(question) for kind in CONTEXTS.values())

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"documents": [{"kind": "wrong", "text": "x"}]}, "document 1 is of the kind 'wrong'"),
            ({"documents": [{"text": "x"}]}, "document 1 is of the kind None"),
            ({"documents": [{"kind": "right", "text": " "}]}, "document 1 has no text"),
            ({"documents": [{"kind": "right", "text": "x"}, 3]}, "document 2: an object with kind and text is wanted"),
            ({"documents": {"kind": "right"}}, "'documents' must be a list"),
            ({"documents": [{"kind": "right", "text": "x", "title": 3}]}, "its title must be text"),
            ({"question": ""}, "a question is wanted"),
            ({"answers": []}, "'answers' names no right answer"),
            ({"answers": [3]}, "'answers' must be a list of texts"),
            ({"wrong_answers": {"a": 1}}, "'wrong_answers' must be a list of texts"),
            ({"id": "rhine"}, "the id 'rhine' is there twice"),
        ],
    )
    def test_a_wrong_line_is_named(self, change: Mapping[str, Any], why: str, tmp_path: Path, rag: Command) -> None:
        file = tmp_path / "set.jsonl"
        write_lines(file, [RHINE, {**SEINE, **change}])
        words = ["lab", "robust", "--set", file, "--model", "smollm2-135m-instruct", "--out", tmp_path / "out"]
        code, _, told = rag(*words)
        assert code == 2
        assert f"{file}:2: " in told
        assert why in told
        assert not (tmp_path / "out").exists(), "nothing was begun"

    def test_no_question_and_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "set.jsonl").write_text("\n")
        with pytest.raises(SpecError, match="has no question"):
            load_questions(tmp_path / "set.jsonl")
        with pytest.raises(SpecError, match="cannot be read"):
            load_questions(tmp_path / "none.jsonl")

    def test_questions_without_documents_have_the_zero_row_alone(self, tmp_path: Path) -> None:
        claims = [
            {"id": n, "question": f"Is {n} odd?", "answers": ["true"], "wrong_answers": ["false"]} for n in (1, 2)
        ]
        write_lines(tmp_path / "set.jsonl", claims)
        report = robust(tmp_path / "set.jsonl", scripted(["True.", "False."]), out=tmp_path / "out")
        [row] = report.rows
        assert (row.tried.way, row.tried.context, row.shares["right"], row.shares["misled"]) == (
            CLOSED_BOOK,
            "zero",
            0.5,
            0.5,
        )
        assert (report.without_documents, report.never) == (2, ("right", "misleading", "irrelevant", "mixed"))
        assert report.defences == {"scripted": {}}
        assert "no question has documents for: right, misleading" in (tmp_path / "out" / "robust.md").read_text()

    def test_questions_that_lack_a_kind_are_skipped_and_counted(self, questions: Path, tmp_path: Path) -> None:
        write_lines(questions, [SEINE, {**OHIO, "documents": []}])
        report = robust(questions, scripted(["x [1]."], ["cited"]), out=tmp_path / "out")
        skipped = {row.tried.context: (len(row.tried.lines), row.tried.skipped) for row in report.rows}
        assert skipped == {
            "zero": (2, 0), "right": (1, 1), "misleading": (1, 1), "irrelevant": (1, 1), "mixed": (1, 1),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "status", "verdict"),
    [
        ("In France [1].", "answered", "right"),
        ("france", "answered", "right"),
        ("In Frances.", "answered", "other"),
        ("Not in Spain but in France.", "answered", "misled"),
        ("I don't know.", "no_answer", "refused"),
        ("", "failed", "failed"),
    ],
)
def test_verdicts_of_answers(text: str, status: Any, verdict: str) -> None:
    question = Question(qid="q", text="?", answers=("France",), wrong=("Spain",))
    query = Query(qid="q", text="?")
    answer = Answer(query=query, text=text, context=Context(query=query), status=status)
    assert verdict_of(answer, question) == verdict


ANSWERS: dict[str, Any] = {
    "version": 1,
    "models": {"own": {"use": "llm.scripted", "with": {"replies": ["In France [1]."]}}},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "k": 10},
        "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "own", "max_passages": 1}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "own"}},
        "checked": {"use": "check.words", "in": "answer"},
    },
    "output": "checked",
}


class TestWays:
    def test_graphs_of_the_user(self, questions: Path, tmp_path: Path, rag: Command) -> None:
        other = json.loads(json.dumps(ANSWERS))
        other["nodes"]["context"]["with"]["max_passages"] = 2
        (tmp_path / "one.yaml").write_text(yaml.safe_dump(ANSWERS))
        (tmp_path / "two.yaml").write_text(yaml.safe_dump(other))
        graphs = ["--graph", f"one={tmp_path / 'one.yaml'}", "--graph", f"two={tmp_path / 'two.yaml'}"]
        words = ["lab", "robust", "--set", questions, *graphs, "--baseline", "one", "--out", tmp_path / "out"]
        code, said, told = rag(*words, "--json")
        assert code == 0, told
        report = json.loads(said)
        assert {(row["model"], row["way"]) for row in report["rows"]} == {
            ("llm.scripted", CLOSED_BOOK), ("llm.scripted", "one"), ("llm.scripted", "two"),
        }  # fmt: skip
        shown = {(row["way"], row["context"]): row["per_question"]["shown"] for row in report["rows"]}
        assert (shown["one", "mixed"], shown["two", "mixed"]) == (1, 2), "documents that the graph leaves out are told"
        assert set(report["defences"]["llm.scripted"]) == {"two"}
        assert report["command"][:3] == ["rag", "lab", "robust"]
        code, said, _ = rag(*words)
        assert code == 0
        assert "set.jsonl: 3 questions, 0 of them without documents" in said
        assert "llm.scripted, two beside one: right, right +0.00 [+0.00, +0.00] p = 1.000, not shown to differ" in said
        assert f"page: {tmp_path / 'out' / 'robust.html'}" in said

    def test_ways_by_model(self) -> None:
        spec = load_spec(ANSWERS)
        models = {"a": model_part("a.gguf"), "b": model_part("b", "vllm_offline")}
        assert [part.use for part in models.values()] == ["llm.llama_cpp", "llm.vllm_offline"]
        part = Part(use="llm.scripted", params={"replies": ["In France [1]."]})
        ways = ways_of({"scripted": part}, {"mine": spec}, search=load_spec("bm25"))
        assert [(way.model, way.name) for way in ways] == [
            ("scripted", name) for name in (CLOSED_BOOK, *WAYS, "mine")
        ]  # the graph writes with the same model
        alone = ways_of({}, {"mine": spec}, search=load_spec("bm25"))
        assert [way.name for way in alone] == [CLOSED_BOOK, UNDEFENDED, "mine"]
        [*_, last] = ways_of({"scripted": part}, {}, search=load_spec("bm25"), names=["vote"])
        assert last.name == "vote"
        assert ways_of({"scripted": part}, {}, search=load_spec("bm25"), names=["vote"])[1].name == UNDEFENDED

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            ([], "no way to answer is named: give --model NAME, or --graph NAME=FILE"),
            (["--graph", "ask"], "--graph ask: NAME=FILE is wanted"),
            (["--graph", "a=ask", "--graph", "a=ask"], "the name 'a' is given twice"),
            (["--graph", "vote=closed-book"], "'vote' is the name of a built-in way"),
            (["--graph", "mine=bm25"], "ends in rankings; the way 'mine' has to end in answers"),
            (["--graph", "mine={own}", "--baseline", "votes"], "no way 'votes' to compare with"),
            (["--graph", "mine={own}", "--search", "closed-book"], "does not end in rankings"),
            (["--model", "smollm2-135m-instruct", "--ways", "vote crowd"], "no built-in way 'crowd'"),
            (["--graph", "mine={strange}"], "node 'answer': no component named 'generate.nothing'"),
        ],
    )
    def test_wrong_ways(self, words: list[str], why: str, questions: Path, tmp_path: Path, rag: Command) -> None:
        strange = json.loads(json.dumps(ANSWERS).replace("generate.cited", "generate.nothing"))
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(ANSWERS))
        (tmp_path / "strange.yaml").write_text(yaml.safe_dump(strange))
        for name in ("own", "strange"):
            words = [word.replace(f"{{{name}}}", str(tmp_path / f"{name}.yaml")) for word in words]
        code, _, told = rag("lab", "robust", "--set", questions, *words, "--out", tmp_path / "out")
        assert code == 2
        assert why in told


def test_hostile_names_reach_the_page_and_markdown_as_text(tmp_path: Path) -> None:
    lines = [{**SEINE, "id": HOSTILE, "question": f"{HOSTILE} river"}, {**RHINE, "id": f"{HOSTILE} 2"}]
    write_lines(tmp_path / "set.jsonl", lines)
    part = Part(use="llm.scripted", params={"replies": [f"{HOSTILE} [1]."]})
    ways = ways_of({HOSTILE: part}, {HOSTILE: load_spec(ANSWERS)}, search=load_spec("bm25"), names=["cited"])
    robust(tmp_path / "set.jsonl", ways, out=tmp_path / "out", command=["rag", HOSTILE])
    text = (tmp_path / "out" / "robust.html").read_text()
    found = read(text)
    assert found.tags.isdisjoint({"script", "img", "link", "iframe", "object", "base", "a"})
    assert not any(name.startswith("on") for name in found.others)
    assert "\u202e" not in text
    assert not re.search(r"https?://|@import|url\(", text)
    assert not re.search(r"(?<!\\)<img", (tmp_path / "out" / "robust.md").read_text())


@pytest.mark.models
def test_a_real_writer(questions: Path, tmp_path: Path) -> None:
    """A question through the smallest model: every row is there, and `vote` asks once for each document."""
    write_lines(questions, [SEINE])
    ways = ways_of(
        {"small": model_part("smollm2-135m-instruct")}, {}, search=load_spec("bm25"), names=["cited", "enough", "vote"]
    )
    report = robust(questions, ways, out=tmp_path / "out")
    calls = {
        (row.tried.way, row.tried.context): sum(line.calls for line in row.tried.lines.values()) for row in report.rows
    }
    assert (calls[CLOSED_BOOK, "zero"], calls["cited", "mixed"], calls["vote", "mixed"]) == (1, 1, 3)
    assert 1 <= calls["enough", "mixed"] <= 2, "asked first, and then answered or not"
    assert len(calls) == 1 + 3 * 4
    assert all(line.written > 0 for row in report.rows if row.tried.way == "cited" for line in row.tried.lines.values())
