"""Misspelt words: nDCG@10 of BM25 on questions as they are and with one typing error each, with near words and without.

A word of four letters and more of each question, drawn with a seed, gets one letter more, less or other, or two that change
places; never the first. `p50`: the median seconds of a question asked alone, as it is and with an error, with near words.

    RAGLINE_EVAL_DATA=... python -m benchmarks.misspelt [SET ...] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase
from time import perf_counter
from typing import Any

from benchmarks.legs import LANGUAGES, MEASURE, SETS, folder_of
from benchmarks.make_samples import data_folder, take_sets
from benchmarks.record import Record, record
from rag.core.types import Query, Ranking
from rag.evaluate import evaluate
from rag.evaluate.beir import load_beir
from rag.indexing import build_index
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings
from retrievers.legs.lexical.retriever import BM25Retriever

SEED = 11
SHORTEST = 4
DEPTH = 10


def with_error(word: str, chance: random.Random) -> str:
    """The word with one typing error, behind its first letter."""
    place, kind, letter = chance.randrange(1, len(word)), chance.choice("idst"), chance.choice(ascii_lowercase)
    match kind:
        case "i":
            return word[:place] + letter + word[place:]
        case "d":
            return word[:place] + word[place + 1 :]
        case "s":
            return word[:place] + letter + word[place + 1 :]
    place = min(place, len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def misspelt(query: Query, chance: random.Random) -> Query:
    """The question with an error in one word; as it is where none is long enough."""
    words = query.text.split()
    places = [place for place, word in enumerate(words) if word.isalpha() and len(word) >= SHORTEST]
    if not places:
        return query
    place = chance.choice(places)
    words[place] = with_error(words[place], chance)
    return replace(query, text=" ".join(words))


def asked(retriever: BM25Retriever, queries: Sequence[Query]) -> tuple[list[Ranking], float]:
    """The rankings of questions that are asked one by one, and the median seconds of one."""
    rankings, seconds = list[Ranking](), list[float]()
    for query in queries:
        begun = perf_counter()
        rankings += retriever.retrieve([query], k=DEPTH)
        seconds.append(perf_counter() - begun)
    return rankings, statistics.median(seconds)


def measured(name: str, work: Path, *, limit: int | None) -> dict[str, Any]:
    """What near words are worth, and cost, on a set."""
    dataset = load_beir(data_folder() / name)
    settings = IndexSettings(analyzer=AnalyzerSettings(language=LANGUAGES.get(name, "en"))).judging_documents()
    folder = work / folder_of(name)
    build_index(dataset.corpus, folder, settings=settings, legs=("lexical",))
    qrels = dataset.qrels()
    clean, chance = dataset.queries_of(qrels)[:limit], random.Random(SEED)
    wrong = [misspelt(query, chance) for query in clean]
    judged = {query.qid: qrels[query.qid] for query in clean}
    line: dict[str, Any] = {"set": name, "queries": len(clean), "seed": SEED}
    with LocalIndex.open(folder) as index:
        for near in (False, True):
            for kind, queries in (("clean", clean), ("error", wrong)):
                retriever = BM25Retriever(index=index, near=near)
                retriever.retrieve(queries[:1], k=DEPTH)  # what the first question loads is no cost of the others
                rankings, seconds = asked(retriever, queries)
                case = f"{kind}_near" if near else kind
                line[case] = evaluate(rankings, judged, [MEASURE]).measures[MEASURE]
                line[f"{case}_p50"] = seconds
                if near:
                    line[f"{case}_told"] = sum(bool(ranking.near) for ranking in rankings)
    return line


def show(line: Mapping[str, Any]) -> None:
    values = "".join(f"{line[case]:12.4f}" for case in ("clean", "error", "error_near", "clean_near"))
    times = "".join(f"{1000 * line[f'{case}_p50']:10.2f}" for case in ("clean", "clean_near", "error", "error_near"))
    print(
        f"{line['set']:16}{values}  ms:{times}  told: {line['clean_near_told']}, {line['error_near_told']}", flush=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/misspelt"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/misspelt.jsonl")
    options = parser.parse_args(arguments)
    print(f"{'set':16}{'clean':>12}{'error':>12}{'error, near':>12}{'clean, near':>12}")
    for name in options.sets or SETS:
        line = measured(name, options.work, limit=options.limit)
        show(line)
        if options.record:
            record("misspelt", line | {"limit": options.limit})
    return 0


if __name__ == "__main__":
    sys.exit(main())
