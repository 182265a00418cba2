"""Contents on the wire: by kind, what a reply says of one, and how a request holds one."""

from __future__ import annotations

import logging
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

from rag.core.contents import Content, content_json
from rag.core.registry import Registry
from rag.core.types import Query

log = logging.getLogger(__name__)

CONTENTS = Registry("content", {})
"""Kind -> its form, in the place of ours where we have one."""


IN_WORDS = Registry("in_words", {})
"""Kind -> a function that gives what a content of it says in words. Who reads text reads documents of such a kind, as their text
has these words; those of a question are put into it."""


class ContentForm(Protocol):
    """How contents of a kind go over the wire."""

    def shown(self, content: Content) -> Mapping[str, Any]:
        """What a reply says of one, as plain data."""

    def read(self, data: Mapping[str, Any]) -> Content:
        """One that a request holds, with its bytes: an address in there is a stranger's. ValueError says what one is."""


@dataclass(frozen=True, slots=True)
class _Inside:
    """Of a media type of this family, with its bytes in base64."""

    kind: str
    family: str

    def shown(self, content: Content) -> Mapping[str, Any]:
        return content_json(content)

    def read(self, data: Mapping[str, Any]) -> Content:
        media_type, encoded = data.get("media_type"), data.get("data")
        fits = isinstance(media_type, str) and re.fullmatch(rf"{self.family}/[a-z0-9.+-]{{1,60}}", media_type)
        if not fits or not isinstance(encoded, str) or len(data) > len(("kind", "media_type", "data")):
            raise ValueError(
                f"a {self.kind} has its kind, a media_type such as {self.family}/..., its bytes as data, and no more"
            )
        return inside(self.kind, str(media_type), encoded)


_ON_THIS_MACHINE = ("file:", "/", "~", "\\")

_OURS = {"picture": _Inside("picture", "image"), "sound": _Inside("sound", "audio")}


def _form(kind: str) -> ContentForm | None:
    return CONTENTS.get(kind) if kind in CONTENTS else _OURS.get(kind)  # type: ignore[return-value]


def shown(content: Content) -> Mapping[str, Any]:
    """What a reply says of a content, by the form of its kind; all that is known of it where there is no form, or it fails.

    Where it lies on this machine is told nobody, and bytes that a model looked at go nowhere else.
    """
    if content.data:
        content = replace(content, data="")
    if content.uri.startswith(_ON_THIS_MACHINE):
        content = replace(content, uri=f"sha256:{content.sha256}")
    try:
        form = _form(content.kind)
        return content_json(content) if form is None else form.shown(content)
    except Exception as error:
        log.warning("content.%s does not say how one is shown: %s", content.kind, type(error).__name__)
        return content_json(content)


def read(data: Any) -> Content:
    """A content of a request, an object with a kind, by the form that this has.

    Raises:
        ValueError: its kind has none, or it is none by that; says what is known.
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    form = _form(kind) if isinstance(kind, str) else None
    if form is None:
        known = ", ".join(sorted({*CONTENTS, *_OURS}))
        raise ValueError(f"no content of kind {str(kind)[:80]!r} is taken here; known kinds are {known}")
    return form.read(data)


def inside(kind: str, media_type: str, data: str) -> Content:
    """A content whose bytes are in the request.

    Raises:
        ValueError: they are not base64.
    """
    try:
        digest = sha256(b64decode(data, validate=True)).hexdigest()
    except ValueError:
        raise ValueError(f"a {kind} is sent in base64, and this is none") from None
    return Content(kind=kind, media_type=media_type, uri=f"data:{media_type};base64,{data}", sha256=digest)


def in_words(query: Query) -> Query:
    """The question with what it holds of `IN_WORDS` as words behind its text, and so each turn before it."""
    history = tuple(replace(turn, **_in_words(turn.content, turn.contents, "content")) for turn in query.history)
    return replace(query, **_in_words(query.text, query.contents, "text"), history=history)


def _in_words(text: str, contents: tuple[Content, ...], field: str) -> dict[str, Any]:
    said = [IN_WORDS.get(each.kind)(each) for each in contents if each.kind in IN_WORDS]
    others = tuple(each for each in contents if each.kind not in IN_WORDS)
    return {field: " ".join(filter(None, [text, *map(str, said)])), "contents": others} if said else {}
