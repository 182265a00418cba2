"""The guide for clients says what works: its code for OpenAI's client and its calls of curl, on a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.serve.tests.asking import DEADLINE_S
from plugins.serve.tests.served import served
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from tests.scripted_graph import graph

GUIDE = (Path(__file__).parents[3] / "docs" / "reference" / "clients.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    with (
        load_pipeline(graph(), index=index) as pipeline,
        served(create_app(pipeline, ServeSettings(model="chat"))) as running,
    ):
        yield running.url


def test_the_code_for_the_official_client_works(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(code.replace(ADDRESS, url), "clients.md", "exec"), {})
    answer, source, cited = capsys.readouterr().out.splitlines()
    assert [answer, source] == ["It is so [1].", "1 Warranty"]
    assert cited.startswith(f"Warranty {url}/#model=chat&passage=")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_calls_of_curl_work(url: str) -> None:
    [block] = re.findall(r"## curl\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    calls = re.findall(r"^curl(?:[^\n\\]|\\.|\\\n)*", block.replace(ADDRESS, url), re.MULTILINE)
    assert len(calls) == 4
    for call in calls:
        done = subprocess.run(["sh", "-c", call], capture_output=True, check=True, timeout=DEADLINE_S)
        assert "error" not in json.loads(done.stdout), call
