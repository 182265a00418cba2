"""The commands of the guide (docs/erasure.md), given as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from rag.batch.run import run_batch
from rag.cli import main
from rag.pipeline import load_pipeline
from ragline_serve.http.sessions import Sessions
from retrievers.index.directory import LocalIndex
from tests.erasure.test_erase import GRAPH, files_with, home  # noqa: F401

GUIDE = Path(__file__).parents[2] / "docs" / "erasure.md"
ADA = "Ada's telephone number is 555 0171 and she lives by the harbour, in the house with the copper ladder."


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```console\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("rag ")]


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A folder in which the guide's commands mean something: all that was made of three people's files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").mkdir()
    for name, text in {"ada": ADA, "bob": "Bob keeps bees and sells honey.", "cy": "Cy mends winter boots."}.items():
        (tmp_path / "people" / f"{name}.md").write_text(f"# Of {name}\n\n{text}\n")
    assert main(["index", "people", "--index", "idx", "--graph", "bm25"]) == 0
    (tmp_path / "runs").mkdir()
    questions = tmp_path / "questions.jsonl"
    asked = [{"id": "1", "question": "Where does Ada live?"}, {"id": "2", "question": "Who keeps bees?"}]
    questions.write_text("".join(json.dumps(line) + "\n" for line in asked))
    with LocalIndex.open("idx") as index, load_pipeline(GRAPH, index=index) as pipeline:
        run_batch(questions, pipeline, out=tmp_path / "runs" / "spring")
    questions.unlink()
    sessions = Sessions(tmp_path / "sessions.db")
    for answer in (ADA, "He keeps bees [1]."):
        sessions.add(sessions.start("a" * 64), "a" * 64, "Who is that?", answer)
    sessions.close()
    lines = [{"trace_id": "1", "events": [{"text": ADA}]}, {"trace_id": "2", "events": [{"text": "bees"}]}]
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_the_commands_of_the_guide_leave_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands()
    for command in commands():
        assert main(command) == 0, capsys.readouterr()
    assert "nothing of them is left there" in capsys.readouterr().out
    (place / "people" / "ada.md").unlink()
    for said in (b"telephone", b"harbour"):
        assert files_with(said, place) == []
    assert files_with(b"ada.md", place / "idx") == [], "the name of a file says who it is about"
    assert json.loads((place / "ada.json").read_text())["clean"] is True


def test_what_was_erased_stays_out_by_its_digest_until_it_is_named(place: Path) -> None:
    def held() -> set[str]:
        with LocalIndex.open("idx") as index:
            return {document.parent for document in index.documents}

    for command in commands():
        assert main(command) == 0
    (place / "people" / "dee.md").write_text("Dee was not there before.")
    assert main(["index", "--index", "idx"]) == 0
    assert held() == {"people/bob.md", "people/cy.md", "people/dee.md"}
    assert files_with(b"ada.md", place / "idx") == []
    assert main(["index", "people/ada.md", "--index", "idx"]) == 0
    assert "people/ada.md" in held()
