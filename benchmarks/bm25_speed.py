"""BM25 search on SciFact, top 100: the lexical leg against bm25s used by hand with its numba backend.

Both are compiled beforehand and take turns; the figure of a turn is its fastest of ROUNDS. `terms` leaves
reading the query out, `text` counts it. Both use one thread, then two, then what they
do by default. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.bm25_speed [--rounds 15] [--record]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate.beir import load_beir
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings

K = 100
ROUNDS = 15
THREADS = ((1, 1), (2, 2), (2, 0))
"""Of ragline and of bm25s. The last pair is what each does unless told otherwise; 0 is one thread there."""
NOISE = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Print microseconds a query and the ratio. --strict exits with 1 if slower with one thread each, beyond noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--record", action=Record, help="append to results/bm25_speed.jsonl")
    parser.add_argument(
        "--strict", action="store_true", help="fail if bm25s is faster; a busy machine may say anything"
    )
    options = parser.parse_args(arguments)
    data = data_folder() / "scifact"
    import bm25s
    import Stemmer

    dataset = load_beir(data)
    corpus = [document.index_text for document in dataset.documents()]
    texts = [query.text for query in dataset.queries]
    k = min(K, len(corpus))  # bm25s finds no fewer

    def by_hand(texts: Sequence[str]) -> list[list[str]]:
        tokens: list[list[str]] = bm25s.tokenize(
            texts,
            token_pattern=r"(?u)\b\w+\b",
            stemmer=Stemmer.Stemmer("porter"),
            return_ids=False,
            show_progress=False,
        )
        return tokens

    with tempfile.TemporaryDirectory() as folder:
        facts = LexicalLeg.build(corpus, Path(folder), analyzer=AnalyzerSettings(language="en"), bm25=LexicalSettings())
        leg = LexicalLeg.open(Path(folder), facts)
    settings = LexicalSettings()
    hand = bm25s.BM25(k1=settings.k1, b=settings.b, method=settings.variant, backend="numba")
    hand.index(by_hand(corpus), show_progress=False)
    leg.warm_up()
    analyse = leg.analyzer.terms
    terms, tokens = [Counter(analyse(text)) for text in texts], by_hand(texts)
    cases: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
        "terms": (
            lambda threads: leg.search(terms, k=k, threads=threads),
            lambda threads: hand.retrieve(tokens, k=k, n_threads=threads, show_progress=False),
        ),
        "text": (
            lambda threads: leg.search([Counter(analyse(t)) for t in texts], k=k, threads=threads),
            lambda threads: hand.retrieve(by_hand(texts), k=k, n_threads=threads, show_progress=False),
        ),
    }
    slower = False
    print(f"{len(texts)} queries, {len(corpus)} documents; microseconds a query, fastest of {options.rounds}")
    print(f"{'':10}{'threads':>8}{'ragline':>10}{'bm25s':>10}{'bm25s/ragline':>15}{'(median)':>10}")
    for name, contest in cases.items():
        for threads in THREADS:
            ours, theirs = _alternate(contest, threads=threads, rounds=options.rounds)
            ratio = min(theirs) / min(ours)
            median = statistics.median(theirs) / statistics.median(ours)
            us = [1e6 * min(seconds) / len(texts) for seconds in (ours, theirs)]
            print(f"{name:10}{threads[0]:5}/{threads[1]:2}{us[0]:10.1f}{us[1]:10.1f}{ratio:15.2f}{median:10.2f}")
            slower |= threads == (1, 1) and ratio < 1 - NOISE
            if options.record:
                keys = ("ragline_us", "bm25s_us", "ratio", "ratio_of_medians")
                values = dict(zip(keys, (*us, ratio, median), strict=True))
                record("bm25_speed", {"set": "scifact", "k": k, "counts": name, "threads": list(threads), **values})
    return int(options.strict and slower)


def _alternate(contest: Sequence[Callable[[int], object]], *, threads: Sequence[int], rounds: int) -> list[list[float]]:
    """Seconds of each contestant in each round, after one call of each that does not count."""
    seconds: list[list[float]] = [[] for _ in contest]
    for number in range(rounds + 1):
        for times, run, n_threads in zip(seconds, contest, threads, strict=True):
            begun = perf_counter()
            run(n_threads)
            if number:
                times.append(perf_counter() - begun)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
