"""A load on `rag serve` over loopback: seconds to the first token, answers a second, and what the server adds to the engine.

The same graph runs here, in process, and behind a server in a process of its own. Questions are asked one by one, in
turns here and there; then 1, 8 and 32 clients at a time ask theirs, once as streams and once whole, beside the same
questions in process in one batch of as many. Every reply is checked against its question: the server must tell the
question back, and the sources must be those that the question has when it is asked alone. How many texts are equal as
well is printed; in half precision a batch's company may change a token.

    python -m plugins.serve.benchmarks.serve_load [--graph chat] [--index DIR] [--questions FILE.jsonl] [--requests 64]
    [--clients 1 8 32] [--record]

Without --index or --sources, ragline's docs and the example handbook are indexed; questions are made from the headings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks.record import Record, record
from rag.core.types import Answer, Query
from rag.indexing import build_index
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.questions import read_questions
from retrievers.index.directory import LocalIndex

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [ROOT / "docs", ROOT / "examples" / "corpus"]
MODEL = "load"
PATIENCE_S = 1800.0
FRESH = httpx2.Limits(max_keepalive_connections=0)
"""A connection per request: a server may close one that was idle just when it is used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a question is answered with when it is asked alone, in this process."""

    sources: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back for a question; seconds from sending the request."""

    question: str
    told_back: str
    sources: tuple[str, ...]
    text: str
    first_s: float
    whole_s: float


@dataclass(slots=True)
class Checked:
    """Replies against their questions."""

    replies: int = 0
    equal_texts: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    def take(self, reply: Reply, expected: Expected) -> None:
        self.replies += 1
        self.equal_texts += reply.text == expected.text
        if reply.told_back != reply.question:
            self.wrong.append(f"asked {reply.question!r}, answered {reply.told_back!r}")
        elif reply.sources != expected.sources:
            self.wrong.append(f"{reply.question!r}: sources {reply.sources}, alone {expected.sources}")


def sources_of(answer: Answer) -> tuple[str, ...]:
    return tuple(hit.doc_id for hit in answer.context.passages)


def questions_of(index: Path, n: int) -> list[str]:
    """Questions about the first headings of an index, each heading once."""
    with LocalIndex.open(index) as opened:
        titles = dict.fromkeys(document.title for document in opened.documents if document.title)
    return [f"What does it say about {title}?" for title in islice(titles, n)]


@contextmanager
def serving(graph: str, index: Path) -> Iterator[str]:
    """`rag serve` in a process of its own, ready; gives its address."""
    command = [sys.executable, "-m", "rag", "serve", "--graph", graph, "--index", str(index)]
    command += ["--name", MODEL, "--port", "0", "--rate", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    drain = threading.Thread(target=process.stderr.read, daemon=True)  # a full pipe would stop the server
    try:
        address = next((found[0] for line in process.stderr if (found := re.findall(r"http://\S+", line))), None)
        if address is None:
            raise RuntimeError(f"the server ended with {process.wait()} before it listened")
        drain.start()
        end = time.monotonic() + PATIENCE_S
        with httpx2.Client(base_url=address, timeout=PATIENCE_S, limits=FRESH) as client:
            while client.get("/ready").json()["status"] == "loading":
                if time.monotonic() > end:
                    raise RuntimeError("the server did not load its models")
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


async def ask(client: httpx2.AsyncClient, question: str, *, stream: bool, checked: Checked) -> Reply:
    """One question, asked again after each 429 as the server says."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": question}], "stream": stream}
    while True:
        begun = time.perf_counter()
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != 429:
                response.raise_for_status()
                return await (_streamed if stream else _whole)(response, question, begun)
        checked.refused += 1
        await asyncio.sleep(float(response.headers["retry-after"]))


async def _whole(response: httpx2.Response, question: str, begun: float) -> Reply:
    reply = json.loads(await response.aread())
    spent = time.perf_counter() - begun
    return _reply(question, reply["ragline"], reply["choices"][0]["message"]["content"], spent, spent)


async def _streamed(response: httpx2.Response, question: str, begun: float) -> Reply:
    pieces: list[str] = []
    first_s, extension = 0.0, {}
    async for line in response.aiter_lines():
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        chunk = json.loads(line.removeprefix("data: "))
        if "error" in chunk:
            raise RuntimeError(f"{question!r}: {chunk['error']['message']}")
        extension = chunk.get("ragline") or extension
        if piece := chunk["choices"][0]["delta"].get("content"):
            first_s = first_s or time.perf_counter() - begun
            pieces.append(piece)
    whole_s = time.perf_counter() - begun
    return _reply(question, extension, "".join(pieces), first_s or whole_s, whole_s)


def _reply(question: str, extension: dict[str, Any], text: str, first_s: float, whole_s: float) -> Reply:
    sources = tuple(source["doc_id"] for source in extension["sources"])
    return Reply(
        question=question, told_back=extension["query"], sources=sources, text=text, first_s=first_s, whole_s=whole_s
    )


async def crowd(
    address: str, questions: Sequence[str], *, clients: int, stream: bool, checked: Checked
) -> tuple[list[Reply], float]:
    """All questions, asked by so many clients; each asks its next one when it has its answer. Replies, and seconds."""
    left = iter(questions)
    replies: list[Reply] = []

    async def one(client: httpx2.AsyncClient) -> None:
        for question in left:
            replies.append(await ask(client, question, stream=stream, checked=checked))

    async with httpx2.AsyncClient(base_url=address, timeout=PATIENCE_S, limits=FRESH) as client:
        begun = time.perf_counter()
        await asyncio.gather(*(one(client) for _ in range(clients)))
        return replies, time.perf_counter() - begun


def alone(pipeline: Pipeline, questions: Sequence[str]) -> dict[str, Expected]:
    """What each question is answered with on its own."""
    answers = ((question, pipeline.ask(question)) for question in questions)
    return {question: Expected(sources=sources_of(answer), text=answer.text) for question, answer in answers}


def in_turns(
    pipeline: Pipeline, address: str, questions: Sequence[str], expected: dict[str, Expected], checked: Checked
) -> dict[str, float]:
    """Each question here and behind the server, one after the other: median seconds, and of their differences."""
    here, there = [], []
    for question in questions:
        begun = time.perf_counter()
        pipeline.ask(question)
        here.append(time.perf_counter() - begun)
        [reply], _ = asyncio.run(crowd(address, [question], clients=1, stream=False, checked=checked))
        checked.take(reply, expected[question])
        there.append(reply.whole_s)
    added = [1000 * (b - a) for a, b in zip(here, there, strict=True)]
    return {
        "engine_p50_s": statistics.median(here),
        "server_p50_s": statistics.median(there),
        "added_p50_ms": statistics.median(added),
    }


def kept_connection(address: str, requests: int = 64) -> float:
    """Median milliseconds of a reply that costs nothing, on one connection that is kept: what each later reply waits."""
    with httpx2.Client(base_url=address, timeout=PATIENCE_S) as client:
        client.get("/v1/models").raise_for_status()
        seconds = []
        for _ in range(requests):
            begun = time.perf_counter()
            client.get("/v1/models").raise_for_status()
            seconds.append(time.perf_counter() - begun)
    return 1000 * statistics.median(seconds)


def under_load(
    pipeline: Pipeline,
    address: str,
    questions: Sequence[str],
    expected: dict[str, Expected],
    *,
    clients: int,
    checked: Checked,
) -> dict[str, float]:
    """So many clients at a time, as streams and whole, and the engine with batches of as many."""
    figures: dict[str, float] = {}
    for stream in (True, False):
        replies, spent = asyncio.run(crowd(address, questions, clients=clients, stream=stream, checked=checked))
        if Counter(reply.question for reply in replies) != Counter(questions):
            checked.wrong.append(f"{len(questions)} questions were asked, {len(replies)} answered, or one twice")
        for reply in replies:
            checked.take(reply, expected[reply.question])
        how = "stream" if stream else "whole"
        seconds = [reply.first_s if stream else reply.whole_s for reply in replies]
        figures |= {
            f"{how}_p50_s": float(np.percentile(seconds, 50)),
            f"{how}_p95_s": float(np.percentile(seconds, 95)),
            f"{how}_answers_per_s": len(replies) / spent,
        }
    begun = time.perf_counter()
    pipeline.run([Query(qid=str(at), text=question) for at, question in enumerate(questions)], batch=clients)
    figures["engine_answers_per_s"] = len(questions) / (time.perf_counter() - begun)
    return figures


def measure(
    graph: str, index: Path, questions: Sequence[str], clients: Sequence[int]
) -> tuple[dict[str, Any], Checked]:
    checked = Checked()
    with load_pipeline(graph, index=index) as pipeline, serving(graph, index) as address:
        pipeline.warm_up()
        expected = alone(pipeline, questions)
        in_turns(pipeline, address, questions[:2], expected, Checked())  # both are warm now
        print(f"{len(questions)} questions; graph {graph}", flush=True)
        turns = in_turns(pipeline, address, questions, expected, checked)
        print(
            f"one by one: engine {turns['engine_p50_s']:.3f} s, behind the server {turns['server_p50_s']:.3f} s; "
            f"added {turns['added_p50_ms']:.1f} ms (median of the differences)"
        )
        kept_ms = kept_connection(address)
        print(f"a reply on a kept connection: {kept_ms:.1f} ms (median of GET /v1/models)")
        print(
            f"{'clients':>8} {'first token p50':>16} {'p95':>8} {'answers/s':>10} {'whole p50':>10} {'p95':>8}", end=""
        )
        print(f" {'answers/s':>10} {'engine/s':>10}")
        loads = {}
        for n in clients:
            loads[n] = load = under_load(pipeline, address, questions, expected, clients=n, checked=checked)
            print(
                f"{n:>8} {load['stream_p50_s']:>16.3f} {load['stream_p95_s']:>8.3f} {load['stream_answers_per_s']:>10.2f}"
                f" {load['whole_p50_s']:>10.3f} {load['whole_p95_s']:>8.3f} {load['whole_answers_per_s']:>10.2f}"
                f" {load['engine_answers_per_s']:>10.2f}",
                flush=True,
            )
    figures = {"one_by_one": turns, "kept_connection_p50_ms": kept_ms, "clients": loads}
    return {"graph": graph, "questions": len(questions), **figures}, checked


def main() -> int:
    """Return 1 if a reply was not its question's."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--graph", default="chat-small", help="built-in name or YAML file; must end in answers")
    arguments.add_argument("--index", type=Path)
    arguments.add_argument("--sources", type=Path, nargs="+", default=SOURCES, help="what is indexed without --index")
    arguments.add_argument("--questions", type=Path, help="JSONL as for `rag batch`")
    arguments.add_argument("--requests", type=int, default=64, help="questions, each asked once per row")
    arguments.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    arguments.add_argument("--record", action=Record)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = given.index or Path(folder) / "index"
        if given.index is None:
            build_index(given.sources, index)
        if given.questions is not None:
            asked = [query.text for query in read_questions(given.questions, limit=given.requests)]
        else:
            asked = questions_of(index, given.requests)
        figures, checked = measure(given.graph, index, list(dict.fromkeys(asked)), given.clients)
    print(
        f"{checked.replies} replies, {len(checked.wrong)} not of their question, {checked.equal_texts} with the very text "
        f"of the question asked alone, {checked.refused} refused with 429 and asked again"
    )
    for wrong in checked.wrong[:10]:
        print(f"  {wrong}")
    if given.record:
        counts = {"replies": checked.replies, "equal_texts": checked.equal_texts, "refused": checked.refused}
        record("serve_load", {**figures, **counts, "wrong": len(checked.wrong)})
    return 1 if checked.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
