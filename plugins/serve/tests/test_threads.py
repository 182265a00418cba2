from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from plugins.serve.tests.asking import DEADLINE_S
from plugins.serve.tests.walled import client, question
from rag.pipeline import load_pipeline
from ragline_serve.service.gather import Overloaded, Threads
from tests.scripted_graph import graph


class Gate:
    """Calls that wait until they may go on, and say what they are."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun: list[str] = []

    def __call__(self, name: str) -> str:
        self.begun.append(name)
        assert self.go.wait(DEADLINE_S)
        return f"{name}!"


async def until_begun(gate: Gate, n: int) -> None:
    while len(gate.begun) < n:
        await asyncio.sleep(0.001)


def test_more_than_places_and_room_are_refused_at_once() -> None:
    gate = Gate()

    async def ask() -> list[str]:
        threads = Threads("t", places=2, room=1)
        tasks = [asyncio.create_task(threads(gate, name)) for name in "abc"]
        await until_begun(gate, 2)
        assert threads.waiting == 1
        with pytest.raises(Overloaded) as refused:
            await threads(gate, "d")
        assert refused.value.retry_after_s >= 1
        gate.go.set()
        made = await asyncio.gather(*tasks)
        while threads.waiting or threads._inside:
            await asyncio.sleep(0.001)
        made.append(await threads(gate, "e"))
        threads.close()
        return made

    assert asyncio.run(ask()) == ["a!", "b!", "c!", "e!"]
    assert gate.begun == ["a", "b", "c", "e"]


def test_who_leaves_before_the_call_begins_takes_it_along_and_one_that_runs_keeps_its_place() -> None:
    gate = Gate()

    async def ask() -> None:
        threads = Threads("t", places=1, room=1)
        running, waiting = (asyncio.create_task(threads(gate, name)) for name in "ab")
        await until_begun(gate, 1)
        waiting.cancel()
        while threads.waiting:
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait([running, waiting])
        assert threads._inside == 1, "its thread is at work still"
        gate.go.set()
        while threads._inside:
            await asyncio.sleep(0.001)
        threads.close()

    asyncio.run(ask())
    assert gate.begun == ["a"]


def test_an_error_is_the_callers() -> None:
    def fails() -> None:
        raise KeyError("x")

    async def ask() -> None:
        threads = Threads("t", places=1, room=1)
        with pytest.raises(KeyError):
            await threads(fails)
        threads.close()

    asyncio.run(ask())


def test_a_server_that_is_busy_counting_refuses_instead_of_piling_up(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chats and filters are looked at in threads before any waiting room; that has a bound too."""
    with load_pipeline(graph(), index=index) as pipeline, client(pipeline, waiting_room=1) as asking:
        service: Any = asking.app.state.services.first  # type: ignore[attr-defined]
        checks: Threads = service.checks
        monkeypatch.setattr(checks, "_inside", checks._places + 1)
        for path, body in (
            ("/v1/chat/completions", question()),
            ("/v1/search", {"query": "leave", "where": {"source": "texts/d02.md"}}),
        ):
            refused = asking.post(path, json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["error"]["code"] == "overloaded"
        assert 'ragline_waiting{part="checks"} 1.0' in asking.get("/metrics").text
        monkeypatch.setattr(checks, "_inside", 0)
        assert asking.post("/v1/chat/completions", json=question()).status_code == 200
