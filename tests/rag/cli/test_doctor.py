from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from generators.llm.transformers import TransformersLLM
from rag.cli import main
from tests.generators.llm.conftest import save_random_model
from tests.generators.llm.serving import serving


def graph(folder: Path, **llm: Any) -> str:
    spec = {
        "version": 1,
        "models": {"far": {"use": "llm.server", "with": llm}},
        "nodes": {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "far"}}},
        "output": "answer",
    }
    (folder / "g.yaml").write_text(json.dumps(spec))
    return str(folder / "g.yaml")


def lines_on(model: str, out: str) -> list[str]:
    return [line for line in out.splitlines() if f"model '{model}'" in line]


def test_a_server_that_is_up_is_one_good_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    llm = TransformersLLM(model=str(save_random_model(tmp_path / "model")), device="cpu")
    with serving(llm) as served:
        assert main(["doctor", "--connect", "--graph", graph(tmp_path, model="tiny", url=served.url)]) == 0
        [good] = lines_on("far", capsys.readouterr().out)
        assert good.startswith("ok ")
        assert "has the model tiny" in good
        assert main(["doctor", "--connect", "--graph", graph(tmp_path, model="huge", url=served.url)]) == 3
        [bad] = lines_on("far", capsys.readouterr().out)
        assert "has no model 'huge'" in bad


def test_a_dead_server_is_one_bad_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        assert main(["doctor", "--connect", "--graph", graph(tmp_path, model="tiny", url=url)]) == 3
    [bad] = lines_on("far", capsys.readouterr().out)
    assert bad.startswith("BAD ")
    assert "no server answers" in bad


def test_a_graph_that_is_wrong_is_sent_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--graph", graph(tmp_path, modle="tiny")]) == 2
    assert "rag check" in capsys.readouterr().out


def test_without_a_graph_it_says_how_to_try_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    assert "Try them: rag doctor --graph G" in capsys.readouterr().out
    main(["doctor", "--graph", graph(tmp_path, modle="tiny")])
    assert "rag doctor --graph" not in capsys.readouterr().out


def test_vllm_has_its_line_either_way(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    assert len([line for line in capsys.readouterr().out.splitlines() if "vllm" in line]) == 1
