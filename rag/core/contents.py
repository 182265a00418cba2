"""What a document, a query or a message holds beside its text: pictures, sound, any kind that has a name.

A content is held by reference, with the sha256 of its bytes: nobody here opens it. Who can read a kind says so
(`rag.core.protocols.ReadsKinds`); whoever says nothing reads text alone. Text is the plain case and costs nothing: where there are
no contents, every digest, file and message is what it is for text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

TEXT = "text"
TEXT_ALONE = frozenset({TEXT})
"""What is read by parts that say nothing."""

ANY = frozenset({"any"})
"""What is read by parts that look at no content, and so leave none out."""

_SHA256 = r"[0-9a-f]{64}"
_KIND = r"[a-z][a-z0-9_]{0,39}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One picture, one piece of sound, or another thing that is no text.

    `kind` is a name, such as picture or sound; `media_type` as in image/png; `uri` says where the bytes are, `sha256` (hex) which
    they are. `text` is what stands for it in words, such as a caption or a transcript. `data`: the bytes themselves, as a
    `data:` address, where a stage puts them before a model; nothing that is written or sent to whoever asked has them.
    """

    kind: str
    uri: str
    sha256: str
    media_type: str = ""
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    data: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(_KIND, self.kind) or self.kind == TEXT:
            raise ValueError(
                f"a content's kind is a lower-case name other than {TEXT}, such as picture, got {self.kind[:80]!r}"
            )
        if not re.fullmatch(_SHA256, self.sha256):
            raise ValueError(f"a content's sha256 is 64 hexadecimal digits of its bytes, got {self.sha256[:80]!r}")


class TextWith(str):
    """A text with contents beside it. It is a plain string to code that reads text alone."""

    __slots__ = ("contents",)
    contents: tuple[Content, ...]

    def __new__(cls, text: str, contents: Sequence[Content]) -> Self:
        instance = super().__new__(cls, text)
        instance.contents = tuple(contents)
        return instance

    def __getnewargs__(self) -> tuple[str, tuple[Content, ...]]:  # type: ignore[override]
        return str(self), self.contents

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True and self.contents == beside(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((str(self), self.contents))


def beside(text: object) -> tuple[Content, ...]:
    """The contents that a text comes with."""
    return text.contents if isinstance(text, TextWith) else ()


def with_contents(text: str, contents: Sequence[Content], kinds: Collection[str]) -> str:
    """The text, with its contents of these kinds beside it. Without any, it is the plain text."""
    read = of_kinds(contents, kinds) if contents else ()
    return TextWith(text, read) if read else text


def text_digest(text: str) -> bytes:
    """sha256 of a text's UTF-8; half of a surrogate pair counts as itself."""
    from hashlib import sha256  # it costs as much as all records together, and most programs digest nothing

    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def digest_of(text: str, contents: Sequence[Content] = ()) -> bytes:
    """The digest of a text together with its contents. For a text alone it is that of `text_digest`.

    Where the bytes lie does not count, nor does metadata. A text that has contents of its own needs no second argument.
    """
    contents = contents or beside(text)
    if not contents:
        return text_digest(text)
    from hashlib import sha256

    digest = sha256(text_digest(text))
    for content in contents:
        digest.update(text_digest(content.kind) + bytes.fromhex(content.sha256) + text_digest(content.text))
    return digest.digest()


def kinds_of(contents: Iterable[Content]) -> frozenset[str]:
    """The kinds of these contents. Text is not one of them."""
    return frozenset(content.kind for content in contents)


def of_kinds(contents: Sequence[Content], kinds: Collection[str]) -> tuple[Content, ...]:
    """The contents of these kinds, in order."""
    return tuple(content for content in contents if content.kind in kinds)


def content_json(content: Content) -> dict[str, Any]:
    """A content as plain data, empty fields left out; `read_content` is the inverse."""
    fields = {
        "kind": content.kind,
        "media_type": content.media_type,
        "uri": content.uri,
        "sha256": content.sha256,
        "text": content.text,
        "metadata": dict(content.metadata),
    }
    return {name: value for name, value in fields.items() if value}


def read_content(data: Mapping[str, Any]) -> Content:
    """A content from plain data.

    Raises:
        ValueError: a field is missing, unknown or of another type; says which.
    """
    known = {"kind": str, "uri": str, "sha256": str, "media_type": str, "text": str, "metadata": dict}
    if missing := [name for name in ("kind", "uri", "sha256") if name not in data]:
        raise ValueError(f"a content needs {', '.join(missing)}")
    for name, value in data.items():
        if name not in known:
            raise ValueError(f"a content has no field {str(name)[:80]!r}; it has {', '.join(known)}")
        if not isinstance(value, known[name]):
            raise ValueError(f"a content's {name} is of another type: {type(value).__name__}")
    return Content(**data)
