"""Building the lexical leg: the bytes that bm25s' own builder gives, in memory that does not grow with the postings."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical import writer
from retrievers.legs.lexical.impacts import WITH_FLOOR, ImpactsWriter
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.stores.postings import Columns

ROOT = Path(__file__).parents[3]
VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
Corpus = list[list[int]]


def by_bm25s(corpus: Corpus, settings: LexicalSettings) -> Columns:
    """All at once, by the library."""
    n_terms = len({term for document in corpus for term in document})
    floor = np.zeros(0, np.float32)
    made: dict[str, Any] = {"data": np.zeros(0), "indices": np.zeros(0), "indptr": np.zeros(1)}
    if n_terms:  # bm25s divides by the mean length
        engine = bm25s.BM25(k1=settings.k1, b=settings.b, delta=settings.delta, method=settings.variant)
        made = engine.build_index_from_ids(range(n_terms), corpus, show_progress=False)
        floor = engine.nonoccurrence_array
    return Columns(
        impacts=np.maximum(made["data"], np.float32(1e-30), dtype=np.float32),
        rows=made["indices"].astype(np.int32),
        starts=made["indptr"].astype(np.int64),
        floor=floor if settings.variant in WITH_FLOOR else None,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def same_files(corpus: Corpus, settings: LexicalSettings, folder: Path, *, block: int) -> bool:
    whole, parts = folder / "whole", folder / "parts"
    whole.mkdir()
    parts.mkdir()
    by_bm25s(corpus, settings).write(whole)
    with ImpactsWriter(parts, settings, block=block) as writer:
        for document in corpus:
            writer.add(document)
        writer.finish()
    made = files(parts)
    return {name: made[name] for name in files(whole)} == files(whole)


def numbered(documents: list[list[int]]) -> Corpus:
    """Terms by numbers in the order of their first place, as a vocabulary gives them."""
    numbers: dict[int, int] = {}
    return [[numbers.setdefault(term, len(numbers)) for term in document] for document in documents]


@given(
    documents=st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=30),
    variant=st.sampled_from(VARIANTS),
    k1=st.sampled_from([0.9, 1.5, 0.1, 1 / 3]),
    b=st.sampled_from([0.4, 0.75, 0.0, 1.0]),
    delta=st.sampled_from([1.0, 0.5, 0.0]),
    block=st.integers(1, 100),
)
@example(documents=[[], []], variant="bm25l", k1=0.9, b=0.4, delta=1.0, block=1)
@example(documents=[], variant="lucene", k1=0.9, b=0.4, delta=1.0, block=1)
def test_any_corpus_is_weighted_as_bm25s_does_it(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], block: int, **bm25: Any
) -> None:
    settings = LexicalSettings(**bm25)
    assert same_files(numbered(documents), settings, tmp_path_factory.mktemp("lexical"), block=block)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("block", [1 << 20, 10_000])
def test_a_corpus_of_many_blocks_has_the_same_bytes(tmp_path: Path, variant: str, block: int) -> None:
    """Words as frequent as words are: some columns are longer than a block, most are short."""
    chance = np.random.default_rng(0)
    documents = [(chance.zipf(1.3, size=chance.integers(0, 120)) % 30_000).tolist() for _ in range(4_000)]
    assert same_files(numbered(documents), LexicalSettings(variant=variant), tmp_path, block=block)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", ["okapi", "l", "plus"])
def test_rank_bm25_gets_the_terms_of_all_documents_in_text_order(tmp_path: Path, variant: str) -> None:
    texts = ["red apples and red pears", "", "pears"]
    settings = LexicalSettings(variant=variant)  # type: ignore[arg-type]
    facts = LexicalLeg.build(texts, tmp_path, analyzer=AnalyzerSettings(language="en"), bm25=settings)
    assert np.load(tmp_path / "tokens.npy").tolist() == [0, 1, 0, 2, 2]
    assert np.load(tmp_path / "starts.npy").tolist() == [0, 4, 4, 5]
    assert [facts[name] for name in ("n_docs", "n_terms", "n_tokens")] == [3, 3, 5]


def test_words_that_were_forgotten_get_the_numbers_of_their_terms_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["red apples and the red pears", "apple pears fig", "plums red figs", "", "Äpfel äpfel 中文中"] * 3
    built = []
    for known in (1 << 18, 1, 3):
        monkeypatch.setattr(writer, "_KNOWN", known)
        folder = tmp_path / str(known)
        folder.mkdir()
        LexicalLeg.build(texts, folder, analyzer=AnalyzerSettings(language="en"), bm25=LexicalSettings())
        built.append(files(folder))
    assert built[0] == built[1] == built[2]
    assert json.loads(built[0]["vocabulary.json"]) == ["red", "appl", "pear", "fig", "plum", "äpfel", "中", "文"]


def test_texts_that_cannot_be_read_leave_nothing_that_was_put_aside(tmp_path: Path) -> None:
    def texts() -> Any:
        yield from itertools.repeat("red apples", 1000)
        seen.append([file.name for file in tmp_path.iterdir()])
        raise OSError("gone")

    seen: list[list[str]] = []
    with pytest.raises(OSError, match="gone"):
        LexicalLeg.build(texts(), tmp_path, analyzer=AnalyzerSettings(language="en"), bm25=LexicalSettings())
    assert seen == [[]]
    assert list(tmp_path.iterdir()) == []


BUILD = """
import random, sys
from pathlib import Path
from benchmarks.memory import memory_of
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings

def build(folder, n):
    texts = (" ".join(random.sample(words, 1000)) for _ in range(n // 1000))
    Path(folder).mkdir()
    LexicalLeg.build(texts, Path(folder), analyzer=AnalyzerSettings(language="en", stemmer="none"), bm25=LexicalSettings())
    return memory_of().peak / 2**20

words = [f"word{n}" for n in range(10_000)]
before = build(sys.argv[1] + "/small", 10_000)
print(build(sys.argv[1] + "/large", 6_000_000) - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc: elsewhere a peak may be that of the process that started this"
)
def test_memory_is_that_of_a_block_and_not_of_all_postings(tmp_path: Path) -> None:
    """Six million postings at 40 bytes would be 240 MB; those of a block are put aside and merged in 60 to 90."""
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 140
