"""Questions and answers that a page declares by schema.org's `FAQPage`, in JSON-LD or in microdata.

A page that declares what it does not have is read as an ordinary page, and the note says where it is wrong. Nothing here
recurses, and questions that no person wrote by hand are not taken apart.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rag.ingest.layout import LINE, Layout
from rag.ingest.markup import soup_of, walk
from rag.ingest.types import Note

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

MOST = 1_000
"""Questions of a page. What declares more was made to rank, or to harm."""
CLAIM = "FAQPage"
_MARKUP = re.compile(r"<[A-Za-z/!]")
_NAMESPACE = re.compile("[/:#]")
_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answer, which `write` adds to a document. `lang`: as declared; empty where nothing is."""

    question: str
    write: Callable[[Layout], None]
    lang: str = ""


class _WrongError(Exception):
    """Where the page is not what it declares to be, and how."""


def declared(soup: BeautifulSoup, note: Note) -> list[Asked]:
    """The questions of a page, in its order; none where it declares none, or wrongly.

    What it says in JSON-LD counts before what it says in microdata.
    """
    page_lang = _code(soup.html.get("lang")) if soup.html else ""
    try:
        found = _from_json(soup, page_lang)
        return found if found is not None else _from_microdata(soup, page_lang) or []
    except _WrongError as cause:
        note(f"declares a schema.org {CLAIM} that is none ({cause}); read as an ordinary page")
        return []


def _from_json(soup: BeautifulSoup, page_lang: str) -> list[Asked] | None:
    """None where no script declares an FAQPage."""
    asked, claimed = list[Asked](), False
    for number, script in enumerate(soup.find_all("script", type=_is_json_ld), start=1):
        text = script.get_text()
        if CLAIM not in text:
            continue
        where = f"JSON-LD, script {number}"
        try:
            data = json.loads(text, strict=False)
        except RecursionError:
            raise _WrongError(f"{where}: nested too deep") from None
        except ValueError as cause:
            raise _WrongError(f"{where}: not JSON: {str(cause)[:200]}") from None
        nodes = list(_nodes(data))
        named = {str(node["@id"]): node for node in nodes if "@id" in node and len(node) > 1}
        left = len(text)
        for page in (node for node in nodes if _is(node.get("@type"), CLAIM)):
            claimed = True
            for question, texts, lang in _questions(page, named, where):
                left -= sum(map(len, texts))
                if left < 0:
                    raise _WrongError(f"{where}: its answers name the same text again and again")
                asked.append(Asked(question, _writer_of_texts(texts), lang or page_lang))
    return _distinct(asked) if claimed else None


def _questions(page: Mapping[str, Any], named: Mapping[str, Any], where: str) -> Iterator[tuple[str, list[str], str]]:
    """Each question with its answers and language."""
    lang = _code(page.get("inLanguage"))
    listed = _listed(page.get("mainEntity"))
    _require_number(len(listed), where)
    for number, each in enumerate(listed, start=1):
        here = f"{where}, question {number}"
        question = _resolved(each, named)
        if question is None or not _is(question.get("@type"), "Question"):
            raise _WrongError(f"{here}: not a Question")
        name = question.get("name") or question.get("text")
        if not isinstance(name, str) or not (line := _line(name)):
            raise _WrongError(f"{here}: its name is no text")
        texts = []
        for answer in (_resolved(given, named) for given in _listed(question.get("acceptedAnswer"))):
            text = answer.get("text") if answer else None
            if not isinstance(text, str) or not text.strip():
                raise _WrongError(f"{here}: its answer is no text")
            texts.append(text)
        if not texts:
            raise _WrongError(f"{here}: it has no answer")
        yield line, texts, _code(question.get("inLanguage")) or lang


def _writer_of_texts(texts: list[str]) -> Callable[[Layout], None]:
    def write(layout: Layout) -> None:
        for text in map(html.unescape, texts):  # many pages escape the markup of an answer once more
            if _MARKUP.search(text):
                walk(soup_of(layout.clean(text)), layout)
            else:
                layout.block(text)

    return write


@dataclass(slots=True)
class _Item:
    """An element with `itemscope`: its element, and those that are its properties."""

    tag: Tag
    properties: dict[str, list[Tag]] = field(default_factory=dict)

    def is_a(self, name: str) -> bool:
        return _is(str(self.tag.get("itemtype") or "").split(), name)


def _from_microdata(soup: BeautifulSoup, page_lang: str) -> list[Asked] | None:
    """None where no element declares an FAQPage."""
    items = _items(soup)
    pages = [item for item in items.values() if item.is_a(CLAIM)]
    if not pages:
        return None
    where = "microdata"
    asked = list[Asked]()
    for page in pages:
        listed = page.properties.get("mainEntity", [])
        _require_number(len(listed), where)
        for number, tag in enumerate(listed, start=1):
            here = f"{where}, question {number}"
            question = items.get(id(tag))
            if question is None or not question.is_a("Question"):
                raise _WrongError(f"{here}: not a Question")
            name = next((_line(_text(each)) for each in question.properties.get("name", ())), "")
            if not name:
                raise _WrongError(f"{here}: its name is no text")
            answers = [items.get(id(each)) for each in question.properties.get("acceptedAnswer", ())]
            texts = [text for answer in answers if answer for text in answer.properties.get("text", ())[:1]]
            if not any(_text(text).strip() for text in texts):
                raise _WrongError(f"{here}: it has no answer" if not answers else f"{here}: its answer is no text")
            lang = next((_code(_text(each)) for each in question.properties.get("inLanguage", ())), "")
            asked.append(Asked(name, _writer_of_tags(texts), lang or page_lang))
    return _distinct(asked)


def _writer_of_tags(tags: list[Tag]) -> Callable[[Layout], None]:
    def write(layout: Layout) -> None:
        for tag in tags:
            if tag.name == "meta":
                layout.block(_text(tag))
            else:
                walk(tag, layout)

    return write


def _items(soup: BeautifulSoup) -> dict[int, _Item]:
    """Every item by the id() of its element, with the properties that are its own and not those of an item within.

    Raises:
        _WrongError: a question stands within a question, so that answers would be read again and again.
    """
    from bs4.element import Tag

    items: dict[int, _Item] = {}
    todo: list[tuple[Tag, _Item | None, bool]] = [(soup, None, False)]
    while todo:
        tag, owner, asked = todo.pop()
        for name in str(tag.get("itemprop") or "").split():
            if owner is not None:
                owner.properties.setdefault(name, []).append(tag)
        if tag.has_attr("itemscope"):
            owner = items[id(tag)] = _Item(tag)
            if owner.is_a("Question"):
                if asked:
                    raise _WrongError("microdata: a question within a question")
                asked = True
        todo.extend((child, owner, asked) for child in reversed(tag.contents) if isinstance(child, Tag))
    return items


def _nodes(data: Any) -> Iterator[dict[str, Any]]:
    """Every object in JSON, those that come first before those within them."""
    todo = [data]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            yield value
            todo.extend(reversed(value.values()))
        elif isinstance(value, list):
            todo.extend(reversed(value))


def _resolved(value: Any, named: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An object, or what it names by `@id` alone."""
    if isinstance(value, dict) and set(value) == {"@id"}:
        value = named.get(str(value["@id"]))
    return value if isinstance(value, dict) else None


def _require_number(n: int, where: str) -> None:
    if not n:
        raise _WrongError(f"{where}: it has no question")
    if n > MOST:
        raise _WrongError(f"{where}: {n:,} questions, above the limit of {MOST:,} a page")


def _distinct(asked: Iterable[Asked]) -> list[Asked]:
    """The first of those that ask the same."""
    first: dict[str, Asked] = {}
    for each in asked:
        first.setdefault(each.question.casefold(), each)
    return list(first.values())


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is(types: Any, name: str) -> bool:
    """Whether a type is among those given: `FAQPage`, `schema:FAQPage` or `https://schema.org/FAQPage`."""
    return any(isinstance(each, str) and _NAMESPACE.split(each)[-1] == name for each in _listed(types))


def _is_json_ld(kind: str | None) -> bool:
    return (kind or "").partition(";")[0].strip().lower() == "application/ld+json"


def _text(tag: Tag) -> str:
    return str(tag.get("content") or "") if tag.name == "meta" else str(tag.get_text(" "))


def _line(text: str) -> str:
    """A question on one line, without markup."""
    text = html.unescape(text)
    if _MARKUP.search(text):
        text = soup_of(text).get_text(" ")
    return " ".join(text.split())[:LINE]


def _code(value: Any) -> str:
    """A language tag, or nothing where something else stands there."""
    return value if isinstance(value, str) and _TAG.fullmatch(value) else ""
