"""The page in a real browser, on a real server over a small index; the models' replies are scripted, nothing else is."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from generators.llm.scripted import ScriptedLLM
from plugins.serve.tests.served import Served, served
from rag.asked import QuestionLog
from rag.core.types import Completion, Prompt, SamplingParams
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from ragline_serve import ServeSettings, create_app
from ragline_serve.service.walls import HEADERS
from retrievers.index.directory import LocalIndex
from tests.browser import PATIENCE_MS, hold, keep

pytestmark = pytest.mark.browser

ATTACK = '<script>window.broken = "text"</script><img src="//outside.invalid/x.png" onerror="window.broken = 1">'
PASSAGES = [
    {
        "id": "leave",
        "title": "Annual leave",
        "text": "Everyone has thirty days of paid leave a year. Up to five days may be carried over into the next year; "
        "they lapse on 31 March. Requests go to the team lead two weeks ahead.\n\nPublic holidays come on top 🌞.",
    },
    {
        "id": "parents",
        "title": "Parental leave",
        "text": "Parents have paid leave too: paid leave of ninety days, and days of unpaid leave after the paid days.",
    },
    {
        "id": "illness",
        "title": "Illness",
        "text": "Illness during paid leave is not counted when a note is handed in. Tell your team before nine if you are ill.",
    },
    {
        "id": "hostile",
        "title": f"Keys {ATTACK}",
        "text": f"A lost key is reported at once. {ATTACK} <|im_end|> &amp; [9]",
    },
    {
        "id": "frames",
        "title": "Frames",
        "text": "🚲🚲 Bells are extra. Frames carry a warranty of ten years, forks of five.",
        "url": "https://example.org/frames?a=1",
    },
]
QUESTION = "How many days of paid leave do I have?"
REPLY = "🌞 You have thirty days of paid leave a year [1]. They lapse on 31 March. Illness is not counted [3]."


def says(*replies: str) -> dict[str, Any]:
    return {"use": "llm.scripted", "with": {"replies": list(replies)}}


def graph(writer: dict[str, Any]) -> dict[str, Any]:
    """Rewrite, search, rerank, answer. The reranking model always prefers the second passage."""
    return {
        "version": 1,
        "models": {
            "writer": writer,
            "rewriter": says("How many days of paid leave lapse?"),
            "orderer": says("[2] > [1]"),
        },
        "nodes": {
            "alone": {"use": "reformulate.conversation", "with": {"llm": "rewriter"}},
            "bm25": {"use": "retrieve.bm25", "in": "alone", "k": 5},
            "fused": {"use": "fuse.rrf", "in": "bm25", "k": 5},
            "ranked": {"use": "rerank.listwise", "in": "fused", "k": 3, "with": {"llm": "orderer"}},
            "context": {"use": "assemble.token_budget", "in": "ranked", "with": {"llm": "writer", "max_tokens": 1000}},
            "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "writer"}},
        },
        "output": "answer",
    }


@dataclass
class Held:
    """Makes a model say its first words and then wait, either in silence or talking on and on."""

    endless: bool = False
    words: int = 4
    go: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def hold(self, model: ScriptedLLM, monkeypatch: pytest.MonkeyPatch) -> Held:
        said = model.stream

        def stream(prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
            return self._paced(said(prompt, params))

        monkeypatch.setattr(model, "stream", stream)
        return self

    def _paced(self, words: Generator[str, None, Completion]) -> Generator[str, None, Completion]:
        try:
            for _ in range(self.words):
                yield next(words)
            said = 0
            while not self.go.wait(0.02 if self.endless else PATIENCE_MS / 1000):
                if not self.endless:
                    raise TimeoutError("nobody let the model go on")
                yield f" and{said}"  # never the same word, for a loop would be ended
                said += 1
            return (yield from words)
        except GeneratorExit:
            self.closed.set()
            raise


@dataclass
class Visit:
    """A page opened in the browser, and all that it asked for and complained about."""

    page: Any
    server: Served
    models: dict[str, Any]
    asked: list[Any] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def ask(self, question: str = QUESTION) -> Any:
        """Ask, and return the turn's element."""
        self.page.get_by_label("Question").fill(question)
        self.page.keyboard.press("Enter")
        return self.page.locator(".turn").last

    def ask_whole(self, question: str = QUESTION) -> Any:
        """Ask and wait until the answer is whole."""
        turn = self.ask(question)
        expect(self.page.get_by_role("button", name="Ask")).to_be_visible()
        expect(turn.locator(".stages")).to_be_visible()
        return turn

    def chats(self) -> list[dict[str, Any]]:
        """Bodies of the questions that were sent."""
        return [json.loads(r.post_data) for r in self.asked if r.url.endswith("/v1/chat/completions")]


def complaint(said: Any) -> list[str]:
    """An error in the console, such as a broken policy; not that a server which still loads answers 503."""
    return [said.text] if said.type == "error" and not said.text.startswith("Failed to load resource") else []


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "handbook.jsonl").write_text("".join(json.dumps(passage) + "\n" for passage in PASSAGES))
    build_index([folder / "handbook.jsonl"], folder / "idx", legs=("lexical",))
    return folder / "idx"


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Any, index: Path) -> Iterator[Open]:
    """Open the page of a server whose answering model says these things."""
    with ExitStack() as stack:

        def start(
            *replies: str,
            writer: dict[str, Any] | None = None,
            indexes: Sequence[Path] = (index,),
            checked: bool = False,
            sessions: Path | None = None,
            log: Path | None = None,
            uploads: Path | None = None,
            **options: Any,
        ) -> Visit:
            made = graph(writer or says(*(replies or (REPLY,))))
            if checked:
                made["nodes"]["checked"] = {"use": "check.words", "in": "answer"}
                made["output"] = "checked"
            pipeline = stack.enter_context(load_pipeline(made, index=list(indexes)))
            settings = ServeSettings(model="handbook", sessions_file=sessions, log_file=log, uploads=uploads)
            server = stack.enter_context(served(create_app(pipeline, settings)))
            context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            opened = Visit(page=page, server=server, models=dict(pipeline.graph.models))
            page.on("request", lambda request: opened.asked.append(request))
            page.on("pageerror", lambda error: opened.complaints.append(str(error)))
            page.on("console", lambda said: opened.complaints.extend(complaint(said)))
            page.goto(server.url)
            expect(page.locator("#model:not(:empty), #entry[open]")).to_be_visible()
            return opened

        yield start


def test_an_answer_is_streamed_with_its_sources(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = visit()
    page = opened.page
    keep(page, "welcome")
    held = Held().hold(opened.models["writer"], monkeypatch)
    turn = opened.ask()
    expect(turn.locator(".answer")).to_have_text("🌞 You have")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Ask")).to_be_hidden()
    held.go.set()
    expect(page.get_by_role("button", name="Ask")).to_be_visible()
    expect(turn.locator(".answer")).to_contain_text("thirty days of paid leave a year 1.")
    expect(turn.locator(".source .title")).to_have_text(["Annual leave", "Parental leave", "Illness"])
    expect(turn.locator(".source .use")).to_have_text(["cited", "read, not cited", "cited"])
    assert opened.complaints == []
    keep(page, "answer")


def test_what_was_found_is_shown_while_the_model_reads_it(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = visit()
    held = Held(words=0).hold(opened.models["writer"], monkeypatch)
    turn = opened.ask()
    expect(turn.locator(".waiting")).to_have_text("Reading 3 passages")
    expect(turn.locator(".source .title")).to_have_text(["Annual leave", "Parental leave", "Illness"])
    expect(turn.locator(".source .use")).to_have_text(["found", "found", "found"])
    keep(opened.page, "reading")
    turn.locator(".source").first.click()
    expect(opened.page.get_by_role("dialog", name="Annual leave")).to_contain_text("Everyone has thirty days")
    held.go.set()
    expect(turn.locator(".source .use")).to_have_text(["cited", "read, not cited", "cited"])
    expect(turn.locator(".waiting")).to_be_hidden()


def test_the_last_line_of_an_answer_stays_in_sight_while_it_is_written(
    visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = visit()
    page = opened.page
    page.set_viewport_size({"width": 500, "height": 600})
    held = Held(endless=True).hold(opened.models["writer"], monkeypatch)
    turn = opened.ask()
    expect(turn.locator(".answer")).to_contain_text("and150")
    gap = "document.querySelector('#ask').getBoundingClientRect().top"
    gap += " - document.querySelector('.answer').getBoundingClientRect().bottom"
    page.wait_for_function(f"scrollY > 0 && Math.abs({gap}) < 80")  # between a word and the next frame it may be more
    page.evaluate("scrollTo(0, 0)")
    expect(turn.locator(".answer")).to_contain_text("and250")
    assert page.evaluate("scrollY") == 0, "whoever reads its beginning stays there"
    held.go.set()


def test_a_citation_opens_its_passage_with_the_supporting_sentence_marked(visit: Open) -> None:
    opened = visit()
    page = opened.page
    turn = opened.ask_whole()
    cite = turn.get_by_role("button", name="Source 1: Annual leave", exact=True)
    cite.click()
    panel = page.get_by_role("dialog", name="Annual leave")
    expect(panel).to_be_visible()
    expect(panel.get_by_role("heading", name="Annual leave")).to_be_focused()
    expect(panel.locator("blockquote")).to_have_text("🌞 You have thirty days of paid leave a year")
    expect(panel.locator("mark")).to_contain_text("Everyone has thirty days of paid leave a year.")
    assert "carried over" not in panel.locator("mark").text_content()
    shown = page.evaluate("document.querySelector('#passage-text').cloneNode(true).textContent")
    assert "Public holidays come on top 🌞." in shown
    keep(page, "passage")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(cite).to_be_focused()


def test_a_sentence_that_cites_nothing_is_matched_by_words_and_looks_different(visit: Open) -> None:
    opened = visit()
    turn = opened.ask_whole()
    guess = turn.get_by_role("button", name="Source 1, matched by words: Annual leave")
    expect(guess).to_be_visible()
    expect(turn.locator(".matched")).to_have_text("They lapse on 31 March.")
    guess.click()
    expect(opened.page.locator("mark")).to_contain_text("they lapse on 31 March.")
    expect(opened.page.locator("#passage-reason")).to_contain_text("The model cites nothing here")


def test_a_source_leads_to_its_original_on_the_web_and_nowhere_else(visit: Open) -> None:
    opened = visit("Frames have a warranty of ten years [1].")
    turn = opened.ask_whole("Warranty of frames?")
    turn.get_by_role("button", name="Source 1: Frames", exact=True).click()
    link = opened.page.get_by_role("link", name="Original at example.org")
    expect(link).to_have_attribute("href", "https://example.org/frames?a=1")
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    keep(opened.page, "original")
    opened.ask_whole("And leave?").locator(".source", has_text="Annual leave").click()
    expect(opened.page.locator("#passage-ways a")).to_have_count(0)
    assert opened.complaints == []


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "/etc/passwd", "file:///etc/passwd", "https://a@b.example", 7, None],
)
def test_the_page_itself_links_to_the_web_alone(visit: Open, url: Any) -> None:
    """Whatever a server sends."""
    made = "async (url) => (await import('./page/ways.js')).originalOf(url)"
    assert visit().page.evaluate(made, url) is None


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of one document that is cut into many passages, which overlap."""
    folder = tmp_path_factory.mktemp("book")
    text = " ".join(f"Rule {number} says that bell {number} 🔔 rings twice." for number in range(1, 200))
    (folder / "rules.md").write_text(f"# Rules {ATTACK}\n\n{text}\n")
    build_index([folder / "rules.md"], folder / "idx", legs=("lexical",))
    return folder / "idx"


def test_the_document_around_a_passage_can_be_read(visit: Open, book: Path) -> None:
    opened = visit("It rings twice [1].", indexes=[book])
    page = opened.page
    turn = opened.ask_whole("What does rule 100 say of its bell?")
    turn.locator(".cite").first.click()
    page.get_by_role("button", name="Read the document").click()
    asked = page.locator("#passage-text .asked")
    expect(asked).to_be_focused()
    expect(asked).to_be_in_viewport()
    keep(page, "around")
    text = " ".join(page.locator("#passage-text .part").all_text_contents())
    rules = [int(word) for word in re.findall(r"Rule (\d+) says", text)]
    assert rules == list(range(1, 200)), "all of it, and nothing twice"
    assert page.evaluate("window.broken") is None
    turn.locator(".source").nth(1).click()
    expect(page.locator("#passage-text .part")).to_have_count(0)
    assert opened.complaints == []


def test_a_link_to_a_passage_opens_it_with_its_document(visit: Open, book: Path) -> None:
    opened = visit("It rings twice [1].", indexes=[book])
    page = opened.page
    body = {"model": "handbook", "messages": [{"role": "user", "content": "What does rule 100 say of its bell?"}]}
    reply = page.request.post(f"{opened.server.url}/v1/chat/completions", data=body).json()
    [cited] = reply["choices"][0]["message"]["annotations"]
    page.goto("about:blank")
    page.goto(cited["url_citation"]["url"])
    expect(page.locator("#passage-text .asked")).to_be_focused()
    expect(page.locator("#passage-text .asked")).to_contain_text(reply["ragline"]["sources"][0]["text"][-80:])
    page.goto(f"{opened.server.url}/#passage=nothing")
    expect(page.locator("#notice")).to_have_text("There is no such passage that you may read.")
    assert page.evaluate("window.broken") is None


def test_a_link_to_a_passage_asks_for_the_key_once(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_KEYS", KEY)
    opened = visit()
    page = opened.page
    page.goto("about:blank")
    page.goto(f"{opened.server.url}/#model=handbook&passage=handbook.jsonl%3Aleave%231")
    entry = page.get_by_role("dialog", name="This server asks for a key")
    entry.get_by_role("textbox", name="Key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#passage-text .asked")).to_contain_text("Everyone has thirty days of paid leave")
    expect(page.locator("#index")).to_have_text("idx, 5 passages")
    expect(entry).to_be_hidden()


def test_sources_with_one_title_and_place_show_how_each_passage_begins(visit: Open, tmp_path: Path) -> None:
    texts = ["Leave of\n a year  is paid.", f"{ATTACK} leave is paid. {'All of it. ' * 99}", "Leave of a day is paid."]
    titles = ["Leave", "Leave", "Other leave"]
    rows = [{"id": str(n), "title": title, "text": texts[n]} for n, title in enumerate(titles)]
    (tmp_path / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_index([tmp_path / "faq.jsonl"], tmp_path / "idx", legs=("lexical",))
    opened = visit("So it is [1].", indexes=[tmp_path / "idx"])
    turn = opened.ask_whole("Is leave of a year paid?")
    shown = {}
    for source in turn.locator(".source").all():
        begins = source.locator(".begins")
        shown[begins.text_content()] = (source.locator(".title").text_content(), begins.is_visible())
        assert begins.bounding_box() is None or begins.bounding_box()["height"] < 30, "one line"
    assert shown == {
        "Leave of a year is paid.": ("Leave", True),
        f"{texts[1][:120]}…": ("Leave", True),
        "": ("Other leave", False),
    }
    assert opened.complaints == []
    keep(opened.page, "twins")


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with fields to filter by, also some with hostile names and values."""
    folder = tmp_path_factory.mktemp("letters")
    said = [
        {
            "_id": str(number),
            "title": f"Letter {number}",
            "text": f"Leave is paid, says letter {number}.",
            "year": 2020 + number,
        }
        | {"lang": ("de", "en")[number % 2], "not": "so", "__proto__": ATTACK, ATTACK: "x"}
        for number in range(6)
    ]
    (folder / "letters.jsonl").write_text("".join(json.dumps(letter) + "\n" for letter in said))
    build_index([folder / "letters.jsonl"], folder / "idx", legs=("lexical",))
    return folder / "idx"


def add_filter(page: Any, field: str, value: str, operator: str = "is") -> None:
    """Choose a filter in the open dialog."""
    page.get_by_label("Field").select_option(field)
    page.get_by_label("How").select_option(operator)
    page.get_by_label("Value").fill(value)
    page.keyboard.press("Enter")


def test_filters_are_picked_shown_and_sent_with_each_question(visit: Open, letters: Path) -> None:
    opened = visit("So it is [1].", indexes=[letters])
    page = opened.page
    page.get_by_role("button", name="Filter", exact=True).click()
    dialog = page.get_by_role("dialog", name="Answer from some documents only")
    left = page.locator("#filters-left")
    expect(left).to_have_text("6 passages")
    add_filter(page, "lang", "en")
    expect(left).to_have_text("3 of 6 passages")
    add_filter(page, "year", "2023", "from")
    add_filter(page, "year", "2021", "from")
    expect(left).to_have_text("3 of 6 passages")
    add_filter(page, "year", "2023", "to")
    expect(left).to_have_text("2 of 6 passages")
    keep(page, "filters")
    dialog.get_by_role("button", name="Done").click()
    expect(page.locator("#chips li")).to_have_text(["lang is en×", "year from 2021×", "year to 2023×"])
    turn = opened.ask_whole("Is leave paid?")
    expect(turn.locator(".source .title")).to_have_text(["Letter 3", "Letter 1"])
    expect(turn.locator(".within")).to_have_text("Filtered: lang is en, year from 2021, year to 2023")
    assert opened.chats()[0]["ragline"]["where"] == {"lang": {"in": ["en"]}, "year": {"gte": 2021, "lte": 2023}}
    keep(page, "filtered")
    page.reload()
    expect(page.locator(".turn .within")).to_have_text("Filtered: lang is en, year from 2021, year to 2023")
    expect(page.locator("#chips")).to_be_hidden()
    opened.ask_whole("Is leave paid?")
    assert "ragline" not in opened.chats()[1]
    assert opened.complaints == []


def test_values_of_a_filter_say_how_many_documents_of_the_question_have_them(visit: Open, letters: Path) -> None:
    page = visit("So it is [1].", indexes=[letters]).page
    page.locator("#question").fill("leave of letter 3")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Field").select_option("lang")
    expect(page.locator('#filter-values option[value="en"]')).to_have_attribute("label", "en (3)")
    page.get_by_label("Field").select_option(ATTACK)
    expect(page.locator('#filter-values option[value="x"]')).to_have_attribute("label", "x (6)")
    add_filter(page, "year", "2021", "to")
    page.get_by_label("Field").select_option("lang")
    expect(page.locator('#filter-values option[value="en"]')).to_have_attribute("label", "en (1)")


def test_filters_that_leave_nothing_are_said_so_and_can_be_removed(visit: Open, letters: Path) -> None:
    opened = visit("So it is [1].", indexes=[letters])
    page = opened.page
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("#filters-left")).to_have_text("6 passages")
    add_filter(page, "lang", "fr")
    expect(page.locator("#filters-left")).to_have_text("These filters leave no passage. Remove some.")
    page.keyboard.press("Escape")
    turn = opened.ask_whole("Is leave paid?")
    expect(turn.locator(".note")).to_have_text("Nothing was found under these filters. Remove some, and ask again.")
    page.get_by_role("button", name="Remove the filter: lang is fr").click()
    expect(page.locator("#chips")).to_be_hidden()
    expect(page.get_by_role("button", name="Filter", exact=True)).to_be_focused()
    expect(opened.ask_whole("Is leave paid?").locator(".source")).to_have_count(3)


def test_filters_are_picked_from_the_keyboard_alone(visit: Open, letters: Path) -> None:
    opened = visit("So it is [1].", indexes=[letters])
    page = opened.page
    expect(page.get_by_role("button", name="Filter", exact=True)).to_be_visible()  # once the server said what there is
    expect(page.get_by_label("Question")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Filter", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#filters-left")).to_have_text("6 passages")
    page.get_by_label("Field").focus()
    page.keyboard.type("lang")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Value")).to_be_focused()
    page.keyboard.type("de")
    page.keyboard.press("Enter")
    expect(page.locator("#filters-left")).to_have_text("3 of 6 passages")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Filter", exact=True)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Remove the filter: lang is de")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#chips")).to_be_hidden()


def test_names_and_values_of_fields_are_text_whatever_they_are(visit: Open, letters: Path) -> None:
    opened = visit("So it is [1].", indexes=[letters])
    page = opened.page
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("#filters-left")).to_have_text("6 passages")
    add_filter(page, ATTACK, "x")
    add_filter(page, "not", "so")
    add_filter(page, "__proto__", "no")
    expect(page.locator("#filters-left")).to_have_text("These filters leave no passage. Remove some.")
    page.locator("#filters-chosen").get_by_role("button", name="__proto__").click()
    expect(page.locator("#filters-left")).to_have_text("6 of 6 passages")
    page.keyboard.press("Escape")
    expect(page.locator("#chips li").first).to_have_text(f"{ATTACK} is x×")
    opened.ask_whole("Is leave paid?")
    assert opened.chats()[0]["ragline"]["where"] == {ATTACK: {"in": ["x"]}, '"not"': {"in": ["so"]}}
    assert page.evaluate("[window.broken, {}.in]") == [None, None]
    assert opened.complaints == []


def test_the_mark_is_where_the_server_says_also_behind_characters_of_two_units(visit: Open) -> None:
    opened = visit("Frames have a warranty of ten years [1].")
    turn = opened.ask_whole("Warranty of frames?")
    turn.get_by_role("button", name="Source 1: Frames", exact=True).click()
    sentence = "Frames carry a warranty of ten years, forks of five."
    expect(opened.page.locator("mark")).to_have_text(f"Marked: {sentence} End of mark.")


def test_without_a_sentence_that_shares_enough_nothing_is_marked(visit: Open) -> None:
    opened = visit("Penguins swim far [1].")
    opened.ask_whole("Warranty of frames?").get_by_role("button", name="Source 1: Frames", exact=True).click()
    expect(opened.page.locator("#passage-reason")).to_contain_text("no sentence stands out by its words")
    expect(opened.page.locator("mark")).to_have_count(0)


def test_what_supports_a_claim_is_told_when_the_answer_is_whole(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = visit("Thirty days [1]. They lapse on 31 March.")
    held = Held().hold(opened.models["writer"], monkeypatch)
    turn = opened.ask()
    cite = turn.get_by_role("button", name="Source 1: Annual leave", exact=True)
    cite.click()
    expect(opened.page.locator("#passage-reason")).to_have_text("The model cites this passage.")
    expect(opened.page.locator("mark")).to_have_count(0)
    held.go.set()
    expect(turn.locator(".stages")).to_be_visible()
    cite.click()
    expect(opened.page.locator("mark")).to_contain_text("Everyone has thirty days of paid leave a year.")


def test_the_panel_tells_what_each_stage_did(visit: Open) -> None:
    opened = visit()
    turn = opened.ask_whole()
    turn.locator("summary").click()
    expect(turn.locator("summary")).to_contain_text("6 stages")
    expect(turn.locator(".step .name")).to_have_text(["alone", "bm25", "fused", "ranked", "context", "answer"])
    for seconds in turn.locator(".step .seconds").all_text_contents():
        assert seconds.endswith((" s", " ms"))
    answer = turn.locator(".step").last
    expect(answer.locator(".fact.ok")).to_have_text("ok")
    expect(answer).to_contain_text("1 model call")
    row = turn.get_by_role("row").filter(has_text="Annual leave")
    expect(row.get_by_role("cell").last).to_contain_text("up 1")
    expect(turn.get_by_role("columnheader")).to_have_text(["Passage", "bm25", "fused", "ranked"])
    turn.locator(".stages").scroll_into_view_if_needed()
    keep(opened.page, "stages")


def test_a_follow_up_takes_the_conversation_along(visit: Open) -> None:
    opened = visit(REPLY, "Yes, on 31 March [1].")
    opened.ask_whole()
    turn = opened.ask_whole("Do they lapse?")
    expect(turn.locator(".answer")).to_contain_text("Yes, on 31 March")
    expect(turn.locator(".searched q")).to_have_text("How many days of paid leave lapse?")
    said = [(m["role"], m["content"]) for m in opened.chats()[1]["messages"]]
    assert said == [("user", QUESTION), ("assistant", REPLY), ("user", "Do they lapse?")]
    keep(opened.page, "follow-up")


def test_a_new_conversation_forgets_the_old_one(visit: Open) -> None:
    opened = visit()
    opened.ask_whole()
    opened.page.get_by_role("button", name="New conversation").click()
    expect(opened.page.locator(".turn")).to_have_count(0)
    expect(opened.page.get_by_label("Question")).to_be_focused()
    opened.ask_whole("Who is ill during paid leave?")
    assert len(opened.chats()[1]["messages"]) == 1


def test_the_passage_beside_the_conversation_follows_the_newest_answer(visit: Open) -> None:
    opened = visit(REPLY, "Frames carry a warranty of ten years [1].", "No.")
    panel = opened.page.get_by_role("dialog")
    opened.ask_whole().get_by_role("button", name="Source 3: Illness", exact=True).click()
    expect(panel.get_by_role("heading")).to_have_text("Illness")
    opened.ask_whole("Warranty of frames?")
    expect(panel.get_by_role("heading")).to_have_text("Annual leave")  # the rewriter always asks for leave
    expect(panel.locator("blockquote")).to_have_text("Frames carry a warranty of ten years")
    expect(opened.page.get_by_label("Question")).to_be_focused()
    opened.ask_whole("Warranty?")
    expect(panel).to_be_hidden()
    assert opened.complaints == []


def test_a_reload_keeps_the_conversation_and_a_new_one_forgets_it(visit: Open) -> None:
    opened = visit(REPLY, "Yes, on 31 March [1].")
    page = opened.page
    opened.ask_whole()
    shown = "document.querySelector('.turn').innerText"
    before = page.evaluate(shown)
    page.reload()
    expect(page.locator(".turn .stages")).to_be_visible()
    assert page.evaluate(shown) == before
    page.get_by_role("button", name="Source 1: Annual leave", exact=True).click()
    expect(page.locator("mark")).to_contain_text("Everyone has thirty days of paid leave a year.")
    page.keyboard.press("Escape")
    opened.ask_whole("Do they lapse?")
    assert [m["content"] for m in opened.chats()[-1]["messages"]] == [QUESTION, REPLY, "Do they lapse?"]
    page.get_by_role("button", name="New conversation").click()
    page.reload()
    expect(page.locator("#examples button").first).to_be_visible()
    expect(page.locator(".turn")).to_have_count(0)


def test_what_is_kept_of_a_conversation_is_read_as_hostile(visit: Open) -> None:
    opened = visit(f"It is so {ATTACK} [1].")
    opened.ask_whole(ATTACK)
    opened.page.reload()
    expect(opened.page.locator(".turn .question")).to_have_text(ATTACK)
    assert opened.page.evaluate("window.broken") is None
    for text in ("no json", "{}", "null", "7", "[7]", '[{"question": "x", "text": "y", "whole": {}}]'):
        opened.page.evaluate("text => sessionStorage.setItem(`ragline ${location.pathname}`, text)", text)
        opened.page.reload()
        expect(opened.page.locator("#examples button").first).to_be_visible()
    assert opened.complaints == []


def test_a_conversation_is_saved_named_gone_on_with_and_deleted(visit: Open) -> None:
    opened = visit(REPLY, "Yes, on 31 March [1].", "Bells are extra [1].", "They do [1].")
    page = opened.page
    opened.ask_whole()
    page.get_by_role("button", name="Conversations").click()
    dialog = page.get_by_role("dialog", name="Saved conversations")
    expect(dialog).to_contain_text("kept in this browser only")
    expect(dialog).to_contain_text("None so far.")
    dialog.get_by_role("button", name="Save this conversation").click()
    name = dialog.get_by_label("Name")
    expect(name).to_have_value(QUESTION)
    name.fill("Leave")
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Open: Leave")).to_be_focused()
    keep(page, "conversations")
    page.keyboard.press("Escape")
    opened.ask_whole("Do they lapse?")  # what follows is saved too
    page.get_by_role("button", name="New conversation").click()
    opened.ask_whole("Are bells extra?")
    page.get_by_role("button", name="Conversations").click()
    dialog.get_by_role("button", name="Open: Leave").click()
    expect(page.locator(".question")).to_have_text([QUESTION, "Do they lapse?"])
    expect(page.locator(".turn").first.locator(".answer")).to_contain_text("thirty days of paid leave a year")
    page.locator(".turn").first.locator(".cite").first.click()
    expect(page.get_by_role("dialog", name="Annual leave")).to_be_visible()
    page.keyboard.press("Escape")
    opened.ask_whole("And then?")
    said = [message["content"] for message in opened.chats()[-1]["messages"]]
    assert said == [QUESTION, REPLY, "Do they lapse?", "Yes, on 31 March [1].", "And then?"]
    page.reload()
    opened.page.get_by_role("button", name="Conversations").click()
    expect(dialog.get_by_role("button", name="Save this conversation")).to_be_hidden()
    dialog.get_by_role("button", name="Delete: Leave").click()
    dialog.get_by_role("button", name="Really delete: Leave").click()
    expect(dialog).to_contain_text("None so far.")
    assert page.evaluate("Object.values({ ...localStorage })") == ["[]"]
    expect(dialog.get_by_role("button", name="Save this conversation")).to_be_visible()
    assert opened.complaints == []


def test_a_saved_conversation_outlives_its_tab_and_is_there_in_another(visit: Open) -> None:
    opened = visit()
    opened.ask_whole(ATTACK + " paid leave")
    opened.page.get_by_role("button", name="Conversations").click()
    opened.page.get_by_role("button", name="Save this conversation").click()
    opened.page.close()
    page = opened.page.context.new_page()
    page.goto(opened.server.url)
    expect(page.locator("#model:not(:empty)")).to_be_visible()
    expect(page.locator(".turn")).to_have_count(0)
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("button", name="Save this conversation")).to_be_hidden()
    page.get_by_role("button", name="Open: ").click()
    expect(page.locator(".turn .question")).to_have_text(ATTACK + " paid leave")
    expect(page.locator(".turn .source")).to_have_count(3)
    assert page.evaluate("window.broken") is None


def test_conversations_that_the_server_keeps_are_listed_named_gone_on_with_and_deleted(
    visit: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_KEYS", KEY)
    opened = visit(REPLY, "Yes, on 31 March [1].", "They do [1].", sessions=tmp_path / "sessions.db")
    page = opened.page

    def enter_key() -> None:
        page.get_by_role("textbox", name="Key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#model:not(:empty)")).to_be_visible()

    enter_key()
    opened.ask_whole()
    assert "ragline" not in opened.chats()[0], "nothing is kept unasked"
    page.get_by_role("button", name="New conversation").click()
    page.get_by_role("button", name="Conversations").click()
    kept = page.get_by_role("list", name="Kept by the server")
    page.get_by_label("Keep new conversations there").check()
    expect(kept.get_by_role("listitem")).to_have_count(0)
    page.keyboard.press("Escape")
    opened.ask_whole()
    opened.ask_whole("Do they lapse?")
    first, second = opened.chats()[1:]
    assert first["ragline"] == {"session": "new"}
    assert [message["content"] for message in second["messages"]] == ["Do they lapse?"]
    page.get_by_role("button", name="New conversation").click()
    page.get_by_role("button", name="Conversations").click()
    kept.get_by_label("Name").fill("Leave")
    page.keyboard.press("Tab")
    expect(kept.get_by_role("button", name="Open: Leave")).to_be_focused()
    keep(page, "server-conversations")
    page.keyboard.press("Escape")
    page.reload()
    enter_key()
    page.get_by_role("button", name="Conversations").click()
    kept.get_by_role("button", name="Open: Leave").click()
    expect(page.locator(".question")).to_have_text([QUESTION, "Do they lapse?"])
    expect(page.locator(".answer")).to_have_text(["Yes, on 31 March [1].", "They do [1]."])
    opened.ask_whole("And then?")
    assert opened.chats()[-1]["ragline"]["session"] == second["ragline"]["session"]
    page.get_by_role("button", name="Conversations").click()
    kept.get_by_role("button", name="Delete: Leave").click()
    kept.get_by_role("button", name="Really delete: Leave").click()
    expect(kept.get_by_role("listitem")).to_have_count(0)
    assert page.evaluate("localStorage.length") == 0
    assert opened.complaints == []


@pytest.mark.parametrize("held", ["no json", "{}", "null", "[7, null, {}]", '[{"id": "x", "name": "y", "turns": [7]}]'])
def test_what_cannot_be_read_of_saved_conversations_is_left_alone(visit: Open, held: str) -> None:
    opened = visit()
    page = opened.page
    page.evaluate("text => localStorage.setItem(`ragline saved ${location.pathname}`, text)", held)
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("dialog", name="Saved conversations")).to_be_visible()
    if '"y"' in held:
        page.get_by_role("button", name="Open: y").click()
        expect(page.locator(".turn")).to_have_count(0)
    assert opened.complaints == []


def test_where_there_is_no_room_nothing_is_lost_and_it_is_said_so(visit: Open) -> None:
    opened = visit()
    page = opened.page
    opened.ask_whole()
    one = '{"id": "old", "name": "Old", "turns": [{"question": "' + "x" * 3_999_000 + '"}]}'
    page.evaluate("text => localStorage.setItem(`ragline saved ${location.pathname}`, text)", f"[{one}]")
    page.get_by_role("button", name="Conversations").click()
    page.get_by_role("button", name="Save this conversation").click()
    expect(page.get_by_role("alert").filter(has_text="no room")).to_be_visible()
    expect(page.get_by_role("button", name="Open: Old")).to_be_visible()
    expect(page.get_by_role("button", name="Save this conversation")).to_be_visible()


def test_the_index_is_named_and_its_titles_become_questions(visit: Open) -> None:
    opened = visit()
    page = opened.page
    expect(page.locator("#index")).to_have_text("idx, 5 passages")
    shown = page.locator("#examples button")
    expect(shown.first).to_have_text("What do the documents say about Annual leave?")
    assert shown.count() == 4
    assert "script" not in " ".join(shown.all_text_contents())
    shown.first.click()
    expect(page.locator(".turn .stages")).to_be_visible()
    assert opened.chats()[0]["messages"][0]["content"] == "What do the documents say about Annual leave?"


def test_several_indexes_are_named_and_all_of_them_give_questions(visit: Open, index: Path, tmp_path: Path) -> None:
    for name, time in (("Night trains", "nine"), ("Ferries", "ten")):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\nThey leave at {time}.\n")
    build_index(sorted(tmp_path.glob("*.md")), tmp_path / "trips", legs=("lexical",))
    opened = visit(indexes=[index, tmp_path / "trips"])
    expect(opened.page.locator("#index")).to_have_text("idx, 5 passages · trips, 2 passages")
    topics = ("Annual leave", "Ferries", "Parental leave", "Night trains")
    expect(opened.page.locator("#examples button")).to_have_text(
        [f"What do the documents say about {topic}?" for topic in topics]
    )
    keep(opened.page, "several-indexes")
    expect(opened.ask_whole().locator(".source .where").first).to_have_text("idx › handbook.jsonl")


CODE = "def days(leave):\n\n    return leave[1]  # in days\n"
CODED = (
    f"Ask for leave [1]:\n\n```python\n{CODE}```\n\nOr so [3]:\n\n~~~\nleave --days 30\n\n{ATTACK}\n~~~\nThat is all."
)


def test_every_block_of_code_has_a_button_that_copies_it_alone(visit: Open) -> None:
    opened = visit(CODED, permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    turn = opened.ask_whole()
    expect(turn.locator(".answer > p")).to_have_text(["Ask for leave 1:", "Or so 3:", "That is all."])
    expect(turn.locator(".language")).to_have_text(["python", ""])
    assert turn.locator("pre").all_text_contents() == [CODE.removesuffix("\n"), f"leave --days 30\n\n{ATTACK}"]
    expect(turn.locator(".code .cite")).to_have_count(0)
    for n, text in enumerate(turn.locator("pre").all_text_contents()):
        button = turn.locator(".code .copy").nth(n)
        expect(button).to_have_accessible_name("Copy code")
        button.focus()
        page.keyboard.press("Enter")
        expect(button).to_have_text("Copied")
        expect(page.locator("#said")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == text
    turn.locator(".answer + .note + .copy").click()
    expect(turn.locator(".answer + .note + .copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == CODED
    expect(turn.locator(".code .copy")).to_have_text(["Copy code", "Copy code"])
    assert opened.complaints == []


def test_code_is_shown_as_such_while_it_is_written(visit: Open) -> None:
    """However the pieces are cut, what is shown before the end is what is shown after it."""
    opened = visit()
    shown = opened.page.evaluate(
        """async (text) => {
          const { AnswerText } = await import("./page/answer.js");
          const looks = [];
          for (const size of [1, 2, 3, 7, text.length]) {
            const place = document.createElement("div");
            const answer = new AnswerText(place, () => {});
            answer.know([1, 3].map((marker) => ({ marker, title: "T", doc_id: "d" })));
            for (let at = 0; at < text.length; at += size) answer.add(text.slice(at, at + size));
            const written = [...place.children].map((child) => child.textContent);
            const citations = [...text.matchAll(/\\[\\d\\]/g)].map((found) => (
              { marker: Number(found[0][1]), start: found.index, end: found.index + 3, by: "model" }));
            answer.finish(citations);
            looks.push([written, [...place.children].map((child) => child.textContent)]);
          }
          return looks;
        }""",
        CODED.replace("in days", "``` is no fence"),
    )
    expected = ["Ask for leave 1:", f"pythonCopy code{CODE[:-1]}".replace("in days", "``` is no fence"), "Or so 3:"]
    expected += [f"Copy codeleave --days 30\n\n{ATTACK}", "That is all."]
    assert shown == [[expected, expected]] * 5


def test_an_answer_is_copied_as_it_was_written(visit: Open) -> None:
    opened = visit(permissions=["clipboard-read", "clipboard-write"])
    opened.ask_whole().get_by_role("button", name="Copy answer").click()
    expect(opened.page.get_by_role("button", name="Copied")).to_be_visible()
    assert opened.page.evaluate("navigator.clipboard.readText()") == REPLY


def test_an_answer_is_rated_where_a_log_is_kept_and_the_rating_is_taken_back(visit: Open, tmp_path: Path) -> None:
    opened = visit(log=tmp_path / "asked.db")
    turn, rated = opened.ask_whole(), list[bool | None]()
    good, bad = (turn.get_by_role("button", name=f"{word} answer") for word in ("Good", "Bad"))
    for button, pressed in ((good, [True, False]), (bad, [False, True]), (bad, [False, False])):
        button.click()
        for each, is_pressed in zip((good, bad), pressed, strict=True):
            expect(each).to_have_attribute("aria-pressed", str(is_pressed).lower())
        with closing(QuestionLog(tmp_path / "asked.db")) as log:
            rated += [entry.good for entry in log.entries()]
        keep(opened.page, "feedback")
    assert rated == [True, False, None]
    assert opened.complaints == []
    expect(visit().ask_whole().get_by_role("group", name="Was this answer good?")).to_be_hidden()


@pytest.mark.parametrize("by", ["button", "Escape"])
def test_stopping_ends_the_generation_itself(visit: Open, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    opened = visit()
    page = opened.page
    held = Held(endless=True).hold(opened.models["writer"], monkeypatch)
    turn = opened.ask()
    expect(turn.locator(".answer")).to_contain_text("thirty and0 and1")
    if by == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    expect(turn.locator(".note")).to_have_text("You stopped this answer.")
    assert held.closed.wait(PATIENCE_MS / 1000)
    expect(page.get_by_label("Question")).to_be_focused()
    expect(turn.locator(".source")).to_have_count(3)
    if by == "button":
        keep(page, "stopped")
    held.go.set()
    expect(opened.ask_whole("How many days of paid leave?").locator(".answer")).to_contain_text("31 March")


def test_a_failure_is_told_and_can_be_tried_again(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = visit()
    page = opened.page
    with monkeypatch.context() as broken:

        def fails(prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
            yield "You"
            raise RuntimeError("out of ink at /srv/secret")

        broken.setattr(opened.models["writer"], "stream", fails)
        turn = opened.ask()
        problem = turn.get_by_role("alert")
        expect(problem).to_be_visible()
        expect(problem).not_to_contain_text("secret")
        keep(page, "error")
    turn.get_by_role("button", name="Try again").click()
    expect(page.locator(".turn")).to_have_count(1)
    expect(page.locator(".answer")).to_contain_text("thirty days of paid leave")


def test_a_model_that_is_down_leaves_the_passages_and_a_notice(visit: Open) -> None:
    opened = visit(writer=nobody())
    page = opened.page
    expect(page.locator("#notice")).to_contain_text("model writer")
    turn = opened.ask()
    expect(turn.get_by_role("alert")).to_be_visible()
    expect(turn.locator(".source .title")).to_have_text(["Annual leave", "Parental leave", "Illness"])
    turn.locator(".source").first.click()
    expect(page.get_by_role("dialog", name="Annual leave")).to_contain_text("Everyone has thirty days")
    page.keyboard.press("Escape")
    keep(page, "degraded")


def nobody() -> dict[str, Any]:
    """A model at an address where nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    return {"use": "llm.server", "with": {"url": url, "model": "gone", "retries": 0}}


def test_a_key_is_asked_for_and_kept_in_memory_alone(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLINE_KEYS", KEY)
    opened = visit()
    page = opened.page
    entry = page.get_by_role("dialog", name="This server asks for a key")
    expect(entry).to_be_visible()
    keep(page, "key")
    entry.get_by_role("textbox", name="Key").fill("wrong")
    page.keyboard.press("Enter")
    expect(entry).to_contain_text("The server does not know this key.")
    entry.get_by_role("textbox", name="Key").fill(KEY)
    entry.get_by_role("button", name="Use this key").click()
    expect(entry).to_be_hidden()
    expect(opened.ask_whole().locator(".answer")).to_contain_text("thirty days")
    kept = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])")
    assert KEY not in kept
    assert KEY not in page.content()
    assert page.context.cookies() == []
    page.reload()
    expect(entry).to_be_visible()
    entry.get_by_role("button", name="Cancel").click()
    expect(opened.ask().page.get_by_role("dialog", name="This server asks for a key")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_be_visible()


def test_what_a_plug_in_asks_of_itself_asks_for_no_key_again(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module may come after the reader would rather give none; a question then asks anew."""
    pytest.importorskip("ragline_media", reason="ragline-media is not installed")
    monkeypatch.setenv("RAGLINE_KEYS", KEY)
    opened = visit()
    page = opened.page
    parts = hold(page, "**/page/parts.json")
    page.reload()
    entry = page.get_by_role("dialog", name="This server asks for a key")
    expect(entry).to_be_visible()
    entry.get_by_role("button", name="Cancel").click()
    expect(entry).to_be_hidden()
    with page.expect_response(lambda response: response.url.endswith("/v1/index")) as late:
        parts().continue_()
    assert late.value.status == 401
    page.evaluate("new Promise((resolve) => setTimeout(resolve))")
    expect(entry).to_be_hidden()
    opened.ask()
    expect(entry).to_be_visible()


KEY = "a-key-of-at-least-thirty-two-characters-0123"


def test_a_request_that_was_on_its_way_while_a_key_was_asked_for_does_not_ask_again(
    visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_KEYS", KEY)
    page = visit().page
    entry = page.get_by_role("dialog", name="This server asks for a key")
    expect(entry).to_be_visible()
    late = hold(page, "**/v1/sessions*")
    page.evaluate(TWO_REQUESTS)
    expect(page.locator("body")).to_have_attribute("data-refused", "")
    entry.get_by_role("button", name="Cancel").click()
    late().continue_()
    expect(page.locator("body")).to_have_attribute("data-refused", "rr")
    expect(entry).to_be_hidden()


def test_what_is_asked_for_after_the_reader_gave_no_key_asks_again(
    visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_KEYS", KEY)
    page = visit().page
    entry = page.get_by_role("dialog", name="This server asks for a key")
    expect(entry).to_be_visible()
    page.evaluate(CLOSED_AND_ASKED)  # before a busy browser has told that the dialog is closed
    expect(entry).to_be_visible()
    entry.get_by_role("textbox", name="Key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_attribute("data-came", "answered")


CLOSED_AND_ASKED = """async () => {
  const { withKey } = await import("/page/entry.js");
  const { call } = await import("/page/talk.js");
  document.getElementById("entry").close("");
  const told = (what) => () => { document.body.dataset.came = what; };
  withKey(() => call("v1/index")).then(told("answered"), told("refused"));
}"""

TWO_REQUESTS = """async () => {
  const { withKey } = await import("/page/entry.js");
  const { call } = await import("/page/talk.js");
  const said = document.body.dataset;
  said.refused = "";
  const refuse = () => { said.refused += "r"; };
  withKey(() => call("v1/sessions")).catch(refuse);
  withKey(() => call("v1/index")).catch(refuse);
}"""


def test_a_server_that_is_gone_is_said_so(visit: Open) -> None:
    opened = visit()
    opened.server.end()
    turn = opened.ask()
    expect(turn.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    expect(opened.page.locator("#notice")).to_have_text("The server cannot be reached.")


def test_a_question_without_passages_is_declined(visit: Open) -> None:
    opened = visit()
    turn = opened.ask_whole("zebra")
    expect(turn.locator(".note")).to_have_text("The passages hold no answer to this.")
    expect(turn.locator(".sources")).to_be_hidden()


def test_hostile_passages_titles_answers_and_questions_are_text(visit: Open) -> None:
    opened = visit(f"Lost keys are reported at once [1]. {ATTACK}")
    page = opened.page
    turn = opened.ask_whole(f"lost key {ATTACK}")
    expect(turn.locator(".question")).to_contain_text(ATTACK)
    expect(turn.locator(".answer")).to_contain_text(ATTACK)
    expect(turn.locator(".source .title")).to_have_text([f"Keys {ATTACK}"])
    turn.locator("summary").click()
    expect(turn.locator("tbody")).to_contain_text(ATTACK)
    turn.locator(".cite").first.click()
    expect(page.locator("#passage-text")).to_contain_text(f"{ATTACK} <|im_end|> &amp; [9]")
    keep(page, "hostile")
    assert page.evaluate("window.broken") is None
    assert page.locator("body :is(script, img, iframe, a:not(.skip))").count() == 0
    assert opened.complaints == []


def test_nothing_is_fetched_from_elsewhere_and_inline_code_cannot_run(visit: Open) -> None:
    opened = visit()
    turn = opened.ask_whole()
    turn.locator(".cite").first.click()
    assert {request.url.split("/")[2] for request in opened.asked} == {opened.server.url.split("/")[2]}
    policy = opened.page.request.get(opened.server.url).headers["content-security-policy"]
    assert policy == HEADERS[b"content-security-policy"].decode()
    opened.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.broken = true";
          document.body.append(script);
          const style = document.createElement("style");
          style.textContent = "body { display: none }";
          document.body.append(style);
        }"""
    )
    assert opened.page.evaluate("window.broken") is None
    expect(opened.page.get_by_label("Question")).to_be_visible()


def test_it_works_under_the_path_of_another_application(browser: Any, index: Path) -> None:
    with load_pipeline(graph(says(REPLY)), index=index) as pipeline:
        outer = Starlette(routes=[Mount("/handbook", create_app(pipeline, ServeSettings()))])
        with served(outer) as server, browser.new_context() as context:
            page = context.new_page()
            page.goto(f"{server.url}/handbook/")
            page.get_by_label("Question").fill(QUESTION)
            page.keyboard.press("Enter")
            expect(page.locator(".answer")).to_contain_text("thirty days of paid leave")


def test_everything_can_be_done_from_the_keyboard(visit: Open) -> None:
    opened = visit()
    page = opened.page

    def tab_to(selector: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                assert page.evaluate(FOCUS_IS_VISIBLE), selector
                return
        raise AssertionError(f"Tab never reaches {selector}")

    expect(page.get_by_label("Question")).to_be_focused()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".stages")).to_be_visible()
    expect(page.get_by_label("Question")).to_be_focused()
    page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    tab_to(".cite")
    page.keyboard.press("Enter")
    expect(page.locator("#passage-title")).to_be_focused()
    tab_to("#passage-text, #passage-close")
    page.keyboard.press("Escape")
    expect(page.locator(".cite").first).to_be_focused()
    tab_to(".source")
    page.keyboard.press("Space")
    expect(page.locator("#passage-title")).to_be_focused()
    page.keyboard.press("Escape")
    tab_to("summary")
    page.keyboard.press("Enter")
    expect(page.locator(".steps")).to_be_visible()
    tab_to(".wide")
    tab_to("#question")
    page.keyboard.type("Do they lapse?")
    tab_to("#send")
    page.keyboard.press("Enter")
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".turn").last.locator(".stages")).to_be_visible()
    expect(page.get_by_label("Question")).to_be_focused()


FOCUS_IS_VISIBLE = """() => {
  const style = getComputedStyle(document.activeElement);
  const box = document.activeElement.closest(".box:focus-within");
  return style.outlineStyle !== "none" || (box !== null && getComputedStyle(box).boxShadow !== "none");
}"""


def test_a_screen_reader_hears_the_steps_and_the_whole_answer_not_every_word(
    visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = visit()
    page = opened.page
    page.evaluate(
        """() => {
          window.heard = [];
          const said = document.querySelector("#said");
          new MutationObserver(() => said.textContent && window.heard.push(said.textContent)).observe(
            said, { childList: true, characterData: true, subtree: true });
        }"""
    )
    turn = opened.ask_whole()
    page.wait_for_function("window.heard.length > 2")
    assert page.evaluate("window.heard") == ["Searching", "Reading 3 passages", f"Answer: {REPLY} 3 sources."]
    assert turn.locator("[aria-live], [role=status], [role=log]").count() == 0


def test_controls_have_names_and_the_page_has_a_structure(visit: Open) -> None:
    opened = visit()
    page = opened.page
    turn = opened.ask_whole()
    turn.locator("summary").click()
    turn.locator(".cite").first.click()
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if node.get("role", {}).get("value") in NAMED and not node.get("ignored")]
    roles = {node["role"]["value"] for node in controls}
    assert {"button", "textbox", "dialog", "form", "region", "table", "DisclosureTriangle"} <= roles
    assert [node["role"]["value"] for node in controls if not node.get("name", {}).get("value")] == []
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() == "ragline"
    for landmark in ("banner", "main"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(turn.get_by_role("heading", level=2)).to_have_text(QUESTION)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))
    small = page.evaluate(
        """[...document.querySelectorAll("button, summary, textarea")]
             .filter((control) => control.checkVisibility())
             .map((control) => [control.textContent, control.getBoundingClientRect()])
             .filter(([, box]) => box.width < 24 || box.height < 24)"""
    )
    assert small == []


NAMED = {
    "button",
    "textbox",
    "link",
    "dialog",
    "form",
    "region",
    "table",
    "DisclosureTriangle",
    "columnheader",
    "rowheader",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(visit: Open, scheme: str) -> None:
    opened = visit(color_scheme=scheme, reduced_motion="reduce")
    page = opened.page
    turn = opened.ask_whole()
    turn.locator("summary").click()
    turn.locator(".cite").first.click()
    opened.server.end()
    expect(opened.ask("paid leave").get_by_role("alert")).to_be_visible()
    expect(page.locator("#notice")).to_be_visible()
    found = page.evaluate(CONTRASTS)
    assert len(found) > 40
    assert [text for text in found if text["ratio"] < text["least"]] == []
    keep(page, scheme)


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => (c * a + below[i] * (255 - a)) / 255);
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const colour = channels(getComputedStyle(element).backgroundColor);
    return colour[3] === 255 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest(".unseen, template")) continue;
    const style = getComputedStyle(element);
    const below = behind(element);
    const [high, low] = [light(over(channels(style.color), below)), light(below)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({ text: texts.currentNode.data.slice(0, 40), ratio: (high + 0.05) / (low + 0.05), least: large ? 3 : 4.5 });
  }
  return found;
}"""


def test_it_fits_a_small_screen(visit: Open) -> None:
    opened = visit()
    page = opened.page
    page.set_viewport_size({"width": 360, "height": 740})
    turn = opened.ask_whole(f"{QUESTION} {'paid' * 40}")
    turn.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    keep(page, "small")
    turn.locator(".cite").first.click()
    panel = page.locator("#passage")
    expect(panel).to_be_visible()
    assert panel.evaluate("panel => panel.matches(':modal') && panel.scrollWidth <= 360")
    keep(page, "small-passage")


def test_nothing_moves_for_those_who_asked_for_that(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = visit(reduced_motion="reduce")
    held = Held().hold(opened.models["writer"], monkeypatch)
    turn = opened.ask()
    expect(turn.locator(".answer")).to_contain_text("You have")
    assert opened.page.evaluate("document.getAnimations().length") == 0
    held.go.set()


def test_sentences_that_no_passage_supports_are_marked(visit: Open) -> None:
    opened = visit(
        "🌞 You have thirty days of paid leave [1]. Pigs 🌞 fly over [2] the workshop. Illness is not counted [3].",
        checked=True,
    )
    turn = opened.ask_whole()
    expect(turn.locator(".doubted")).to_have_text(["Pigs 🌞 fly over ", " the workshop."])
    expect(turn.locator(".verdict")).to_have_text(["not in the passages"])
    expect(turn.locator(".answer")).to_contain_text("the workshop.not in the passages Illness")
    expect(turn.locator(".note")).to_have_text(
        re.compile(
            r"The words of 2 of 3 sentences stand in passages? .*, 1 is not in the passages; whether they answer .*"
        )
    )
    keep(opened.page, "checked")
    opened.page.reload()
    expect(opened.page.locator(".turn .verdict")).to_have_text(["not in the passages"])
    assert opened.complaints == []


# --- files ---


def test_a_file_is_brought_replaced_and_refused_in_words(visit: Open, index: Path, tmp_path: Path) -> None:
    own, inbox = tmp_path / "own", tmp_path / "inbox"
    shutil.copytree(index, own)
    (tmp_path / "fish.md").write_text("# Fish\n\nThe zebrafish lives in the tank by the door.\n")
    (tmp_path / "broken.pdf").write_text("no PDF")
    opened = visit(indexes=[own], uploads=inbox)
    page = opened.page
    answers = iter([True, False])
    page.on("dialog", lambda asked: asked.accept() if next(answers) else asked.dismiss())
    button, field, notice = (
        page.get_by_role("button", name="Add files"),
        page.locator("#bring-files"),
        page.locator("#notice"),
    )
    expect(button).to_be_visible()
    before = len(held_in(own))
    field.set_input_files([tmp_path / "fish.md", tmp_path / "broken.pdf"])
    expect(notice).to_contain_text("1 file is in the index. Questions find it in a moment.")
    expect(notice).to_contain_text("inbox/broken.pdf: ")
    expect(page.locator("#index")).to_have_text(f"own, {before + 1} passages")
    keep(page, "files")
    (tmp_path / "fish.md").write_text("# Fish\n\nThe tank is empty.\n\n# Birds\n\nThe parrot moved in.\n")
    field.set_input_files(tmp_path / "fish.md")
    expect(notice).to_have_text("1 file is in the index. Questions find it in a moment.")
    assert "The tank is empty." in " ".join(held_in(own))
    field.set_input_files(tmp_path / "fish.md")
    expect(notice).to_have_text("There is a file 'fish.md' already.")
    assert not opened.complaints


def held_in(index: Path) -> list[str]:
    with LocalIndex.open(index) as opened:
        return [document.text for document in opened.documents]


def test_nothing_is_offered_where_no_files_are_taken(visit: Open) -> None:
    opened = visit()
    expect(opened.page.locator("#index:not(:empty)")).to_be_visible()
    expect(opened.page.get_by_role("button", name="Add files")).to_be_hidden()
