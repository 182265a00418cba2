"""What makes a command line pleasant: defaults, looking into an index, a first graph, stdin, completion, loudness."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag.cli import main
from rag.cli.progress import progress_lines

COMMAND = [sys.executable, "-c", "import rag.cli; raise SystemExit(rag.cli.main())"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index named by whoever runs the tests."""
    monkeypatch.delenv("RAGLINE_INDEX", raising=False)


@pytest.mark.usefixtures("asked")
def test_an_index_is_named_by_the_environment_or_by_a_file_here_or_above(
    capsys: pytest.CaptureFixture[str], lexical_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "project" / "src" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    command = ("search", "paid leave", "--graph", "bm25")
    code, _, err = run(capsys, *command)
    assert (code, "no index. Give --index DIR (index= in Python), set RAGLINE_INDEX, or write index" in err) == (
        2,
        True,
    )
    (tmp_path / "project" / "idx").symlink_to(lexical_index)
    (tmp_path / "project" / "ragline.toml").write_text('index = "idx"\n')
    assert "leave.md" in run(capsys, *command)[1]
    (tmp_path / "project" / "ragline.toml").write_text('index = "nowhere"\n')
    assert run(capsys, *command)[0] == 4
    monkeypatch.setenv("RAGLINE_INDEX", str(lexical_index))
    assert "leave.md" in run(capsys, *command)[1]
    monkeypatch.setenv("RAGLINE_INDEX", "nowhere")
    assert "leave.md" in run(capsys, *command, "--index", str(lexical_index))[1]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("index = ", "cannot be read as TOML"),
        ("idnex = 'x'", "no setting 'idnex'. Known: index"),
        ("index = 3", "must be"),
    ],
)
def test_a_wrong_file_of_settings_is_explained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ragline.toml").write_text(text)
    code, _, err = run(capsys, "ls")
    assert (code, says in err, str(tmp_path / "ragline.toml") in err) == (2, True, True)


def test_documents_are_listed_and_shown(capsys: pytest.CaptureFixture[str], lexical_index: Path) -> None:
    place = ("--index", str(lexical_index))
    lines = run(capsys, "ls", *place)[1].splitlines()
    assert lines[0].startswith("notes/")
    rows = [json.loads(line) for line in run(capsys, "ls", *place, "--json")[1].splitlines()]
    assert len(rows) == len(lines)
    assert len(run(capsys, "ls", *place, "--limit", "1")[1].splitlines()) == 1
    assert [row["doc_id"] for row in rows if row["doc_id"].startswith("notes/leave")] == ["notes/leave.md"]
    assert len(run(capsys, "ls", "notes/leave", *place)[1].splitlines()) == 1
    whole = json.loads(run(capsys, "show", "notes/leave.md", *place, "--json")[1])
    n_passages = next(row["passages"] for row in rows if row["doc_id"] == "notes/leave.md")
    assert [passage["doc_id"] for passage in whole["passages"]] == [
        f"notes/leave.md#{n}" for n in range(1, n_passages + 1)
    ]
    assert "thirty days of paid leave" in run(capsys, "show", "notes/leave.md#1", *place)[1]
    out = run(capsys, "show", "notes/hostile.md", *place)[1]
    assert ("[red]Tubes[/red]" in out, "\x1b" in out) == (True, False)
    code, _, err = run(capsys, "show", "notes/none.md", *place)
    assert (code, "no document 'notes/none.md'" in err) == (2, True)


def test_a_first_graph_is_written_commented_and_never_over_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    assert run(capsys, "init", str(file), "--graph", "hybrid")[0] == 0
    assert run(capsys, "check", str(file))[0] == 0
    assert file.read_text().startswith("# A graph")
    code, _, err = run(capsys, "init", str(file))
    assert (code, "is there already" in err) == (2, True)
    assert "hybrid" in file.read_text()
    assert "no built-in graph 'hybird'. Did you mean 'hybrid'" in run(capsys, "init", "x.yaml", "--graph", "hybird")[2]
    assert "cannot be written" in run(capsys, "init", str(tmp_path / "no" / "such.yaml"))[2]


@pytest.mark.parametrize(
    ("said", "code", "shown"),
    [
        (b"paid leave\n", 0, "leave.md"),
        (b"\n", 2, "the question on stdin is empty"),
        (b"\xff", 2, "is no UTF-8"),
        (b"x" * 1_000_001, 2, "over 1,000,000 bytes"),
    ],
)
@pytest.mark.parametrize("given", [[], ["-"]])
def test_a_question_comes_from_stdin(
    capsys: pytest.CaptureFixture[str],
    lexical_index: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    said: bytes,
    code: int,
    shown: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
    found, out, err = run(capsys, "search", *given, "--index", str(lexical_index), "--graph", "bm25")
    assert (found, shown in out + err) == (code, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_script(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    code, out, _ = run(capsys, "completion", shell)
    assert (code, "argcomplete" in out.lower(), "rag" in out) == (0, True, True)


def test_commands_and_options_are_completed(tmp_path: Path) -> None:
    """As the script of the shell asks for it: by the environment, with the answer in a file."""
    for line, wanted in (("rag sea", "search"), ("rag search --wh", "--where")):
        answer = tmp_path / "answer"
        told = {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        }
        subprocess.run(COMMAND, env={**os.environ, **told}, check=True, capture_output=True)
        assert answer.read_text().strip() == wanted


def test_quiet_leaves_results_and_errors(capsys: pytest.CaptureFixture[str], lexical_index: Path) -> None:
    command = ("search", "zebra", "--index", str(lexical_index), "--graph", "bm25")
    assert "nothing found" in run(capsys, *command)[2]
    assert run(capsys, *command, "-q") == (0, "", "")
    assert "no graph 'none'" in run(capsys, "search", "x", "--graph", "none", "--index", str(lexical_index), "-q")[2]
    assert "nothing found" in run(capsys, *command)[2]


def test_verbose_tells_what_is_logged_and_where_an_error_came_from(lexical_index: Path) -> None:
    script = "import logging, rag.cli, rag.cli.ls as c; f = c.run\n"
    script += "c.run = lambda given: logging.getLogger('rag.x').info('\\x1b[31mlogged') or f(given)\n"
    script += "raise SystemExit(rag.cli.main())"
    for given, logged in (([], False), (["-v"], True)):
        command = [sys.executable, "-c", script, "ls", "--index", str(lexical_index), *given]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert (("logged" in told), "\x1b" in told) == (logged, False)
    done = subprocess.run([*COMMAND, "ls", "--index", "none", "-v"], capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("rag: no index at 'none'")


def test_a_log_gets_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    report = progress_lines(lambda: now[0])
    for second in range(0, 35, 2):
        now[0] = float(second)
        report("encode\x1b", second * 100, 10_000)
    assert capsys.readouterr().err.splitlines() == [f"encode\ufffd: {n} of 10,000" for n in ("1,000", "2,000", "3,000")]


def test_what_is_logged_is_not_lost_to_others(capsys: pytest.CaptureFixture[str], lexical_index: Path) -> None:
    """A command sets levels of its own process; a later one without -v does not keep them."""
    run(capsys, "ls", "--index", str(lexical_index), "-v")
    run(capsys, "ls", "--index", str(lexical_index))
    assert logging.getLogger().level == logging.WARNING


def test_a_search_shows_the_sentence_that_matches(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    filler = "This page is about something else. " * 20
    (texts / "page.md").write_text(
        f"# Page\n\n{filler}\n\nThe \x1b[31mbicycles\x1b[0m stand outside.\n\nNothing more.\n"
    )
    assert run(capsys, "index", str(texts), "--index", str(tmp_path / "idx"), "--graph", "bm25")[0] == 0
    command = ("search", "bicycle outside", "--index", str(tmp_path / "idx"), "--graph", "bm25")
    code, out, _ = run(capsys, *command)
    assert code == 0
    assert "*outside*." in out
    assert "\x1b" not in out
    [hit] = json.loads(run(capsys, *command, "--json")[1])["hits"]
    shown, marks = hit["snippet"]["text"], hit["snippet"]["marks"]
    assert shown.startswith("… The [31mbicycles")
    assert "outside" in [shown[mark["start"] : mark["end"]] for mark in marks]
