"""What comparing scores over the whole index adds to a question: milliseconds, at a hundred thousand passages.

Windows of sixty words over the evaluation sets, and vectors of unit length that mean nothing, for only time is measured.
Questions are those of the sets. Each is searched by both legs, then the lists are completed and fused; and is searched again
for a fusion by z-scores, which needs neither. Medians over the questions, one thread.

    RAGLINE_EVAL_DATA=... python -m benchmarks.fusion_cost [--passages 100000] [--questions 200] [--work FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.fusion import BEFORE, BUILT_IN
from benchmarks.make_samples import records
from benchmarks.record import Record, record
from rag.core.ranking import completed
from rag.core.types import Query, Ranking
from rag.indexing import build_index
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.lexical.retriever import BM25Retriever

CORPORA = ("scifact", "medquad", "docs-manpages", "docs-python", "docs-linux-kernel", "openstax-medical", "pubmedqa")
ASKED = ("scifact", "cosqa", "docs-manpages")
WORDS, STRIDE, DIM = 60, 30, 384


def windows(n: int) -> Iterator[str]:
    """The first `n` windows of the corpora, one after the other."""
    made = 0
    for name in CORPORA:
        for each in records(f"{name}/corpus"):
            words = f"{each.get('title', '')} {each['text']}".split()
            for first in range(0, max(1, len(words) - WORDS + 1), STRIDE):
                if made == n:
                    return
                yield " ".join(words[first : first + WORDS])
                made += 1


def static_encoder(folder: Path, vocabulary: Sequence[str]) -> Path:
    """A folder of static vectors, drawn by chance: a text is the mean of its words'."""
    from model2vec import StaticModel

    words = {word: number for number, word in enumerate(["[UNK]", *vocabulary])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(0).standard_normal((len(words), DIM)).astype(np.float32)
    StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder)
    return folder


def index_of(n: int, work: Path) -> Path:
    """An index of `n` windows, both legs, built once."""
    place = work / f"index-{n}"
    if not place.exists():
        texts = list(windows(n))
        vocabulary = sorted({word for text in texts for word in text.split()})[:100_000]
        encoder = static_encoder(work / "encoder", vocabulary)
        corpus = work / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"_id": f"w{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
        settings = IndexSettings.model_validate({"dense": {"encoder": str(encoder)}}).judging_documents()
        build_index([corpus], place, settings=settings, legs=("lexical", "dense"))
    return place


def measured(place: Path, questions: Sequence[str], *, depth: int) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each question, by what was done.

    Every question is searched twice, for either fusion once, by turns: what reads the hits first finds them in no cache.
    """
    found: dict[str, list[float]] = {"search": [], "complete": [], "fuse": [], "fuse by z-scores": []}
    with LocalIndex.open(place) as index:
        words, vectors = BM25Retriever(index=index), DenseRetriever(index=index)
        words.warm_up()
        retrievers: dict[str, BM25Retriever | DenseRetriever] = {"bm25": words, "dense": vectors}

        def search(text: str) -> tuple[list[Ranking], float]:
            begun, query = perf_counter(), [Query(qid="q", text=text)]
            lists = [ranking for each in retrievers.values() for ranking in each.retrieve(query, k=depth)]
            return lists, perf_counter() - begun

        def compared(text: str) -> dict[str, float]:
            lists, took = search(text)
            times = [perf_counter()]
            whole = completed(lists, retrievers)
            times.append(perf_counter())
            BUILT_IN.fuse(whole, k=depth)
            times.append(perf_counter())
            return {"search": took, "complete": times[1] - times[0], "fuse": times[2] - times[1]}

        def by_z_scores(text: str) -> dict[str, float]:
            lists, took = search(text)
            begun = perf_counter()
            BEFORE.fuse(lists, k=depth)
            return {"search": took, "fuse by z-scores": perf_counter() - begun}

        for text in questions[:10]:  # what the first questions load is no cost of the others
            compared(text), by_z_scores(text)
        for number, text in enumerate(questions):
            first, second = (compared, by_z_scores) if number % 2 else (by_z_scores, compared)
            took = first(text)
            for name, seconds in {**second(text), **took}.items():
                found[name].append(1000 * seconds)
    return {name: np.array(values) for name, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--depth", type=int, default=100, help="hits per leg")
    parser.add_argument("--work", type=Path, default=Path("build/fusion_cost"), help="where the index is kept")
    parser.add_argument("--record", action=Record, help="append to results/fusion_cost.jsonl")
    options = parser.parse_args(arguments)
    asked = [str(each["text"]) for name in ASKED for each in records(f"{name}/queries")]
    questions = random.Random(1).sample(asked, options.questions)
    taken = measured(index_of(options.passages, options.work), questions, depth=options.depth)
    added = taken["complete"] + taken["fuse"] - taken["fuse by z-scores"]
    line = {name: round(median(values.tolist()), 3) for name, values in {**taken, "added": added}.items()}
    line["added, 95 of 100"] = round(float(np.percentile(added, 95)), 3)
    print(f"{options.passages:,} passages, {options.questions} questions, milliseconds (median):")
    for name, value in line.items():
        print(f"  {name:20}{value:8.3f}")
    if options.record:
        record("fusion_cost", {"passages": options.passages, "questions": options.questions, "ms": line})
    return 0


if __name__ == "__main__":
    sys.exit(main())
