"""Citations as annotations in the form of OpenAI's chats, which clients that know nothing of ragline keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from openai import OpenAI

from plugins.serve.tests.asking import asked, openai_client
from plugins.serve.tests.served import served
from plugins.serve.tests.walled import MODEL
from rag.core.types import Document
from rag.indexing import build_index
from rag.langchain import keeps_sources
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.http.extension import original_of, page_link
from tests.scripted_graph import graph

SAID = "🌞 Thirty days [1]. Bells are extra [2]. They lapse on 31 March."
DOCUMENTS = [
    {"id": "a b/ü#1", "title": "Leave", "text": "Everyone has thirty days of paid leave. They lapse on 31 March."},
    {
        "id": "bells",
        "title": "Bells",
        "text": "Paid bells are extra on all days.",
        "url": "https://example.org/bells?a=1#two",
    },
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    folder = tmp_path_factory.mktemp("annotated")
    (folder / "some.jsonl").write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    build_index([folder / "some.jsonl"], folder / "idx", legs=("lexical",))
    made = graph(replies=[SAID])
    made["nodes"]["answer"]["with"]["max_tokens"] = 40
    with load_pipeline(made, index=folder / "idx") as pipeline, openai_client(pipeline) as official:
        yield official


def whole(client: OpenAI) -> Any:
    return client.chat.completions.create(**asked()).choices[0].message


def test_the_models_citations_are_annotations_and_guesses_are_not(client: OpenAI) -> None:
    reply = client.chat.completions.create(**asked())
    message = reply.choices[0].message
    assert message.content == SAID
    cited = [one.url_citation for one in message.annotations or ()]
    assert [message.content[one.start_index : one.end_index] for one in cited] == ["[1]", "[2]"]
    assert [one.title for one in cited] == ["Leave", "Bells"]
    extension: Any = reply.model_extra
    assert [one["by"] for one in extension["ragline"]["citations"]] == ["model", "model", "attribution"]


def test_a_link_leads_to_the_original_on_the_web_or_to_the_page_of_this_server(client: OpenAI) -> None:
    here, elsewhere = (one.url_citation.url for one in whole(client).annotations)
    assert elsewhere == "https://example.org/bells?a=1#two"
    parts = urlsplit(here)
    assert f"{parts.scheme}://{parts.netloc}/v1/" == str(client.base_url)
    assert (parts.path, parse_qs(parts.fragment)) == ("/", {"model": [MODEL], "passage": ["some.jsonl:a b/ü#1#1"]})


def test_a_stream_ends_with_the_same_annotations(client: OpenAI) -> None:
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**asked(), stream=True)]
    said = [(chunk.delta.model_extra or {}).get("annotations") for chunk in chunks]
    assert said[:-1] == [None] * (len(chunks) - 1)
    assert said[-1] == [one.model_dump() for one in whole(client).annotations]


def test_the_official_clients_own_gathering_of_a_stream_keeps_them(client: OpenAI) -> None:
    with client.chat.completions.stream(**asked()) as stream:
        gathered = stream.get_final_completion().choices[0].message
    assert gathered.annotations == whole(client).annotations != []


def test_an_answer_that_cites_nothing_has_none(client: OpenAI) -> None:
    nothing = asked("zebra")
    assert client.chat.completions.create(**nothing).choices[0].message.annotations == []
    *_, last = client.chat.completions.create(**nothing, stream=True)
    assert last.choices[0].delta.model_extra == {}


@pytest.mark.parametrize(
    "named",
    [
        None,
        7,
        ["https://example.org"],
        "",
        "example.org/a",
        "//example.org/a",
        "javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "/etc/passwd",
        "ftp://example.org/a",
        "https://",
        "https:///a",
        "http://[",
        "https://good.example@bad.example/",
        "https://good.example\\@bad.example/",
        "https://example.org/a b",
        "https://example.org/\u202egnp.exe",
        "https://example.org/" + "a" * 2_000,
    ],
)
def test_an_address_that_no_browser_should_be_sent_to_is_none(named: Any) -> None:
    document = Document(doc_id="a", text="x", metadata={"url": named, "source": "https://example.org/a"})
    assert original_of(document) is None


@pytest.mark.parametrize("named", ["http://localhost:8000/a", "https://de.wikipedia.org/wiki/Öl", "HTTPS://X.ORG"])
def test_other_addresses_are_the_original(named: str) -> None:
    assert original_of(Document(doc_id="a", text="x", metadata={"url": named})) == named


def test_an_id_that_is_no_text_still_gives_a_link() -> None:
    link = page_link("http://h/", Document(doc_id="\udcff&x=1", text=""), model="m")
    assert link == "http://h/#model=m&passage=%3F%26x%3D1"


def test_langchains_client_keeps_them_with_its_messages(index: Path) -> None:
    langchain = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    with (
        load_pipeline(graph(), index=index) as pipeline,
        served(create_app(pipeline, ServeSettings(model=MODEL))) as running,
    ):
        place = {"base_url": f"{running.url}/v1", "api_key": "none", "model": MODEL, "max_retries": 0}
        chat = keeps_sources(langchain.ChatOpenAI)(**place)
        message = chat.invoke("How many days of paid leave?")
        pieces = list(chat.stream("How many days of paid leave?"))
        plain = langchain.ChatOpenAI(**place).invoke("How many days of paid leave?")
    assert "annotations" not in plain.additional_kwargs, (
        "it keeps them by itself now: say so in docs/reference/clients.md"
    )
    [cited] = message.additional_kwargs["annotations"]
    assert message.content[cited["url_citation"]["start_index"] : cited["url_citation"]["end_index"]] == "[1]"
    gathered = pieces[0]
    for piece in pieces[1:]:
        gathered += piece
    assert gathered.content == message.content
    assert gathered.additional_kwargs["annotations"] == [cited]
