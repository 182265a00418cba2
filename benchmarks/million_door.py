"""What a program calls, over a million passages: `pipeline.search` and `search_batch` on one thread, in turns with bm25s.

Questions have three to eight words. Ours are given back as records, whose texts are read where that is said. bm25s has its
terms ready from its first turn on, as ours has, and gives rows. Asked for: the middle question of ten hits within the time of
bm25s, the slowest twentieth within 1.3 times, a hundred hits with texts within 1.5 times, a batch within its time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.million import DEPTHS, built, passage, queries, told
from benchmarks.peer import Peer
from benchmarks.turns import middle_and_slow, one_turn
from rag import load_pipeline
from rag.core.types import Ranking
from retrievers.legs.lexical.settings import LexicalSettings

TURNS = 5
_WORDS = range(3, 9)
_ALONE = {
    "version": 1,
    "nodes": {"bm25": {"use": "retrieve.bm25", "in": "query", "k": 100, "with": {"threads": 1}}},
    "output": "bm25",
}
"""The graph bm25, whose batches else take two threads."""


def door(options: argparse.Namespace) -> None:
    """Build both, then ask both in turns: ten hits, a hundred with texts, and all questions as a batch."""
    source, place = built(options)
    asked = [text for text in queries(None) if len(text.split()) in _WORDS][: options.queries]
    ten, most = min(DEPTHS), max(DEPTHS)
    with _bm25s(options, source) as peer, load_pipeline(_ALONE, index=place) as pipeline:
        pipeline.warm_up()
        found: dict[int, Ranking] = {}

        def ten_hits(number: int) -> None:
            pipeline.search(asked[number], k=ten)

        def with_texts(number: int) -> list[str]:
            found[number] = pipeline.search(asked[number], k=most)
            return [hit.text for hit in found[number]]

        def batch(_: int) -> None:
            pipeline.search_batch(asked, k=most)

        ways: dict[str, tuple[Callable[[int], object], dict[str, Any]]] = {
            "ten hits": (ten_hits, {"k": ten}),
            "a hundred hits with texts": (with_texts, {"k": most}),
            "a batch of a hundred hits": (batch, {"k": most, "batch": True}),
        }
        rows: list[list[int]] = []
        for name, (search, how) in ways.items():
            ours, theirs, n = list[list[float]](), list[list[float]](), len(asked)
            for _ in range(TURNS):
                turn = one_turn(search, 1 if "batch" in how else n, options.clock)
                ours.append(turn if "batch" not in how else [turn[0] / n] * n)
                if peer is not None:
                    answer = peer.ask(queries=asked, clock=options.clock, **how)
                    theirs.append(answer["seconds"] if "batch" not in how else [answer["seconds"][0] / n] * n)
                    rows = answer.get("rows", rows)
            mine, other = middle_and_slow(ours), middle_and_slow(theirs) if theirs else {}
            ratios = {f"ratio_{key}": mine[key] / other[key] for key in other}
            told("door", options, of=name, questions=n, clock=options.clock, ragline=mine, bm25s=other, **ratios)
        shared = [len({passage(hit.document) for hit in found[i]} & {*rows[i]}) / most for i in range(len(rows))]
        told("door", options, of="hits in both hundreds", share=fmean(shared) if shared else None)


@contextmanager
def _bm25s(options: argparse.Namespace, source: Path) -> Iterator[Peer | None]:
    """The peer once it has built its index, or none."""
    if not options.peers:
        yield None
        return
    bm25 = LexicalSettings()
    with Peer(options.peers, "million_peer.py", "bm25s", str(source), str(bm25.k1), str(bm25.b), quiet=True) as peer:
        told("build", options, engine="bm25s", **peer.told)
        yield peer
