"""What an installed package adds to the server, by real entry points: routes, parts of the page, contents, options."""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plugins.serve.tests.served import served
from plugins.serve.tests.toy_serving import POINTS, SERVING, installed
from plugins.serve.tests.walled import client, question
from rag.cli import main
from rag.cli.options import PATIENCE_S
from rag.core.errors import SpecError
from rag.core.run_folder import graph_key
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.service.generations import Current
from ragline_serve.service.keys import add_key
from ragline_serve.service.local import LocalDoor
from ragline_serve.service.walls import HEADERS
from retrievers.index.settings import IndexSettings
from tests.browser import PATIENCE_MS, launched
from tests.scripted_graph import graph


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    with installed(tmp_path / "site") as site:
        yield site


def film_graph() -> dict[str, Any]:
    """The scripted graph, whose reranker reads films."""
    made = copy.deepcopy(graph())
    made["nodes"]["ranked"]["use"] = "rerank.film"
    return made


@pytest.fixture
def asking(toy: Path, index: Path) -> Iterator[TestClient]:
    with load_pipeline(film_graph(), index=index) as pipeline, client(pipeline) as made:
        yield made


# --- routes ---


def test_a_route_of_a_package_answers_with_the_pipeline_of_now(asking: TestClient) -> None:
    found = asking.post("/v1/search", json={"query": "leave"}).json()["hits"]
    assert found
    reply = asking.get("/v1/toys/leave")
    assert (reply.status_code, reply.json()) == (200, {"ids": [hit["doc_id"] for hit in found]})
    described = asking.get("/openapi.json").json()["paths"]
    assert described["/v1/toys/{word}"]["get"]["summary"] == "Passages with a word"
    assert 'route="/v1/toys/{word}",status="200"' in asking.get("/metrics").text
    for name in HEADERS:
        assert name.decode() in reply.headers


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("forbidden", 403, "No such toys."),
        ("broken", 500, "The server failed at this request."),
        ("leave?model=none", 404, "There is no such model here"),
        ("leave?where=%3D%3D", 400, "where: "),
        ("leave?where=" + "(" * 500, 400, "where: "),
    ],
)
def test_what_goes_wrong_in_a_route_has_the_form_of_our_errors(
    toy: Path, index: Path, path: str, status: int, says: str
) -> None:
    with load_pipeline(film_graph(), index=index) as pipeline:
        reply = TestClient(create_app(pipeline), raise_server_exceptions=False).get(f"/v1/toys/{path}")
    assert (reply.status_code, says in reply.json()["error"]["message"]) == (status, True), reply.text
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert "secret" not in reply.text


def test_the_walls_stand_before_a_route_too(toy: Path, index: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "ada")
    limits: dict[str, Any] = {"keys_file": tmp_path / "keys", "requests_per_minute": 3, "max_request_bytes": 1000}
    with load_pipeline(film_graph(), index=index) as pipeline, client(pipeline, **limits) as asking:
        for reply in (asking.get("/v1/toys/leave"), asking.post("/v1/toys", json={"a": "b"})):
            assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
        known = {"Authorization": f"Bearer {key}"}
        assert asking.get("/v1/toys/leave", headers=known).status_code == 200
        assert asking.post("/v1/toys", json={"a": "b" * 2000}, headers=known).status_code == 413
        assert asking.post("/v1/toys", json={"a": "b"}, headers=known).json() == {"n": 1}
        assert asking.get("/v1/toys/leave", headers=known).status_code == 429
        foreign = asking.get("/v1/toys/leave", headers={**known, "Origin": "https://evil.example"})
        assert foreign.status_code == 403


def test_a_route_finds_what_whoever_asks_may_read(toy: Path, tmp_path: Path) -> None:
    records = [
        {"_id": "open", "text": "leave for all", "acl": {"public": True}},
        {"_id": "secret", "text": "leave for ann", "acl": {"tenant": "north", "users": ["ann"]}},
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    settings = IndexSettings.model_validate({"reading": {"access": "acl"}})
    build_index(tmp_path / "corpus.jsonl", tmp_path / "i", legs=("lexical",), settings=settings)
    with (
        load_pipeline(film_graph(), index=tmp_path / "i") as pipeline,
        client(pipeline, asker_header="X-Asker") as asking,
    ):
        assert asking.get("/v1/toys/leave").json() == {"ids": ["open"]}
        ann = asking.get("/v1/toys/leave", headers={"X-Asker": json.dumps({"user": "ann", "tenant": "north"})})
        assert sorted(ann.json()["ids"]) == ["open", "secret"]


ROUTE = """
from fastapi import APIRouter
def routes(host):
    router = APIRouter()
    router.get({path!r})(lambda: 1)
    return router
"""


@pytest.mark.parametrize(
    "path",
    [
        "/v1/search",
        "/v1/search/",
        "/",
        "/health",
        "/page/x/y.js",
        "/v1/documents/{id}",
        "/{anything:path}",
        "/{any}/{thing}",
    ],
)
def test_a_path_of_ours_is_refused_at_the_start(index: Path, tmp_path: Path, path: str) -> None:
    changes = {"toy/routes.py": ROUTE.format(path=path)}
    with (
        installed(tmp_path / "site", changes),
        load_pipeline(graph(), index=index) as pipeline,
        pytest.raises(SpecError) as refused,
    ):
        create_app(pipeline)
    said = str(refused.value)
    assert f"route.toys of the installed plug-in 'ragline-toy': its path {path} is in the place of " in said
    assert "of ragline." in said
    assert "pip uninstall ragline-toy" in said


def test_a_path_of_another_plug_in_is_refused_with_both_names(index: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "second-1.0.dist-info").mkdir(parents=True)
    (site / "second-1.0.dist-info" / "METADATA").write_text("Name: ragline-second\nVersion: 1.0\n")
    (site / "second-1.0.dist-info" / "entry_points.txt").write_text("[ragline.route]\nwords = toy.second:routes\n")
    changes = {"toy/second.py": ROUTE.format(path="/v1/toys/{name}")}
    says = r"'ragline-second': its path /v1/toys/\{name\} .* of the .*'ragline-toy'"
    with (
        installed(site, changes),
        load_pipeline(graph(), index=index) as pipeline,
        pytest.raises(SpecError, match=says),
    ):
        create_app(pipeline)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"toy/routes.py": "1 / 0"}, "cannot be loaded from toy.routes:routes: ZeroDivisionError"),
        ({"toy/routes.py": "def routes(host): return 1 / 0"}, "cannot be used: ZeroDivisionError"),
        ({"toy/routes.py": "def routes(host): return None"}, "cannot be used: AttributeError"),
        (
            {
                "toy/routes.py": "from fastapi import APIRouter\ndef routes(host):\n    router = APIRouter()\n"
                "    @router.websocket('/v1/toys')\n    async def talk(socket): pass\n    return router"
            },
            "cannot be used: ValueError: a router has routes of HTTP alone",
        ),
    ],
)
def test_a_route_that_fails_is_told_and_left_out(
    index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, str], says: str
) -> None:
    with (
        installed(tmp_path / "site", changes),
        load_pipeline(graph(), index=index) as pipeline,
        caplog.at_level(logging.WARNING),
        client(pipeline) as asking,
    ):
        assert asking.post("/v1/search", json={"query": "leave"}).status_code == 200
        assert asking.get("/v1/toys/leave").status_code == 404
    [told] = [record.getMessage() for record in caplog.records if "route.toys" in record.getMessage()]
    assert says in told
    assert "of the installed plug-in 'ragline-toy'" in told
    assert told.endswith("Update it, or: pip uninstall ragline-toy")


# --- the page ---


def test_the_page_is_served_with_what_a_package_adds(asking: TestClient) -> None:
    assert {"toy/page.css", "toy/page.js"} <= set(asking.get("/page/parts.json").json())
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript"), ("titles.js", "text/javascript")):
        reply = asking.get(f"/page/toy/{name}")
        assert (reply.status_code, reply.text) == (200, SERVING[f"toy/page/{name}"])
        assert reply.headers["content-type"].startswith(kind)
        for header, value in (HEADERS | {b"cache-control": b"no-cache"}).items():
            assert reply.headers[header.decode()] == value.decode()
        assert reply.headers["etag"]
    for name in ("toy/__init__.py", "toy/%2e%2e%2fpage.js", "toy/..%2f..%2ftools.py", "toy", "toy/", "toy//page.js"):
        assert asking.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"toy/page/__init__.py": "1 / 0"}, "ZeroDivisionError"),
        ({"toy/page/a b.js": ""}, "is named by ASCII letters"),
        ({"toy/page/\u202esj.js": ""}, "is named by ASCII letters"),
        ({POINTS: "[ragline.page]\ntoy = toy.film\n"}, "has no attribute '__path__'"),
        ({POINTS: "[ragline.page]\n../toy = toy.page\n"}, "a name of ASCII letters"),
        ({POINTS: "[ragline.page]\ntoy = toy\n"}, "has a page.js"),
    ],
)
def test_a_part_of_the_page_that_cannot_be_served_is_left_out(
    index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, str], says: str
) -> None:
    with (
        installed(tmp_path / "site", changes),
        load_pipeline(graph(), index=index) as pipeline,
        caplog.at_level(logging.WARNING),
        client(pipeline) as asking,
    ):
        assert not [name for name in asking.get("/page/parts.json").json() if "toy" in name]
        assert asking.get("/").status_code == asking.get("/page/page.js").status_code == 200
        assert asking.get("/page/toy/page.js").status_code == 404
    [told] = [record.getMessage() for record in caplog.records if "left out: page." in record.getMessage()]
    assert says in told
    assert "pip uninstall ragline-toy" in told


@contextmanager
def shown(graph: Any, index: Path) -> Iterator[Any]:
    """The built-in page in a browser, over a graph; nothing in it may have failed in the end."""
    with ExitStack() as stack:
        pipeline = stack.enter_context(load_pipeline(graph, index=index))
        server = stack.enter_context(served(create_app(pipeline, ServeSettings())))
        page = stack.enter_context(launched()).new_page()
        page.set_default_timeout(PATIENCE_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url)
        yield page
        assert complaints == []


@pytest.mark.browser
def test_a_package_draws_passages_and_adds_an_input(toy: Path, index: Path) -> None:
    from playwright.sync_api import expect

    with shown(film_graph(), index) as page:
        page.get_by_label("Film").fill("<b>Metropolis</b>")
        page.get_by_label("Question").fill("How many days of paid leave?")
        page.keyboard.press("Enter")
        page.locator(".cite").first.click()
        expect(page.locator("#passage-text .toy")).to_have_text("Films: <b>Metropolis</b>")
        expect(page.locator("#passage-text .toy")).to_have_css("color", "rgb(0, 128, 0)")
        expect(page.get_by_label("Film")).to_have_value("")


# --- contents ---


def test_a_request_holds_contents_and_hits_show_them_in_the_form_of_their_kind(asking: TestClient) -> None:
    film = {"kind": "film", "title": "warranty"}
    found = asking.post("/v1/search", json={"query": "leave warranty", "contents": [film]}).json()
    assert found["hits"][0]["contents"] == [film]
    assert "warranty" in found["hits"][0]["text"]
    body = question("leave warranty", ragline={"contents": [film]})
    said = asking.post("/v1/chat/completions", json=body).json()["ragline"]
    assert said["sources"][0]["contents"] == [film]
    assert "contents" not in asking.post("/v1/search", json={"query": "leave"}).json()["hits"][0]


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ([{"kind": "novel"}], "no content of kind 'novel' is taken here; known kinds are "),
        ([{"kind": "x" * 1000}], f"no content of kind '{'x' * 80}' is taken here"),
        ([{"kind": ["film"]}], "no content of kind"),
        ([{}], "no content of kind"),
        (["film"], "no content of kind 'None' is taken here"),
        ([{"kind": "film"}], "a film has a title, and nothing else"),
        ([{"kind": "film", "title": 1}], "a film has a title"),
        ([{"kind": "picture", **{f"x{n}": n for n in range(100)}}], "a picture has its kind"),
        ([{"kind": "film", "title": "x"}] * 65, "at most 64 items"),
        (
            [{"kind": "picture", "media_type": "text/html", "data": ""}],
            "a picture has its kind, a media_type such as image/",
        ),
        ([{"kind": "picture", "media_type": "image/png", "uri": "file:///etc/passwd"}], "a picture has its kind"),
        ([{"kind": "sound", "media_type": "audio/wav", "data": "no base64"}], "a sound is sent in base64"),
        (
            [{"kind": "picture", "media_type": "image/png", "data": "AAAA"}],
            "a query holds picture, and this graph reads",
        ),
        ("film", "a valid list"),
    ],
)
def test_contents_that_are_none_are_refused(asking: TestClient, contents: Any, says: str) -> None:
    for path, body in (
        ("/v1/search", {"query": "leave", "contents": contents}),
        ("/v1/chat/completions", question(ragline={"contents": contents})),
    ):
        reply = asking.post(path, json=body)
        assert reply.status_code == 400, reply.text
        assert says in reply.json()["error"]["message"]


def test_a_form_that_fails_to_show_leaves_what_is_known(index: Path, tmp_path: Path) -> None:
    broken = SERVING["toy/film.py"].replace('return {"kind": "film", "title": content.text}', "1 / 0")
    film = {"kind": "film", "title": "leave"}
    with (
        installed(tmp_path / "site", {"toy/film.py": broken}),
        load_pipeline(film_graph(), index=index) as pipeline,
        client(pipeline) as asking,
    ):
        [shown, *_] = asking.post("/v1/search", json={"query": "leave", "contents": [film]}).json()["hits"]
    assert shown["contents"][0]["uri"] == "memory:leave"


# --- options of search and ask ---


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    (tmp_path / "films.yaml").write_text(json.dumps(film_graph()))
    return tmp_path / "films.yaml"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_options_of_a_package_become_contents_and_filters_with_a_server_and_without(
    capsys: pytest.CaptureFixture[str],
    toy: Path,
    index: Path,
    graph_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    place = ("--graph", str(graph_file), "--index", str(index))
    search = ("search", "leave warranty", *place, "--json", "--film", "warranty")
    ask = ("ask", "leave warranty", *place, "--json", "--film=warranty")

    def both() -> list[Any]:
        found, answered = (json.loads(said(capsys, *words)[1]) for words in (search, ask))
        return [
            [hit["doc_id"] for hit in found["hits"]],
            found["hits"][0]["contents"],
            answered["passages"][0]["contents"],
        ]

    alone = both()
    assert alone[1] == alone[2] == [{"kind": "film", "title": "warranty"}]
    only = json.loads(said(capsys, *search, "--only", "nothing.md")[1])
    assert only["hits"] == []
    [source] = {hit["position"]["source"] for hit in json.loads(said(capsys, *search)[1])["hits"][:1]}
    assert len(json.loads(said(capsys, *search, "--only", source)[1])["hits"]) == 1
    with load_pipeline(str(graph_file), index=index) as pipeline:
        asked: list[Any] = []
        monkeypatch.setattr(pipeline, "require_read", lambda queries: asked.extend(queries))
        current = Current({"films": pipeline})
        key = partial(graph_key, patience=PATIENCE_S)
        with LocalDoor(str(index.resolve()), {"films": str(graph_file)}, current.use, key=key):
            assert both() == alone
        assert {each.text for query in asked for each in query.contents} == {"warranty"}, "the server was asked"


def test_options_are_looked_up_where_a_word_is_none_of_the_commands_own(
    capsys: pytest.CaptureFixture[str], toy: Path, index: Path, graph_file: Path
) -> None:
    for command in ("search", "ask", "chat"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "--film TITLE" in capsys.readouterr().out
    from toy import asking  # type: ignore[import-not-found]

    asking.Options.options = lambda parser: pytest.fail("it is looked up though nothing asks for it")
    code, out, _ = said(
        capsys, "search", "leave", "--graph", str(graph_file), "--index", str(index), "-k", "1", "--json"
    )
    assert (code, len(json.loads(out)["hits"])) == (0, 1)


def test_what_fails_in_an_option_is_told_with_whose_it_is(
    capsys: pytest.CaptureFixture[str], toy: Path, index: Path, graph_file: Path
) -> None:
    place = ("--graph", str(graph_file), "--index", str(index))
    code, _, error = said(capsys, "search", "leave", *place, "--film", "none")
    assert code == 2
    assert "asking.film of the installed plug-in 'ragline-toy' cannot be used: OSError: there is no such film" in error
    with pytest.raises(SystemExit):
        main(["search", "leave", *place, "--novel", "x"])
    assert "unrecognized arguments: --novel x" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1 / 0", SERVING["toy/asking.py"].replace('"--film"', '"--where"')])
def test_options_that_cannot_be_added_are_left_out(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    index: Path,
    tmp_path: Path,
    graph_file: Path,
    text: str,
) -> None:
    with installed(tmp_path / "site", {"toy/asking.py": text}), pytest.raises(SystemExit):
        main(["search", "leave", "--index", str(index), "--film", "x"])
    assert re.search("unrecognized arguments: --film x", capsys.readouterr().err)
    [told] = [record.getMessage() for record in caplog.records if "left out: asking.film" in record.getMessage()]
    assert "pip uninstall ragline-toy" in told


# --- what was read from a question ---


def filtered_graph() -> dict[str, Any]:
    """The scripted graph, behind filters that are read from the question."""
    made = copy.deepcopy(graph())
    made["nodes"] = {"filters": {"use": "reformulate.filters"}, **made["nodes"]}
    made["nodes"]["bm25"]["in"] = "filters"
    return made


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Passages on leave by two authors, of two years."""
    folder = tmp_path_factory.mktemp("read")
    told = (
        "Ten days of paid leave are kept.",
        "Paid leave lapses in May.",
        "Ask for paid leave early.",
        "No paid leave at all?",
    )
    authors = ("Lee, <b>A.</b>", "Moss, B.")
    written_by = [(author, year) for author in authors for year in (2019, 2023)]
    records = [
        {"_id": f"{author}{year}", "title": f"{author} {year}", "text": text, "author": author, "year": year}
        for (author, year), text in zip(written_by, told, strict=True)
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    build_index(folder / "corpus.jsonl", folder / "i", legs=("lexical",))
    return folder / "i"


ASKED = "What did Moss write on paid leave since 2020?"


def test_a_reply_says_what_was_read_and_a_request_what_is_not(written: Path) -> None:
    with load_pipeline(filtered_graph(), index=written) as pipeline, client(pipeline) as asking:
        found = asking.post("/v1/search", json={"query": ASKED}).json()
        assert [(each["field"], each["text"]) for each in found["read"]] == [
            ("author", 'author = "Moss, B."'),
            ("year", "year >= 2020"),
        ]
        assert [each["where"] for each in found["read"]] == [{"author": "Moss, B."}, {"year": {"gte": 2020}}]
        assert [hit["doc_id"] for hit in found["hits"]] == ["Moss, B.2023"]
        without = {"kind": "as_typed", "fields": ["year"]}
        found = asking.post("/v1/search", json={"query": ASKED, "contents": [without]}).json()
        assert [each["field"] for each in found["read"]] == ["author"]
        assert len(found["hits"]) == 2
        found = asking.post("/v1/search", json={"query": ASKED, "contents": [{"kind": "as_typed"}]}).json()
        assert found.get("read") is None
        assert len(found["hits"]) > 2
        refused = asking.post("/v1/search", json={"query": ASKED, "contents": [{"kind": "as_typed", "fields": 1}]})
        assert refused.status_code == 400
        chat = asking.post("/v1/chat/completions", json=question(ASKED)).json()
        assert [each["field"] for each in chat["ragline"]["read"]] == ["author", "year"]


@pytest.mark.browser
def test_what_was_read_is_shown_as_chips_that_can_be_removed(written: Path) -> None:
    from playwright.sync_api import expect

    asked = "Papers by Lee on paid leave since 2020"
    with shown(filtered_graph(), written) as page:
        page.get_by_label("Question").fill(asked)
        page.keyboard.press("Enter")
        chips = page.locator(".turn").last.get_by_role("button", name="Ask again without")
        expect(chips).to_have_text(['author = "Lee, <b>A.</b>"×', "year >= 2020×"])
        expect(page.locator(".turn").last.locator(".source")).to_have_count(1)
        expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
        chips.last.click()
        expect(page.locator(".turn")).to_have_count(2)
        expect(page.locator(".turn").last.locator(".question")).to_have_text(asked)
        expect(chips).to_have_text(['author = "Lee, <b>A.</b>"×'])
        expect(page.locator(".turn").last.locator(".source")).to_have_count(2)
        expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
        chips.click()
        expect(page.locator(".turn")).to_have_count(3)
        expect(page.locator(".turn").last.locator(".source")).not_to_have_count(2)
        expect(chips).to_have_count(0)
