from __future__ import annotations

import hmac
import stat
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from plugins.serve.tests.walled import walled
from rag.cli import main
from rag.cli.parser import parser
from rag.core.errors import SpecError
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.commands.serve import settings
from ragline_serve.service import keys
from ragline_serve.service.keys import Keys, add_key, bearer, load_keys, new_key
from tests.scripted_graph import graph


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def owner(known: Keys, key: bytes) -> str | None:
    """Whose key it is; None if nobody's."""
    kept = known.known(key)
    return None if kept is None else kept.owner


def test_a_key_is_shown_once_and_only_its_hash_is_kept(file: Path) -> None:
    key = add_key(file, "ada")
    text = file.read_text()
    assert key not in text
    assert key.removeprefix("ragline-") not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    known = load_keys(file, environment={})
    whose = owner(known, key.encode())
    assert whose is not None
    assert whose in text
    assert owner(known, key.encode()[:-1]) is None
    assert owner(known, b"") is None


def test_each_line_opens_for_its_own_key(file: Path) -> None:
    made = {name: add_key(file, name) for name in ("ada", "bob", "eve")}
    known = load_keys(file, environment={})
    owners = {owner(known, key.encode()) for key in made.values()}
    assert len(known) == len(owners) == 3
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith("bob")))
    known = load_keys(file, environment={})
    assert [owner(known, key.encode()) is not None for key in made.values()] == [True, False, True]
    added = add_key(file, "bob")  # after a last line without an end
    assert owner(load_keys(file, environment={}), added.encode()) is not None
    assert owner(load_keys(file, environment={}), made["eve"].encode()) is not None


def test_the_same_key_looks_different_in_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    monkeypatch.setattr(keys, "new_key", lambda: key)
    owners = []
    for file in (tmp_path / "one", tmp_path / "two"):
        add_key(file, "ada")
        owners.append(owner(load_keys(file, environment={}), key.encode()))
    assert None not in owners
    assert owners[0] != owners[1]


def test_keys_come_from_the_variable_too(file: Path) -> None:
    first, second, third = new_key(), new_key(), add_key(file, "ada")
    known = load_keys(file, environment={"RAGLINE_KEYS": f" {first},{second}\n"})
    assert len(known) == 3
    assert len({owner(known, key.encode()) for key in (first, second, third)} - {None}) == 3
    again = load_keys(environment={"RAGLINE_KEYS": first})
    assert owner(again, first.encode()) == owner(known, first.encode()), "conversations outlive a restart"
    assert len(load_keys(environment={})) == len(load_keys(environment={"RAGLINE_KEYS": " "})) == 0


def test_every_key_is_compared_and_in_constant_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [add_key(file, name) for name in ("ada", "bob", "eve")]
    known = load_keys(file, environment={})
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in (*made, "wrong", "w" * 10_000):
        compared.clear()
        owner(known, key.encode())
        assert compared == [(32, 32)] * 3


@pytest.mark.parametrize("given", ["sesame", "k" * 31, "é" * 40])
def test_a_key_that_could_be_guessed_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(SpecError, match="RAGLINE_KEYS: key 2 is too short or not ASCII") as refused:
        load_keys(environment={"RAGLINE_KEYS": f"{new_key()} {given}"})
    assert given not in str(refused.value)


def test_a_file_of_plain_keys_is_refused_and_none_is_shown(file: Path) -> None:
    secret = new_key()
    for line in (secret, f"ada {secret}", f"ada {'00' * 16} {secret}", f"ada {'00' * 16} {'00' * 31}"):
        file.write_text(f"# keys\n\n{line}\n")
        with pytest.raises(SpecError, match="keys:3: not a name, a salt and a hash") as refused:
            load_keys(file, environment={})
        assert secret not in str(refused.value)
        assert refused.value.__cause__ is None


def test_a_file_without_keys_does_not_open_the_server(file: Path) -> None:
    file.write_text("# none yet\n")
    with pytest.raises(SpecError, match="would leave the server open"):
        load_keys(file, environment={})
    with pytest.raises(SpecError, match="cannot be read"):
        load_keys(file.with_name("absent"), environment={})
    add_key(file, "ada")
    assert len(load_keys(file, environment={})) == 1


def test_names_are_plain_and_taken_once(file: Path) -> None:
    add_key(file, "ada")
    with pytest.raises(SpecError, match="has a key named 'ada' already"):
        add_key(file, "ada")
    for name in ("", "a b", "a\nb", "x" * 65, "../x"):
        with pytest.raises(SpecError, match="a key's name has"):
            add_key(file, name)
    assert len(file.read_text().splitlines()) == 1


def test_the_header_is_read_as_openai_clients_send_it() -> None:
    assert bearer([(b"authorization", b"Bearer abc")]) == b"abc"
    assert bearer([(b"authorization", b"bearer  abc ")]) == b"abc"
    for value in (b"abc", b"Basic abc", b"Bearer", b"Bearer ", b""):
        assert bearer([(b"authorization", value)]) is None
    assert bearer([]) is None
    assert bearer([(b"authorization", b"Bearer abc"), (b"authorization", b"Bearer abc")]) is None, "which one counts?"


def test_a_server_without_keys_knows_nobody() -> None:
    assert owner(Keys(), b"anything") is None
    assert len(Keys()) == 0


@pytest.fixture
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAGLINE_KEYS", raising=False)


CLOSED = (
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/search"),
    ("POST", "/v1/rerank"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/ragline"),
    ("DELETE", "/v1/sessions/x"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("GET", "/health/../v1/models"),
    ("GET", "/page"),
)


@pytest.mark.usefixtures("_no_keys")
def test_nobody_gets_past_without_a_key_but_to_health_and_page(index: Path, file: Path) -> None:
    key = add_key(file, "ada")
    with walled(index, keys_file=file) as client:
        for method, path in CLOSED:
            for headers in ({}, {"Authorization": f"Bearer {key}x"}, {"Authorization": key}, {"api-key": key}):
                refused = client.request(method, path, headers=headers)
                assert refused.status_code == 401, (method, path, headers)
                assert refused.json()["error"]["type"] == "authentication_error"
                assert refused.json()["error"]["code"] == "invalid_api_key"
                assert refused.headers["www-authenticate"] == "Bearer"
                assert key not in refused.text
            assert client.request(method, path, headers={"Authorization": f"Bearer {key}"}).status_code != 401
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code in (200, 503)
        assert client.get("/").status_code != 401


@pytest.mark.usefixtures("_no_keys")
def test_every_route_of_the_application_is_behind_the_wall(index: Path, file: Path) -> None:
    add_key(file, "ada")
    with walled(index, keys_file=file) as client:
        paths = client.app.openapi()["paths"]  # type: ignore[attr-defined]
        assert len(paths) >= 8
        reached = {path for path in paths if client.get(path.replace("{", "").replace("}", "")).status_code != 401}
        assert reached == {"/health", "/ready"}


def test_the_variable_opens_the_server_too(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    monkeypatch.setenv("RAGLINE_KEYS", key)
    with walled(index) as client:
        assert client.post("/v1/search", json={"query": "leave"}).status_code == 401
        found = client.post("/v1/search", json={"query": "leave"}, headers={"Authorization": f"Bearer {key}"})
        assert found.status_code == 200


@pytest.mark.usefixtures("_no_keys")
def test_a_server_without_keys_is_open(index: Path) -> None:
    with walled(index) as client:
        assert client.post("/v1/search", json={"query": "leave"}).status_code == 200


@pytest.mark.usefixtures("_no_keys")
def test_a_mounted_server_keeps_its_walls(index: Path, file: Path) -> None:
    key = add_key(file, "ada")
    with load_pipeline(graph(), index=index) as pipeline:
        inner = create_app(pipeline, ServeSettings(keys_file=file))
        with TestClient(Starlette(routes=[Mount("/rag", app=inner)])) as client:
            assert client.get("/rag/health").status_code == 200
            assert client.post("/rag/v1/search", json={"query": "leave"}).status_code == 401
            found = client.post("/rag/v1/search", json={"query": "leave"}, headers={"Authorization": f"Bearer {key}"})
            assert found.status_code == 200
        inner.state.services.close()


def test_the_command_makes_keys(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", str(file), "--name", "ada"]) == 0
    told = capsys.readouterr()
    key = told.out.strip()
    assert owner(load_keys(file, environment={}), key.encode()) is not None
    assert key not in told.err
    assert main(["keys"]) == 0
    other = capsys.readouterr().out.strip()
    assert owner(load_keys(environment={"RAGLINE_KEYS": other}), other.encode()) is not None
    assert main(["keys", str(file), "--name", "ada"]) == 2
    assert "has a key named 'ada' already" in capsys.readouterr().err


def test_the_command_line_sets_the_walls() -> None:
    given = "serve --keys k --sessions s --rate 0 --origin https://chat.example.org --origin http://localhost:3000"
    made = settings(parser().parse_args(given.split()))
    assert (made.keys_file, made.sessions_file, made.requests_per_minute) == (Path("k"), Path("s"), None)
    assert made.origins == ("https://chat.example.org", "http://localhost:3000")
    assert set(made.hosts) >= {"127.0.0.1", "localhost", "[::1]", "chat.example.org"}
    default = settings(parser().parse_args(["serve"]))
    assert (default.keys_file, default.sessions_file, default.origins) == (None, None, ())
    assert default.requests_per_minute == 600
    assert set(default.hosts) == {"127.0.0.1", "localhost", "[::1]"}
    assert settings(parser().parse_args(["serve", "--host", "0.0.0.0"])).hosts == ()
