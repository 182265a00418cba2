"""Messages of a chat -> a document for every thread, and one for what was said on a day beside threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from rag.ingest.clean import Cleaner
from rag.ingest.layout import Layout
from rag.ingest.types import ParsedDocument, own_fields

_AUTHORS = 50
"""People that the metadata of a document name."""
_TITLE = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What somebody said in a channel. `thread`: what messages of one thread have in common; empty for one of none."""

    author: str
    text: str
    sent: datetime
    thread: str = ""


def documents(channel: str, messages: Iterable[Message], name: str, clean: Cleaner) -> Iterator[ParsedDocument]:
    """Threads and days of a channel in the order of their first messages, named `name/THREAD` and `name/YYYY-MM-DD`.

    Author and text are the text; channel, people, and when it began and ended are metadata.
    """
    groups: dict[str, list[Message]] = {}
    for message in sorted(messages, key=lambda each: each.sent):
        groups.setdefault(message.thread or message.sent.date().isoformat(), []).append(message)
    for key, group in groups.items():
        layout = Layout(clean)
        for message in group:
            layout.block(f"{clean.line(message.author)}: {message.text}")
        first = group[0]
        about = clean.line(first.text)[:_TITLE] if first.thread else key
        metadata = {
            "channel": channel,
            "authors": list(dict.fromkeys(clean.line(message.author) for message in group))[:_AUTHORS],
            "date": first.sent.isoformat(),
            "until": group[-1].sent.isoformat(),
        }
        doc_id = f"{name}/{key}"
        yield layout.document(doc_id, title=f"{channel} › {about}", metadata=own_fields(metadata))
