"""Requests made from the OpenAPI document, by schemathesis: none makes the server fail, and replies are as documented."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from plugins.serve.tests.asking import until
from plugins.serve.tests.served import served
from plugins.serve.tests.walled import MODEL
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from tests.scripted_graph import graph

EXAMPLES = 8
"""Random requests per operation, on top of those that schemathesis makes for every constraint of the document."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


@pytest.mark.slow
def test_no_request_makes_the_server_fail(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAGLINE_KEYS", raising=False)
    settings = ServeSettings(model=MODEL, sessions_file=tmp_path / "sessions.db", requests_per_minute=None)
    limits = httpx2.Limits(max_keepalive_connections=0)  # an idle connection may be closed just when it is used again
    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph(), index=index))
        pipeline.warm_up()  # a server that is still loading says 503, as documented
        server = stack.enter_context(served(create_app(pipeline, settings)))
        client = stack.enter_context(httpx2.Client(base_url=server.url, timeout=60, limits=limits))
        until(lambda: client.get("/ready").status_code == 200)
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"]
        command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--continue-on-failure"]
        command += ["--max-examples", str(EXAMPLES), "--generation-deterministic", "--request-timeout", "60"]
        more = {"SCHEMATHESIS_HOOKS": "plugins.serve.tests.openapi_hooks", "PYTHONWARNINGS": "ignore"}
        more["PYTHONPATH"] = str(Path(__file__).parents[3])
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | more, capture_output=True, text=True, timeout=600, check=False
        )
        (tmp_path / "report.txt").write_text(done.stdout)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        metrics = client.get("/metrics").text
    assert 'status="5' not in metrics
    for path in ("/v1/chat/completions", "/v1/search", "/v1/rerank"):
        answered = f'ragline_requests_total{{method="POST",route="{path}",status="200"}}'
        assert answered in metrics, "some of the requests were good ones"
