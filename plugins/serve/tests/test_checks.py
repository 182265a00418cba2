from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.core.errors import SpecError
from ragline_serve import checks
from ragline_serve.service.keys import add_key


@pytest.fixture(autouse=True)
def _no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor reads every byte of those that are there, which are gigabytes and none of its checks here."""
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))


def test_an_error_of_several_lines_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_problems(file: Path | None) -> Any:
        raise SpecError("first problem", "second problem")

    monkeypatch.setattr("ragline_serve.checks.load_keys", two_problems)
    assert main(["doctor", "--keys", str(tmp_path / "keys")]) == 2
    [bad] = [line for line in capsys.readouterr().out.splitlines() if "problem" in line]
    assert bad == "BAD  ragline-serve: first problem; second problem"


def test_a_port_is_free_or_taken_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["doctor", "--port", str(port)]) == 2
        [bad] = [line for line in capsys.readouterr().out.splitlines() if f"port {port}" in line]
    assert bad.startswith("BAD ")
    assert "another program listens there" in bad


def test_a_key_file_that_others_can_read_is_one_bad_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys"
    key = add_key(file, "mine")
    assert main(["doctor", "--keys", str(file)]) == 0
    assert "keys: a server started here knows 1" in capsys.readouterr().out
    file.chmod(0o644)
    assert main(["doctor", "--keys", str(file)]) == 2
    out = capsys.readouterr().out
    [bad] = [line for line in out.splitlines() if line.startswith("BAD ")]
    assert f"chmod 600 {file}" in bad
    assert key not in out


def test_a_key_file_that_is_none_is_one_bad_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").write_text("hunter2-hunter2-hunter2-hunter2-hunter2\n")
    assert main(["doctor", "--keys", str(tmp_path / "keys")]) == 2
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if line.startswith("BAD ")]) == 1
    assert "hunter2" not in out


def test_a_missing_extra_is_told_with_what_to_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_NEEDED", ("uvicorn", "no-such-distribution"))
    assert main(["doctor"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "no-such-distribution" in line]
    assert "pip install ./plugins/serve" in line
    assert "uvicorn" not in line
