from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from rag import build_index
from rag.cli import main
from rag.indexes import LocalIndex
from ragline_train.pseudo import KeywordAsker, pseudo_cases, question_of
from rerankers.attention.heads.head_sets import read_head_set
from tests.generators.llm.conftest import save_random_model

SUBJECTS = (
    "valves",
    "frames",
    "bearings",
    "pumps",
    "tubes",
    "gauges",
    "belts",
    "filters",
    "seals",
    "motors",
    "drills",
    "lamps",
)
TEXT = "the plant keeps its spare parts in a dry store near the main gate and checks them once a month before use"
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve titled documents about much the same."""
    folder = tmp_path_factory.mktemp("corpus") / "data"
    folder.mkdir()
    chance = random.Random(1)
    with (folder / "corpus.jsonl").open("w") as out:
        for number, subject in enumerate(SUBJECTS):
            text = " ".join(chance.sample(WORDS, len(WORDS))) + f" {subject}."
            record = {"_id": f"d{number}", "title": f"How {subject} are kept and checked", "text": text}
            out.write(json.dumps(record) + "\n")
    place = tmp_path_factory.mktemp("index") / "idx"
    build_index([folder / "corpus.jsonl"], place, legs=("lexical",))
    return place


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("model"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["heads", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_known_sets_are_listed_with_what_they_were_tried_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert "llama-3.1-8b-instruct.core" in out
    assert "not tried here" in out
    assert "smollm2-135m-instruct" in out
    assert "llama-3.1-8b-instruct.qrhead " in out


def test_heads_are_found_from_a_corpus_alone(
    capsys: pytest.CaptureFixture[str], index: Path, model: Path, tmp_path: Path
) -> None:
    out_file = tmp_path / "heads.json"
    code, out, err = run(
        capsys, "find", "--model", str(model), "--index", str(index), "--out", str(out_file), "--depth", "0", "1",
        "--candidates", "6", "--max-tokens", "16",
    )  # fmt: skip
    assert code == 0, err
    heads = read_head_set(out_file)
    assert heads.layers == 2
    assert heads.weight_hash
    assert heads.found_on.endswith("pseudo-queries (salient words of documents), seed 0")  # there is no dense leg
    assert "layers 0-0" in out
    assert "layers 0-1" in out
    assert "are few; heads found on fewer than 50 vary" in err


def test_a_corpus_that_asks_too_little_of_itself_is_told(
    capsys: pytest.CaptureFixture[str], lexical_index: Path, model: Path, tmp_path: Path
) -> None:
    code, _, err = run(
        capsys, "find", "--model", str(model), "--index", str(lexical_index), "--out", str(tmp_path / "heads.json")
    )
    assert code == 2
    assert "needs at least 10 examples, got 0; this index gave 0 for 200 asked for" in err
    assert not (tmp_path / "heads.json").exists()


def test_other_mistakes_are_not_laid_to_the_index(
    capsys: pytest.CaptureFixture[str], index: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragline_train.heads import search_heads

    def wrong(*given: object, **settings: object) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(search_heads, "find_heads", wrong)
    given = ["find", "--model", str(model), "--index", str(index), "--out", str(tmp_path / "heads.json")]
    with pytest.raises(ValueError, match="a mistake of ours"):
        main(["heads", *given])


def test_a_place_that_cannot_be_written_is_named_before_the_work(
    capsys: pytest.CaptureFixture[str], index: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "heads.json", tmp_path):
        code, _, err = run(capsys, "find", "--model", "no-such-model", "--index", str(index), "--out", str(out))
        assert code == 2
        assert f"--out '{out}' cannot be written" in err


def test_a_folder_that_is_not_there_is_made(
    capsys: pytest.CaptureFixture[str], index: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "heads.json"
    code, _, err = run(
        capsys, "find", "--model", str(model), "--index", str(index), "--out", str(out), "--layout", "prompt",
        "--candidates", "6",
    )  # fmt: skip
    assert code == 0, err
    assert read_head_set(out).layout == "prompt"


def test_a_pseudo_query_is_taken_off_its_document(index: Path) -> None:
    with LocalIndex.open(index) as opened:
        cases = pseudo_cases(opened, n=5, depth=6, questions="titles")
        again = pseudo_cases(opened, n=5, depth=6, questions="titles")
    assert cases == again
    assert len(cases) == 5
    for case in cases:
        assert sorted(case.grades) == [*([0.0] * (len(case.candidates) - 1)), 1.0]
        assert all(not each.title for each in case.candidates)
        assert len({each.doc_id for each in case.candidates}) == len(case.candidates)
        subject = case.query.split()[1]
        assert subject in case.candidates[case.grades.index(1.0)].text
    assert len({case.grades.index(1.0) for case in cases}) > 1  # no place gives it away


def test_salient_words_ask_for_their_document_and_stay_in_it(index: Path) -> None:
    with LocalIndex.open(index) as opened:
        cases = pseudo_cases(opened, n=5, depth=6)
        assert cases == pseudo_cases(opened, n=5, depth=6)
        assert cases != pseudo_cases(opened, n=5, depth=6, seed=1)
        by_id = {each.doc_id: each for each in opened.documents}
    assert len(cases) == 5
    for case in cases:
        relevant = case.candidates[case.grades.index(1.0)]
        assert all(by_id[each.doc_id] == each for each in case.candidates)  # nothing is taken off
        words = case.query.split()
        assert 3 <= len(set(words)) == len(words) <= 6
        text = relevant.full_text.casefold()
        assert [text.index(word) for word in words] == sorted(text.index(word) for word in words)


def test_rare_words_that_a_document_repeats_are_salient() -> None:
    from rag.types import Document

    common = "the of and a in to is it on by as at"
    texts = [f"{common} filler{i}" for i in range(30)]
    texts.append(f"zebra zebra stripe stripe savanna savanna grazing grazing herd herd {common}")
    documents = [Document(doc_id=str(i), text=text) for i, text in enumerate(texts)]
    asker = KeywordAsker(SimpleNamespace(documents=documents), random.Random(0))  # type: ignore[arg-type]
    asked, short = asker([documents[-1], Document(doc_id="s", text="too few words here")])
    assert short is None
    assert asked is not None
    rare = {"zebra", "stripe", "savanna", "grazing", "herd"}
    drawn = [set(asker([documents[-1]])[0][0].split()) for _ in range(40)]  # type: ignore[index]
    assert set().union(*drawn) >= rare
    assert sum(len(words & rare) for words in drawn) > sum(len(words - rare) for words in drawn) / 2


def test_generated_questions_need_a_model(index: Path) -> None:
    with LocalIndex.open(index) as opened, pytest.raises(ValueError, match="need a model that writes them"):
        pseudo_cases(opened, n=5, depth=6, questions="generated")


def test_a_first_sentence_asks_where_there_is_no_title() -> None:
    from rag.types import Document

    rest = " ".join(WORDS)
    question = question_of(Document(doc_id="d", text=f"Why do seals fail early? {rest}"))
    assert question is not None
    assert question[0] == "Why do seals fail early?"
    assert question[1].text == rest
    assert question_of(Document(doc_id="d", text="Too short. Really.")) is None


def test_a_model_can_write_the_questions(index: Path) -> None:
    from generators.llm.scripted import ScriptedLLM

    replies = ("Where are spare parts kept?", "no", "When is the store checked by them?")
    llm = ScriptedLLM(replies=replies)
    with LocalIndex.open(index) as opened:
        cases = pseudo_cases(opened, n=5, depth=6, questions="generated", llm=llm)
        texts = {each.text for each in opened.documents}
    assert [case.query for case in cases] == [replies[0], *[replies[2]] * 4]
    assert len(llm.seen) == 6  # five, and one for the question that was too short
    for case in cases:
        relevant = case.candidates[case.grades.index(1.0)]
        assert not relevant.title
        assert relevant.text in texts  # nothing is taken off
    shown = ["\n".join(turn.content for turn in prompt) for prompt in llm.seen]
    assert not any("are kept and checked" in text for text in shown)


@pytest.mark.models
def test_heads_are_found_from_questions_that_the_model_writes(
    capsys: pytest.CaptureFixture[str], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAGLINE_HOME")
    out_file = tmp_path / "heads.json"
    code, _, err = run(
        capsys, "find", "--model", "smollm2-135m-instruct", "--index", str(index), "--out", str(out_file),
        "--depth", "4", "--candidates", "6", "--questions", "generated",
    )  # fmt: skip
    assert code == 0, err
    assert read_head_set(out_file).found_on.endswith("pseudo-queries (written by the model), seed 0")
