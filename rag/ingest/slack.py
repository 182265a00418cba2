"""Exports of Slack: which files they have, and a document for every thread, and for what a day has beside threads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from itertools import chain
from typing import Any

from rag.ingest.clean import Cleaner
from rag.ingest.layout import Layout
from rag.ingest.tally import Tally
from rag.ingest.types import ParsedDocument, ReadError, own_fields

_DAY = re.compile(r"\A([^/]+)/\d{4}-\d\d-\d\d\.json\Z")
_MARK = re.compile(r"<([@#!]?)([^<>|\n]{1,2000})(?:\|([^<>\n]{0,500}))?>")
_NO_WORDS = ("channel_", "group_", "bot_add", "bot_remove")
"""Beginnings of kinds of messages that Slack writes of its own accord."""
_KEY = 40
"""Characters of the time that names a thread."""
_AUTHORS = 50
"""People that the metadata of a document name."""
_TITLE = 80

People = Mapping[str, str]
"""Id of a user -> their name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Names of its files. `channels`: name of one -> its files, a day each. `names`: these, and what is about them."""

    users: str
    channels: Mapping[str, Sequence[str]]
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What somebody said in a channel. `thread`: what messages of one thread have in common; empty for one of none."""

    author: str
    text: str
    sent: datetime
    thread: str = ""


def export_of(names: Iterable[str]) -> Export | None:
    """The export that lies among files, at the top or in a folder; None where there is none."""
    known = frozenset(names)
    roots = (name.removesuffix("channels.json") for name in sorted(known) if name.endswith("channels.json"))
    root = next((root for root in roots if root[-1:] in ("", "/") and f"{root}users.json" in known), None)
    if root is None:
        return None
    inside = sorted(name for name in known if name.startswith(root))
    channels: dict[str, list[str]] = {}
    for name in inside:
        if match := _DAY.match(name[len(root) :]):
            channels.setdefault(match[1], []).append(name)
    about = [name for name in inside if "/" not in name[len(root) :] and name.endswith(".json")]
    return Export(
        users=f"{root}users.json", channels=channels, names=frozenset([*about, *chain.from_iterable(channels.values())])
    )


def documents(export: Export, read: Callable[[str], bytes], name: str, tally: Tally) -> Iterator[ParsedDocument]:
    """Threads and days of every channel. A file that cannot be read is counted.

    Args:
        read: what a file of the export holds.
        name: of the archive that it lies in.
    """
    clean = Cleaner()

    def records(file: str) -> list[dict[str, Any]]:
        try:
            return _records(read(file))
        except ReadError as cause:
            tally.add(f"not read: {cause}", f"in {name}/{file}", lost=True)
            return []

    people = people_of(records(export.users))
    for channel, days in export.channels.items():
        messages = chain.from_iterable(messages_of(records(day), people) for day in days)
        yield from conversations(channel, messages, f"{name}/{days[0].rpartition('/')[0]}", clean)


def conversations(channel: str, messages: Iterable[Message], name: str, clean: Cleaner) -> Iterator[ParsedDocument]:
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


def people_of(users: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Id -> the name that they are known by."""
    people: dict[str, str] = {}
    for user in users:
        profile = user.get("profile")
        names = {
            **(profile if isinstance(profile, dict) else {}),
            **{key: user[key] for key in user if key != "profile"},
        }
        known = (names.get(key) for key in ("real_name", "display_name", "name"))
        people[str(user.get("id"))] = next((name for name in known if isinstance(name, str) and name), "")
    return people


def messages_of(records: Iterable[Mapping[str, Any]], people: People) -> Iterator[Message]:
    """What people said, without what Slack writes itself, such as that somebody joined."""
    for record in records:
        sent, text = _moment(record.get("ts")), _text(record, people)
        if sent is None or not text or str(record.get("subtype", "")).startswith(_NO_WORDS):
            continue
        user = str(record.get("user", ""))
        author = people.get(user) or str(record.get("username") or user or "somebody")
        thread = record.get("thread_ts")
        yield Message(author=author, text=text, sent=sent, thread=str(thread)[:_KEY] if _moment(thread) else "")


def _text(record: Mapping[str, Any], people: People) -> str:
    """What was written, and the names of files that came with it."""

    def plain(match: re.Match[str]) -> str:
        sign, target, label = match.groups()
        if sign == "@":
            return f"@{people.get(target) or label or target}"
        if sign:
            return f"{'#' if sign == '#' else '@'}{label or target}"
        return f"{label} ({target})" if label and label != target else target

    written = record.get("text")
    files = record.get("files")
    names = [str(file.get("name") or "") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    said = unescape(_MARK.sub(plain, written)).strip() if isinstance(written, str) else ""
    return "\n".join(filter(None, [said, *(f"Attachment: {name}" for name in names if name)]))


def _moment(ts: object) -> datetime | None:
    """A time as Slack writes it: seconds, as text."""
    try:
        return datetime.fromtimestamp(float(ts), UTC) if isinstance(ts, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _records(data: bytes) -> list[dict[str, Any]]:
    try:
        records = json.loads(data)
    except (ValueError, RecursionError):
        raise ReadError("not JSON, as files of an export of Slack are") from None
    if not isinstance(records, list):
        raise ReadError("not a list, as files of an export of Slack are")
    return [record for record in records if isinstance(record, dict)]
