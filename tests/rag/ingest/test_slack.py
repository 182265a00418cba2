"""Exports of Slack: threads whole, whoever spoke by name, and a broken day costs no other."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rag.ingest import Problem, SourceFile, discover
from tests.rag.ingest.alone import read

At = Callable[..., SourceFile]

USERS: list[Any] = [
    {"id": "U1", "name": "ann", "profile": {"real_name": "Ann Lee", "display_name": "annie"}},
    {"id": "U2", "name": "bob"},
    "odd",
]
ROOT = "1709546400.000100"  # 2024-03-04T10:00:00
DAYS: dict[str, Any] = {
    "users.json": USERS,
    "channels.json": [{"id": "C1", "name": "general"}],
    "general/2024-03-04.json": [
        {"user": "U1", "ts": ROOT, "thread_ts": ROOT, "text": "Where is the <https://x.org/w|wheel>, <@U2>?"},
        {"user": "U2", "ts": "1709546500.0", "text": "Good morning &amp; hello <#C1|general> <!here>"},
        {"user": "U1", "ts": "1709546450.0", "subtype": "channel_join", "text": "<@U1> has joined"},
        {"ts": "odd", "text": "no time"},
        7,
    ],
    "general/2024-03-05.json": [
        {
            "user": "U2",
            "ts": "1709632800.0",
            "thread_ts": ROOT,
            "text": "In the shed.",
            "files": [{"name": "shed.jpg"}, 3],
        },
        {"username": "robot", "subtype": "bot_message", "ts": "1709632900.0", "text": "Built."},
    ],
}


def export(path: Path, files: Mapping[str, Any], *, below: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(below + name, content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("below", ["", "Our export/"])
def test_a_thread_is_whole_and_the_rest_goes_by_day(tmp_path: Path, at: At, below: str) -> None:
    told: list[Problem] = []
    thread, first, second = read(at(export(tmp_path / "s.zip", DAYS, below=below)), report=told.append)
    assert told == []
    assert (thread.doc_id, thread.title) == (
        f"s.zip/{below}general/{ROOT}",
        "general › Where is the wheel (https://x.org/w), @bob?",
    )
    assert (
        thread.text == "Ann Lee: Where is the wheel (https://x.org/w), @bob?\n\nbob: In the shed.\nAttachment: shed.jpg"
    )
    assert {key: thread.metadata[key] for key in ("channel", "authors", "date", "until")} == {
        "channel": "general",
        "authors": ["Ann Lee", "bob"],
        "date": "2024-03-04T10:00:00.000100+00:00",
        "until": "2024-03-05T10:00:00+00:00",
    }
    assert (first.doc_id, first.text) == (
        f"s.zip/{below}general/2024-03-04",
        "bob: Good morning & hello #general @here",
    )
    assert (second.title, second.text) == ("general › 2024-03-05", "robot: Built.")


def test_a_broken_day_and_broken_users_are_told_and_the_rest_is_read(tmp_path: Path, at: At) -> None:
    told: list[Problem] = []
    files = DAYS | {"users.json": "{", "general/2024-03-04.json": {"ok": False}}
    thread, day = read(at(export(tmp_path / "s.zip", files)), report=told.append)
    assert thread.text.startswith("U2: In the shed.")
    assert day.text == "robot: Built."
    assert [(each.reason, each.lost) for each in told] == [
        ("not read: not JSON, as files of an export of Slack are: 1, first in s.zip/users.json", True),
        ("not read: not a list, as files of an export of Slack are: 1, first in s.zip/general/2024-03-04.json", True),
    ]


def test_other_files_beside_channels_are_read_as_they_are(tmp_path: Path, at: At) -> None:
    files = DAYS | {"general/canvas.md": "# Canvas\n\nOur plan."}
    assert read(at(export(tmp_path / "s.zip", files)))[-1].doc_id == "s.zip/general/canvas.md"


def test_an_archive_without_users_is_no_export(tmp_path: Path, at: At) -> None:
    files = {name: content for name, content in DAYS.items() if name == "general/2024-03-05.json"}
    assert [each.metadata["ts"] for each in read(at(export(tmp_path / "s.zip", files)))] == [
        "1709632800.0",
        "1709632900.0",
    ]


def test_an_export_as_a_folder_is_told_of(tmp_path: Path) -> None:
    with zipfile.ZipFile(export(tmp_path / "s.zip", DAYS)) as archive:
        archive.extractall(tmp_path / "src" / "slack")
    (problem,) = discover(tmp_path / "src").problems
    assert (problem.name, problem.lost) == ("slack", False)
    assert "Give it as the .zip" in problem.reason
