"""Which key may go to which server, and that looking at a graph asks nobody."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generators.llm.server import ServerLLM
from generators.llm.server_keys import WELL_KNOWN, origin_of, require_allowed
from generators.llm.transformers import TransformersLLM
from rag.cli import main
from rag.core.errors import SpecError
from rag.core.types import Document, SamplingParams
from rag.pipeline import load_pipeline
from tests.generators.llm.serving import asked, serving, status
from tests.small_index import small_index

EVIL = "https://evil.example/v1"
KEY = "s3cret-abc"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("RAGLINE_API_KEYS", raising=False)
    monkeypatch.setenv("OTHER_KEY", KEY)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that anybody may connect to; whether somebody did is seen by accepting."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture(scope="module")
def lexical_index(tmp_path_factory: pytest.TempPathFactory, documents: tuple[Document, ...]) -> Path:
    return small_index(tmp_path_factory.mktemp("keys"), documents)


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def nobody_came(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def graph(**llm: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "models": {"far": {"use": "llm.server", "with": llm}},
        "nodes": {"answer": {"use": "generate.closed_book", "in": "query", "with": {"llm": "far"}}},
        "output": "answer",
    }


def cited(**llm: Any) -> dict[str, Any]:
    """A graph whose budgets depend on what the server can read."""
    nodes = {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
        "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "far", "max_tokens": 120}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "far"}},
    }
    return graph(**llm) | {"nodes": nodes}


# --- who may have a key ---


@pytest.mark.parametrize(
    "url",
    [
        EVIL,
        "https://api.openai.com.evil.example/v1",
        "https://api.openai.com./v1",
        "https://api.openai.com:444/v1",
        "http://api.openai.com/v1",
        "http://127.0.0.1:8000/v1",
    ],
)
@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OTHER_KEY"])
def test_no_key_goes_where_nobody_allowed_it(url: str, variable: str) -> None:
    with pytest.raises(SpecError, match=rf"set RAGLINE_API_KEYS='{variable}={origin_of(url)}'"):
        ServerLLM(model="m", url=url, api_key_variable=variable)


@pytest.mark.parametrize(("variable", "origin"), WELL_KNOWN.items())
def test_a_key_named_after_a_service_may_go_there(variable: str, origin: str) -> None:
    require_allowed(variable, f"{origin}/v1", by="llm.server")
    require_allowed(variable, f"{origin.upper().replace('HTTPS', 'https')}:443/v1", by="llm.server")


def test_what_the_message_says_is_what_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError) as refusal:
        ServerLLM(model="m", url=EVIL, api_key_variable="OTHER_KEY")
    message = str(refusal.value)
    assert KEY not in message
    monkeypatch.setenv("RAGLINE_API_KEYS", message.partition("RAGLINE_API_KEYS='")[2].partition("'")[0])
    ServerLLM(model="m", url=EVIL, api_key_variable="OTHER_KEY")
    with pytest.raises(SpecError, match="nobody has allowed that"):
        ServerLLM(model="m", url=EVIL, api_key_variable="PATH")


def test_a_key_in_the_clear_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="would travel in the clear"):
        require_allowed("OTHER_KEY", "http://10.0.0.5:8001/v1", by="llm.server")
    with pytest.raises(SpecError) as here:
        require_allowed("OTHER_KEY", "http://localhost:8001/v1", by="llm.server")
    assert "in the clear" not in str(here.value)
    monkeypatch.setenv("RAGLINE_API_KEYS", "A=https://a.example, OTHER_KEY=http://10.0.0.5:8001")
    require_allowed("OTHER_KEY", "http://10.0.0.5:8001/v1", by="llm.server")
    with pytest.raises(SpecError, match="nobody has allowed that"):
        require_allowed("OTHER_KEY", "https://10.0.0.5:8001/v1", by="llm.server")


def test_a_file_of_the_users_says_it_too_unless_others_may_write_it(tmp_path: Path) -> None:
    file = tmp_path / "config" / "ragline" / "api_keys"
    file.parent.mkdir(parents=True)
    file.write_text("# where keys may go\n\nOTHER_KEY = https://evil.example/v1\n")
    file.chmod(0o600)
    require_allowed("OTHER_KEY", EVIL, by="llm.server")
    file.chmod(0o666)
    with pytest.raises(SpecError, match=rf"others may write in {file}.*chmod 600"):
        require_allowed("OTHER_KEY", EVIL, by="llm.server")
    file.chmod(0o600)
    file.write_text(f"# where keys may go\n{KEY}\n")
    with pytest.raises(SpecError, match=rf"{file}:2: an entry is VARIABLE=ORIGIN") as refusal:
        require_allowed("OTHER_KEY", EVIL, by="llm.server")
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize(
    "entry", ["OTHER_KEY", "OTHER_KEY=", "OTHER_KEY=evil.example", "OTHER_KEY=*", "=https://a", "A=https://["]
)
def test_an_entry_that_is_none_is_told(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_API_KEYS", entry)
    with pytest.raises(SpecError, match="RAGLINE_API_KEYS: an entry is VARIABLE=ORIGIN"):
        require_allowed("OTHER_KEY", EVIL, by="llm.server")


def test_no_key_needs_no_leave() -> None:
    ServerLLM(model="m", url=EVIL)


def test_a_redirect_takes_no_key_anywhere(tiny_llm: TransformersLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tiny_llm) as first, serving(tiny_llm) as second:
        monkeypatch.setenv("RAGLINE_API_KEYS", f"OTHER_KEY={origin_of(first.url)}")
        llm = ServerLLM(model="tiny", url=first.url, api_key_variable="OTHER_KEY", dialect="openai")
        for code in (301, 302, 307, 308):
            first.trouble.append(status(code, Location=f"{second.url}/chat/completions"))
            with pytest.raises(SpecError, match=f"HTTP {code}"):
                llm.complete([asked("Which city?")], SamplingParams(max_tokens=2))
        assert first.keys == [f"Bearer {KEY}"] * 4
        assert second.keys == []


# --- looking at a graph ---


def test_looking_at_a_graph_asks_nobody(
    listener: socket.socket,
    tmp_path: Path,
    lexical_index: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAGLINE_HOME", str(tmp_path / "home"))  # without models: the doctor reads every byte of them
    path = tmp_path / "g.yaml"
    path.write_text(json.dumps(cited(model="m", url=url_of(listener))))
    assert main(["check", str(path), "--index", str(lexical_index)]) == 0
    said = capsys.readouterr()
    assert "g.yaml: 3 nodes" in said.out
    assert (
        f"note: node 'answer': its budget could not be checked: llm.server: {url_of(listener)} was not asked"
        in said.err
    )
    assert main(["doctor", "--graph", str(path)]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "model 'far'" in line]
    assert line.startswith("-    ")
    assert "(--connect asks it)" in line
    for command in (
        ["list"],
        ["draw", str(path), "-o", str(tmp_path / "g.mmd")],
        ["models", "list", "--graph", str(path)],
    ):
        assert main(command) == 0
    load_pipeline(path, index=lexical_index).close()
    assert nobody_came(listener)


def test_checking_asks_a_server_when_it_is_told_to(
    tiny_llm: TransformersLLM, tmp_path: Path, lexical_index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tiny_llm) as served:
        path = tmp_path / "g.yaml"
        path.write_text(json.dumps(cited(model="tiny", url=served.url)))
        assert main(["check", str(path), "--index", str(lexical_index)]) == 0
        assert main(["check", str(path), "--index", str(lexical_index), "--connect"]) == 2
    assert "max_tokens 120 does not fit" in capsys.readouterr().err


def test_a_graph_that_wants_a_key_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(json.dumps(graph(model="m", url=EVIL, api_key_variable="OTHER_KEY"), indent=1))
    for command in (["check", str(path)], ["ask", "x", "--graph", str(path)]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert f"{path}:" in err
        assert "model 'far': llm.server: the graph wants the key in $OTHER_KEY sent to https://evil.example" in err
