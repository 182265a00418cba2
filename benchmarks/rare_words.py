"""Exact words: of what one passage alone has, how much do BM25, vectors and their fusions find first, and among ten?

A hundred words of a corpus, names of several words, and numbers with hyphens and slashes, each of which stands in one
passage alone; drawn with a seed from the passages themselves. What has the thing is the answer.

    RAGLINE_EVAL_DATA=... python -m benchmarks.rare_words [SET ...] [--n 100] [--work FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fusion import BEFORE, BUILT_IN, Searcher, fused
from benchmarks.record import Record, record
from rag.core.types import Document, Query, Ranking

SETS = ("cranfield", "cacm", "scifact", "docs-manpages", "codebase-chunks", "poquad", "xquad/de", "xquad/en")
SEED = 20260

Find = Callable[[str], list[str]]


def words(text: str) -> list[str]:
    """Words of four letters and more."""
    return re.findall(r"[^\W\d_]{4,}", text.lower())


def names(text: str) -> list[str]:
    """Two or three words in a row that begin with a capital, not at the beginning of a sentence."""
    return re.findall(r"(?<=[a-z,] )[A-Z][a-zäöüßąćęłńóśźż]+(?: [A-Z][a-zäöüßąćęłńóśźż]+){1,2}", text)


def numbers(text: str) -> list[str]:
    """What has a digit, and a hyphen or a slash between letters and digits: A-17/3, 2024-11-05."""
    return [found for found in re.findall(r"\w+(?:[-/]\w+)+", text) if re.search(r"\d", found)]


KINDS: Mapping[str, Find] = {"words": words, "names": names, "numbers": numbers}


def drawn(documents: Sequence[Document], find: Find, *, n: int, seed: str) -> list[tuple[str, str]]:
    """Up to `n` things that one passage alone has, and the doc_id of that passage."""
    texts = [document.index_text for document in documents]
    seen = Counter(thing.lower() for text in texts for thing in set(find(text)))
    own = {
        thing: document.doc_id
        for document, text in zip(documents, texts, strict=True)
        for thing in find(text)
        if seen[thing.lower()] == 1
    }
    whole = "\n".join(texts).lower()
    alone = sorted(thing for thing in own if whole.count(thing.lower()) == 1)  # nor within another word
    return [(thing, own[thing]) for thing in random.Random(seed).sample(alone, min(n, len(alone)))]


def found_at(rankings: Sequence[Ranking], wanted: Mapping[str, str], depth: int) -> int:
    """How many rankings have what is wanted of them among their first hits."""
    return sum(wanted[ranking.qid] in ranking.doc_ids[:depth] for ranking in rankings)


def measured(searcher: Searcher, kind: str, *, n: int, depth: int) -> dict[str, Any] | None:
    """How many are first, and among ten, by every system; None where the corpus has nothing of this kind."""
    things = drawn(searcher.documents, KINDS[kind], n=n, seed=f"{SEED}/{searcher.name}/{kind}")
    if not things:
        return None
    queries = [Query(qid=str(place), text=thing) for place, (thing, _) in enumerate(things)]
    wanted = {str(place): doc_id for place, (_, doc_id) in enumerate(things)}
    legs = searcher.legs(queries, depth=depth)
    runs = {**legs, "before": fused(legs, BEFORE, depth), "hybrid": fused(legs, BUILT_IN, depth)}
    return {
        "set": searcher.name,
        "kind": kind,
        "n": len(queries),
        "first": {name: found_at(run, wanted, 1) for name, run in runs.items()},
        "in_ten": {name: found_at(run, wanted, 10) for name, run in runs.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help=f"of {', '.join(SETS)}; all of them when left out")
    parser.add_argument("--n", type=int, default=100, help="things of each kind")
    parser.add_argument("--depth", type=int, default=100, help="hits per leg")
    parser.add_argument("--work", type=Path, default=Path("build/fusion"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/rare_words.jsonl")
    options = parser.parse_args(arguments)
    columns = ("bm25", "dense", "before", "hybrid")
    print(f"{'first / in ten':18}{'kind':9}{'n':>5}" + "".join(f"{name:>14}" for name in columns))
    for name in options.sets or SETS:
        searcher = Searcher(name, options.work)
        for kind in KINDS:
            line = measured(searcher, kind, n=options.n, depth=options.depth)
            if line is None:
                continue
            cells = "".join(f"{line['first'][each]:>8} / {line['in_ten'][each]:<3}" for each in columns)
            print(f"{name:18}{kind:9}{line['n']:5}{cells}", flush=True)
            if options.record:
                record("rare_words", {"depth": options.depth, "seed": SEED, **line})
    return 0


if __name__ == "__main__":
    sys.exit(main())
