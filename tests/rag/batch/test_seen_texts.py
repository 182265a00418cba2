from __future__ import annotations

import tracemalloc

from rag.pipeline.seen_texts import Digests


def test_texts_that_were_seen_are_known_and_no_others() -> None:
    seen = Digests(["a", "ключ"])
    seen.add("\ud800")  # half a character, as JSON can hold
    seen.update(["b", "a"])
    assert [text in seen for text in ("a", "b", "ключ", "\ud800", "", "ab")] == [True, True, True, True, False, False]
    assert len(seen) == 4
    assert not Digests()


def test_a_text_costs_the_memory_that_the_docs_say() -> None:
    """docs/batch.md: about 100 bytes each, however long the texts are; sets grow in jumps, so at several sizes."""
    for n in (60_000, 80_000, 160_000):
        tracemalloc.start()
        seen = Digests(f"{number}" + "x" * 500 for number in range(n))
        spent, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(seen) == n
        assert spent / n < 110
