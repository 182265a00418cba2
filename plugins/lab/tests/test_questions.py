"""Test sets of one's own corpus: what is drawn, what is dropped and counted, and what the folder then holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.lab.tests.conftest import Command, write_lines
from plugins.lab.tests.scripts import Chooser, Writer, named
from rag import Document, SpecError, build_index
from rag.evaluate import evaluate_graph, load_beir
from rag.graphs import load_spec
from rag.indexes import IndexSettings
from ragline_lab.questions import making
from ragline_lab.questions.elsewhere import Elsewhere, open_elsewhere
from ragline_lab.questions.legs_alone import searchers
from ragline_lab.questions.making import draw, make_questions
from ragline_lab.questions.report import QuestionsReport
from ragline_lab.questions.words import Repeats, fault
from ragline_lab.questions.writer import parse_written
from retrievers.index.directory import LocalIndex
from retrievers.legs import LEGS
from tests.small_legs import SmallModels

SUBJECTS = (
    "valves", "frames", "bearings", "pumps", "tubes", "gauges", "belts", "filters", "seals", "motors", "drills", "lamps",
)  # fmt: skip


def text_of(place: int, subject: str) -> str:
    return (
        f"The workshop keeps its {subject} in store number {place + 10} beside the old gate. They are checked by Ada every "
        f"spring, oiled by her brother in May, and thrown away after {place + 30} years of use in the yard."
    )


ALL = dict(enumerate(SUBJECTS))


def corpus_of(folder: Path, subjects: Mapping[int, str] = ALL, prefix: str = "d") -> Path:
    folder.mkdir(parents=True)
    records = [
        {"_id": f"{prefix}{place:02d}", "title": "", "text": text_of(place, subject)}
        for place, subject in subjects.items()
    ]
    write_lines(folder / "corpus.jsonl", records)
    return folder


def index_of(folder: Path, place: Path) -> LocalIndex:
    build_index([folder / "corpus.jsonl"], place, legs=("lexical",))
    return LocalIndex.open(place)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_of(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="module")
def index(data: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    return index_of(data, tmp_path_factory.mktemp("index") / "idx")


def subject_in(prompt: str) -> str:
    return next(subject for subject in SUBJECTS if f"keeps its {subject} " in prompt)


def good(prompt: str) -> str:
    """A question that the passage of a prompt answers."""
    subject = subject_in(prompt)
    return f" Where does the workshop keep {subject}?\nAnswer: store number {SUBJECTS.index(subject) + 10}"


BAD: dict[str, str] = {
    "valves": " I cannot do that.",
    "frames": " What does the passage say about the gate?\nAnswer: old gate",
    "bearings": " Who keeps its bearings in store number 12 beside the old gate, tell me?\nAnswer: workshop",
    "pumps": " Where does the workshop keep pumps?\nAnswer: in a cellar",
    "tubes": " What is done to tubes?\nAnswer: They are checked by Ada every spring, oiled by her brother in May, and thrown "
    "away after 34 years",
    "gauges": " Zyx wvut srqp onml?\nAnswer: store number 15",
}
REASONS = ["unreadable", "names the passage", "copied", "no such answer", "long answer", "not found"]


def mixed(prompt: str) -> str:
    return BAD.get(subject_in(prompt)) or good(prompt)


def lines_in(out: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (out / "lines.jsonl").read_text().splitlines()]


def kept_in(out: Path) -> set[str]:
    return {item.question for item in load_beir(out).items()}


def test_what_cannot_be_used_is_dropped_for_its_reason_and_counted(index: LocalIndex, tmp_path: Path) -> None:
    report = make_questions(index, named(Writer(mixed)), n=12, out=tmp_path / "set")
    dropped = {line["source"]: line["dropped"] for line in lines_in(tmp_path / "set") if line["dropped"]}
    assert dropped == {f"d{place:02d}": reason for place, reason in enumerate(REASONS)}
    assert report.own.dropped == dict.fromkeys(REASONS, 1)
    assert (len(report.own.kept), report.own.looked_at) == (6, 12)
    told = "\n".join(report.lines())
    assert "a bias to know of: 1 were dropped because none of lexical finds the passage" in told
    assert "6 of 12 questions: there are no more passages" in report.warnings()[0]
    unreadable = next(line for line in lines_in(tmp_path / "set") if line["dropped"] == "unreadable")
    assert unreadable["reply"].endswith("I cannot do that.")


def test_the_folder_is_a_data_set_that_says_how_it_was_made(index: LocalIndex, tmp_path: Path) -> None:
    out = tmp_path / "set"
    report = make_questions(index, named(Writer(good)), n=4, out=out, seed=3, command=("rag", "lab"))
    dataset = load_beir(out)
    assert [query.qid for query in dataset.queries] == ["q1", "q2", "q3", "q4"]
    sources = [line.source for line in report.own.kept]
    assert dataset.qrels() == {f"q{place}": {source: 1} for place, source in enumerate(sources, start=1)}
    items = list(dataset.items())
    assert [item.supporting for item in items] == [(source,) for source in sources]
    assert all(item.answerable and item.answers[0].startswith("store number") for item in items)
    assert {document.doc_id for document in dataset.documents()} == {f"d{place:02d}" for place in range(12)}
    made = json.loads((out / "questions.json").read_text())
    assert made["made_by"]["model"] == {"name": "scripted"}
    assert made["made_by"]["index"] == index.identity
    assert made["made_by"]["seed"] == 3
    assert made["made_by"]["command"] == ["rag", "lab"]
    assert len(made["made_by"]["prompts"]["question_written"]) == 64
    assert made["answerable"]["kept"] == 4
    evaluated = evaluate_graph(dataset, load_spec("bm25"), out=tmp_path / "run")
    assert evaluated.evaluation.measures["R@100"] == 1.0


def test_documents_of_the_data_set_that_an_index_is_made_of_are_judged_and_linked(
    index: LocalIndex, data: Path, tmp_path: Path
) -> None:
    make_questions(index, named(Writer(good)), n=2, out=tmp_path / "set", corpus=load_beir(data))
    assert (tmp_path / "set" / "corpus.jsonl").is_symlink()
    assert (tmp_path / "set" / "corpus.jsonl").read_bytes() == (data / "corpus.jsonl").read_bytes()
    other = corpus_of(tmp_path / "other", prefix="x")
    with pytest.raises(SpecError, match="lacks 12 documents of the index, first 'd00'"):
        make_questions(index, named(Writer(good)), n=2, out=tmp_path / "wrong", corpus=load_beir(other))


def test_a_set_goes_on_where_it_was_stopped_and_ends_as_if_it_had_not(
    index: LocalIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BATCH", 4)
    first, second, whole = Writer(mixed), Writer(mixed), Writer(mixed)
    make_questions(index, named(first), n=2, out=tmp_path / "set")
    make_questions(index, named(second), n=6, out=tmp_path / "set")
    make_questions(index, named(whole), n=6, out=tmp_path / "whole")
    assert 0 < len(first.asked) < 12
    assert first.asked + second.asked == whole.asked
    for name in ("queries.jsonl", "qa.jsonl", "qrels/test.tsv"):
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(SpecError, match=r"was made with another model\. Questions of two ways"):
        make_questions(index, named(Writer(good), "other"), n=6, out=tmp_path / "set")
    with pytest.raises(SpecError, match="was made with another seed"):
        make_questions(index, named(Writer(good)), n=6, out=tmp_path / "set", seed=1)


def test_a_model_that_repeats_its_question_is_told(index: LocalIndex, tmp_path: Path) -> None:
    report = make_questions(
        index,
        named(Writer(lambda prompt: " Who checks all of it in the workshop?\nAnswer: Ada")),
        n=3,
        out=tmp_path / "set",
    )
    assert (len(report.own.kept), report.own.dropped) == (1, {"same words": 11})
    assert report.warnings() == ["1 of 3 questions: the model repeats itself: 11 of 12 were asked before"]


def test_a_model_that_writes_nothing_of_use_is_given_up(
    index: LocalIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        SpecError, match=r"no question about index '.*idx' was kept of 12 of 12 passages.* 12: the model wrote no"
    ):
        make_questions(index, named(Writer(lambda prompt: "No.")), n=3, out=tmp_path / "set")
    monkeypatch.setattr(making, "PATIENCE", 5)
    monkeypatch.setattr(making, "BATCH", 3)
    silent = Writer(lambda prompt: good(prompt) if "valves" in prompt else "No.")
    with pytest.raises(SpecError):
        make_questions(index, named(Writer(lambda prompt: "No."), "patient"), n=3, out=tmp_path / "patient")
    assert len(lines_in(tmp_path / "patient")) == 6
    monkeypatch.setattr(making, "PATIENCE", 12)
    report = make_questions(index, named(silent), n=3, out=tmp_path / "silent")
    assert len(report.own.kept) == 1


def test_an_index_without_long_passages_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_lines(folder / "corpus.jsonl", [{"_id": "a", "title": "Frames", "text": "Frames are brazed."}])
    with pytest.raises(SpecError, match="no passage that can be asked about: of 1, 1 are too short"):
        make_questions(index_of(folder, tmp_path / "idx"), named(Writer(good)), n=3, out=tmp_path / "set")


def test_an_answer_that_the_model_does_not_give_again_is_dropped(index: LocalIndex, tmp_path: Path) -> None:
    def say(prompt: str) -> str:
        if "Short answer:" not in prompt:
            return good(prompt)
        if "keeps its valves" in prompt:
            return "I don't know."
        return (
            "in the yard"
            if "keeps its frames" in prompt
            else f"It is in store number {prompt.split('number ')[1][:2]}."
        )

    report = make_questions(index, named(Writer(say)), n=12, out=tmp_path / "set", check_answers=True)
    dropped = {line["source"]: line["dropped"] for line in lines_in(tmp_path / "set") if line["dropped"]}
    assert dropped == {"d00": "answered otherwise", "d01": "answered otherwise"}
    assert len(report.own.kept) == 10


def elsewhere_of(tmp_path: Path) -> Elsewhere:
    """Another corpus: half of its passages are about things that the own one has under the same numbers."""
    corpus_of(tmp_path / "there", {0: "valves", 1: "kites", 52: "boats"}, prefix="o")
    return Elsewhere(name="there", index=index_of(tmp_path / "there", tmp_path / "there-idx"))


def asks_there(prompt: str) -> str:
    for subject, answer in (("kites", "number 11"), ("boats", "thrown away after 82 years")):
        if f"its {subject} " in prompt:
            return f" What about {subject}?\nAnswer: {answer}"
    return good(prompt)


def test_questions_of_another_corpus_are_kept_if_no_passage_found_here_has_the_answer(
    index: LocalIndex, tmp_path: Path
) -> None:
    report = make_questions(
        index, named(Writer(asks_there)), n=3, out=tmp_path / "set", elsewhere=elsewhere_of(tmp_path), unanswerable=3
    )
    # valves are here under the same number; nothing is found here for kites and boats
    assert report.others.dropped == {"answered here": 1}
    assert {line.question for line in report.others.kept} == {"What about kites?", "What about boats?"}
    items = {item.qid: item for item in load_beir(tmp_path / "set").items()}
    assert (items["u1"].answerable, items["u1"].answers, items["u1"].supporting) == (False, (), ())
    assert {query.qid for query in load_beir(tmp_path / "set").queries} == {"q1", "q2", "q3"}
    assert "2 questions without an answer of 3 wanted, from 3 of 'there'" in report.lines()


@pytest.mark.parametrize(("says", "kept"), [("Yes", 0), ("No", 2)])
def test_a_model_that_can_choose_also_says_whether_passages_are_enough(
    index: LocalIndex, tmp_path: Path, says: str, kept: int
) -> None:
    def say(prompt: str) -> str:
        return (
            says
            if "Say Yes or No" in prompt
            else asks_there(prompt).replace("What about", "Which store of the workshop has")
        )

    report = make_questions(
        index, named(Chooser(say)), n=3, out=tmp_path / "set", elsewhere=elsewhere_of(tmp_path), unanswerable=3
    )
    # the words of "number 11" stand in the passage on frames, so kites are dropped without asking
    assert len(report.others.kept) == max(0, kept - 1)


def test_questions_of_people_about_something_else_are_taken_as_they_are(index: LocalIndex, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    asked: list[dict[str, Any]] = [
        {"id": "1", "question": "Who painted the canteen?", "answers": ["Bo"]},
        {"id": "2", "question": "Who checks?"},
    ]
    write_lines(folder / "qa.jsonl", asked)
    people = open_elsewhere(str(folder))
    with pytest.raises(SpecError, match=r"1 questions of .* come without an answer, and this model cannot say"):
        make_questions(index, named(Writer(good)), n=2, out=tmp_path / "set", elsewhere=people, unanswerable=2)
    chooser = Chooser(lambda prompt: "Yes" if "Say Yes or No" in prompt else good(prompt))
    report = make_questions(index, named(chooser), n=2, out=tmp_path / "chosen", elsewhere=people, unanswerable=2)
    assert [line.question for line in report.others.kept] == ["Who painted the canteen?"]
    assert open_elsewhere(str(folder / "qa.jsonl")).items == people.items
    (folder / "qa.jsonl").write_text("")
    with pytest.raises(SpecError, match="holds no question"):
        open_elsewhere(str(folder))


def test_a_draw_is_spread_over_documents_and_the_first_of_a_larger_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for place in range(4):
        parts = [
            f"## {part}\n\n{text_of(place * 10 + part, f'tools of kind {place}')}" for part in range(1 + 3 * place)
        ]
        (folder / f"f{place}.md").write_text("# Tools\n\n" + "\n\n".join(parts))
    settings = IndexSettings.model_validate({"chunking": {"tokens": 64}})
    build_index([folder], tmp_path / "idx", settings=settings, legs=("lexical",))
    with LocalIndex.open(tmp_path / "idx") as index:
        whole = draw(index, n=1000, seed=0)
        parents = [index.documents[row].parent for row in whole.rows]
        assert len(index) == whole.passages == len(whole.rows) + whole.short
        assert len(set(parents[:4])) == 4
        assert len(set(parents[4:7])) == 3  # the shortest document has no second passage
        assert draw(index, n=5, seed=0).rows == whole.rows[:5]
        assert draw(index, n=1000, seed=1).rows != whole.rows
        monkeypatch.setattr(making, "_SPARE", 1)  # what is forgotten on the way changes nothing
        assert [draw(index, n=n, seed=0).rows for n in range(1, 25)] == [whole.rows[:n] for n in range(1, 25)]


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("What is oiled in May?", "valves", ""),
        ("What does the text above describe?", "valves", "names the passage"),
        ("According to this short article, what is oiled?", "valves", "names the passage"),
        ("What does this function return?", "valves", "names the passage"),
        ("Which text editor opens valves?", "valves", ""),
        ("What documents are needed?", "valves", ""),
        ("What is oiled in the context of spring?", "valves", ""),
        ("Are They checked by Ada every spring, OILED by her, or not?", "valves", "copied"),
        ("Are they checked by Ada each spring?", "valves", ""),
        ("What is oiled?", "vases", "no such answer"),
        ("What is oiled?", "The Valves!", ""),
    ],
)
def test_words_of_a_question(question: str, answer: str, reason: str) -> None:
    assert fault(question, answer, Document(doc_id="d", text=text_of(0, "valves"))) == reason


@pytest.mark.parametrize(
    ("reply", "question", "answer"),
    [
        ("Question: Where are valves?\nAnswer: store 10", "Where are valves?", "store 10"),
        (
            "**Question:** Where are valves?\n\n**Answer:** store 10\n\nQuestion: And pumps?",
            "Where are valves?",
            "store 10",
        ),
        ('Question: Where are valves?\nShort answer:\n"store 10"', "Where are valves?", "store 10"),
        ("<think>hm</think>Question: Where are valves?\nAnswer: store 10", "Where are valves?", "store 10"),
        ("Question: Where are valves?\nAnswer: The valves are in store 10.", "Where are valves?", "in store 10."),
        ("Question: Are valves old or new?\nAnswer: old", "Are valves old or new?", "old"),
        ("Question: Where are valves?", "", ""),
        ("Question: Valves?\nAnswer: store 10", "", ""),
        ("Question: Where are valves?\nAnswer:\n", "", ""),
        ("", "", ""),
    ],
)
def test_a_reply_is_read_for_its_first_question_and_answer(reply: str, question: str, answer: str) -> None:
    written = parse_written(reply)
    assert (written.question, written.answer) == (question, answer)


@pytest.mark.parametrize(
    ("nearest", "reasons"), [(1.01, ["", "", "same words"]), (-1.01, ["", "same meaning", "same words"])]
)
def test_questions_are_repeated_by_words_or_by_vectors(
    small_models: SmallModels, data: Path, tmp_path: Path, nearest: float, reasons: list[str]
) -> None:
    settings = IndexSettings.model_validate({"dense": {"encoder": str(small_models.sentences), "compute": "float32"}})
    build_index([data / "corpus.jsonl"], tmp_path / "idx", settings=settings, legs=("lexical", "dense"))
    with LocalIndex.open(tmp_path / "idx") as index:
        repeats = Repeats(index, nearest=nearest)
        assert repeats.sieve(["a b c d", "x y z", "A b, c d!"]) == reasons


def command(index: Path, out: Path, graph: Path, *more: str) -> list[str]:
    return ["lab", "questions", "--index", str(index), "--model", f"{graph}#small", "--out", str(out), *more]


def test_the_command_says_what_it_kept_and_what_not(
    index: LocalIndex, tmp_path: Path, rag: Command, graph_of: Callable[..., Path]
) -> None:
    graph = graph_of(" Where are things kept by the workshop?\nAnswer: old gate")
    code, said, told = rag(*command(Path(index.address), tmp_path / "set", graph, "--n", "2"))
    assert code == 0, told
    assert "1 questions of 2 wanted, from 12 of 12 passages (0 are too short)" in said
    assert "11  it was asked before in the same words" in said
    assert "found within 50 by: lexical 1" in said
    assert "no questions without an answer: they are asked of another corpus" in said
    assert "1 of 2 questions: the model repeats itself" in told
    code, said, _ = rag(*command(Path(index.address), tmp_path / "set", graph, "--n", "2", "--json"))
    report = json.loads(said)
    assert (code, report["answerable"]["kept"], report["unanswerable"]["kept"]) == (0, 1, 0)
    code, _, told = rag(*command(Path(index.address), tmp_path / "set", graph, "--unanswerable", "2"))
    assert code == 2
    assert "--unanswerable wants --unanswerable-from" in told


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("{graph}#larger", "has no model 'larger'. Did you mean 'large'"),
        ("{graph}", "has several models: large, small. Say which, as"),
        ("{graph}#", "has several models"),
        ("bm25", "the graph 'bm25' has no model that writes"),
        ("nothing-there.yaml", "no graph 'nothing-there.yaml'"),
    ],
)
def test_a_model_that_is_not_there_is_told(
    index: LocalIndex, tmp_path: Path, rag: Command, graph_of: Callable[..., Path], model: str, says: str
) -> None:
    graph = graph_of("x", "y")
    words = [
        "lab",
        "questions",
        "--index",
        index.address,
        "--model",
        model.format(graph=graph),
        "--out",
        tmp_path / "set",
    ]
    code, _, told = rag(*words)
    assert code == 2
    assert says in told


@pytest.fixture
def graph_of(tmp_path: Path) -> Callable[..., Path]:
    """A graph with one model that always says one thing, or with two."""

    def made(*replies: str) -> Path:
        names = ("small", "large")
        models = {
            name: {"use": "llm.scripted", "with": {"replies": [reply]}}
            for name, reply in zip(names, replies, strict=False)
        }
        nodes = {"answer": {"use": "generate.closed_book", "with": {"llm": "small"}}}
        path = tmp_path / "graph.yaml"
        path.write_text(yaml.safe_dump({"version": 1, "models": models, "nodes": nodes, "output": "answer"}))
        return path

    return made


def test_a_report_says_which_leg_found_what(index: LocalIndex, tmp_path: Path) -> None:
    report: QuestionsReport = make_questions(index, named(Writer(good)), n=3, out=tmp_path / "set")
    assert report.found_by() == {"lexical": 3}
    assert all(1 <= line.ranks["lexical"] <= 12 for line in report.own.kept)


def test_every_leg_is_asked() -> None:
    assert set(LEGS.shipped) <= set(searchers())
