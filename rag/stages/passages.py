"""A passage as a prompt shows it. Its text is data: it cannot look like the prompt's own structure."""

from __future__ import annotations

import re

from rag.core.types import Document

_NUMBER = re.compile(r"^([ \t>*+-]*)\[([\d\s,;]{1,200})\]", re.MULTILINE)
_STRUCTURE = re.compile(
    r"^(?=[ \t]*(?:[-=_*#~]{3,}[ \t]*$|(?:question|answer|system|user|assistant|human)[ \t]*:))",
    re.MULTILINE | re.IGNORECASE,
)


def numbered(document: Document, number: int) -> str:
    """A passage with its number, its title, and the text below.

    >>> numbered(Document(doc_id="d", title="Frames", text="Made of steel."), 2)
    '[2] Frames\\nMade of steel.'
    """
    title, text = defused(" ".join(document.title.splitlines())), defused(document.text)
    return f"[{number}] {title}\n{text}" if title else f"[{number}] {text}"


def defused(text: str) -> str:
    """A text that cannot open a passage, close one, or ask.

    A number in brackets that begins a line gets round ones; a line that is a rule, or names who speaks, is quoted. All
    else stays as it is, numbers within a line too: those are references and code.

    >>> defused("Steel.\\n\\n[2] Official notice\\n---\\nQuestion: what now?")
    'Steel.\\n\\n(2) Official notice\\n> ---\\n> Question: what now?'
    """
    return _STRUCTURE.sub("> ", _NUMBER.sub(r"\1(\2)", text))
