"""What it takes to add, update and remove 1,000 documents in an index of 100,000 passages, and to search what comes of it.

Passages are windows of SciFact's abstracts, 60 words long, drawn by a seed. The index has a lexical leg and a flat dense
one; the vectors are those of a random static table, and the seconds that the encoder takes are told apart. Searches are
one at a time, top 100, by weighted terms and by vectors, without a model. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.index_changes [--passages 100000] [--changes 1000] [--rounds 3] [--record]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate.beir import load_beir
from rag.indexing import IndexReport, add_documents, merge_index, remove_documents, update_documents
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

WORDS, WIDTH, K = 60, 384, 100


class Passages:
    """Windows of a corpus, each drawn anew."""

    def __init__(self, texts: Sequence[str], *, seed: int = 0) -> None:
        self._words = [words for text in texts if len(words := text.split()) > WORDS]
        self._chance = random.Random(seed)

    def __call__(self, names: Sequence[str]) -> Iterator[dict[str, str]]:
        """A passage under each name."""
        for name in names:
            words = self._chance.choice(self._words)
            start = self._chance.randrange(len(words) - WORDS + 1)
            yield {"id": name, "text": " ".join(words[start : start + WORDS])}


def static_table(texts: Sequence[str], folder: Path) -> Path:
    """An encoder: a random vector for each of the most frequent words."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, pre_tokenizers

    counts = Counter(word for text in texts for word in text.split())
    words = {word: number for number, (word, _) in enumerate([("[UNK]", 0), *counts.most_common(20_000)])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    vectors = np.random.default_rng(0).normal(size=(len(words), WIDTH)).astype(np.float32)
    StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder)
    return folder


def timed(change: Callable[[], IndexReport]) -> dict[str, Any]:
    """Seconds on the clock without the encoder's, those, and in how many parts the index lies then."""
    start = perf_counter()
    report = change()
    encoder_s = report.seconds.get("encode", 0.0) if report.n_encoded else 0.0
    return {"s": perf_counter() - start - encoder_s, "encoder_s": encoder_s, "parts": report.n_parts}


def searched(path: Path, queries: Sequence[str], vectors: np.ndarray[Any, Any]) -> dict[str, float]:
    """Milliseconds: opening to the first answer of either leg, then the median question asked for the first time and again."""
    start = perf_counter()
    with LocalIndex.open(path) as index:
        lexical, dense = index.leg("lexical"), index.leg("dense")
        terms = [dict(Counter(lexical.analyzer.terms(query))) for query in queries]
        lexical.search(terms[:1], k=K)
        dense.search(vectors[:1], k=K)
        said = {"open_ms": 1000 * (perf_counter() - start)}
        rounds: dict[str, list[float]] = {"lexical_first": [], "lexical_again": [], "dense": []}
        for name in ("lexical_first", "lexical_again"):
            for query in terms[1:]:
                rounds[name].append(_spent(lambda query=query: lexical.search([query], k=K)))
        for row in range(1, len(vectors)):
            rounds["dense"].append(_spent(lambda row=row: dense.search(vectors[row : row + 1], k=K)))
    return said | {f"{name}_p50_ms": 1000 * statistics.median(each) for name, each in rounds.items()}


def _spent(ask: Callable[[], Any]) -> float:
    start = perf_counter()
    ask()
    return perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each change and each state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action=Record, help="append to results/index_changes.jsonl")
    options = parser.parse_args(arguments)
    dataset = load_beir(data_folder() / "scifact")
    texts = [document.index_text for document in dataset.documents()]
    queries = [query.text for query in dataset.queries][:101]
    vectors = np.random.default_rng(1).normal(size=(len(queries), WIDTH)).astype(np.float32)
    passages, n = Passages(texts), options.changes
    lines: list[dict[str, Any]] = []

    def show(name: str, said: dict[str, Any]) -> None:
        lines.append({"passages": options.passages, "changes": n, "what": name, **said})
        shown = {key: round(value, 3) if isinstance(value, float) else value for key, value in said.items()}
        print(name, shown, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        encoder = static_table(texts, Path(folder) / "table")
        settings = IndexSettings.model_validate({"dense": {"encoder": str(encoder)}})
        names = [f"p{number}" for number in range(options.passages)]
        legs = ("lexical", "dense")
        show("build", timed(lambda: add_documents(passages(names), path, settings=settings, legs=legs)))
        show("one part", searched(path, queries, vectors))
        for number in range(options.rounds):
            new = [f"n{number}-{each}" for each in range(n)]
            show("add", timed(lambda new=new: add_documents(passages(new), path)))
            old = names[number * n : (number + 1) * n]
            show("update", timed(lambda old=old: update_documents(passages(old), path)))
            gone = names[-(number + 1) * n : len(names) - number * n]
            show("remove", timed(lambda gone=gone: remove_documents(path, ids=gone)))
        show("parts", searched(path, queries, vectors))
        show("merge", timed(lambda: merge_index(path)))
        show("merged", searched(path, queries, vectors))
    if options.record:
        for line in lines:
            record("index_changes", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
