"""What a language needs: ways to make terms of it, side by side, by nDCG@10 of BM25; and ways to tell it (`detection`).

The first system of a set is what the others are compared with: by paired randomisation, p corrected over all of the set
(Holm). Libraries that ragline does not use are measured where they are installed; a line says how. Seconds are of
building the index, once a library's dictionaries are there. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.languages [SET ... | detection] [--record]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.language_detectors import detected
from benchmarks.language_systems import SYSTEMS, System, word_of
from benchmarks.make_samples import data_folder, take_sets
from benchmarks.record import Record, record
from rag.core.ranking import ranked
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.evaluate import Evaluation, evaluate
from rag.evaluate.beir import Dataset, load_beir
from rag.evaluate.comparison import compare_runs
from retrievers.analysis.analyzer import Analyzer
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings

DETECTION = "detection"
MEASURE = "nDCG@10"
DEPTH = 100


def measured(dataset: Dataset, system: System, language: str) -> tuple[Evaluation, dict[str, Any]]:
    """What BM25 finds with a system's terms; how many terms there are, and the seconds that indexing took."""
    documents, qrels = list(dataset.documents()), dataset.qrels()
    queries = dataset.queries_of(qrels)
    prepared = _prepared(system, language)
    prepared(documents[0].index_text)  # dictionaries are loaded here, not below
    settings = system.analyzer(language)
    Analyzer(settings).terms(documents[0].index_text)
    with tempfile.TemporaryDirectory() as folder:
        begun = perf_counter()
        texts = (prepared(document.index_text) for document in documents)
        facts = LexicalLeg.build(texts, Path(folder), analyzer=settings, bm25=LexicalSettings())
        seconds = perf_counter() - begun
        leg = LexicalLeg.open(Path(folder), facts)
        run = [_ranking(leg, query, prepared, documents) for query in queries]
    judged = {query.qid: qrels[query.qid] for query in queries}
    cost = {"terms": facts["n_tokens"], "distinct": facts["n_terms"], "seconds": seconds}
    return evaluate(run, judged, [MEASURE]), cost


def compared(name: str) -> Iterator[dict[str, Any]]:
    """A line for every system of a set; of one whose library is absent there is none."""
    language, systems = SYSTEMS[name]
    dataset = load_beir(data_folder() / name)
    found: dict[str, tuple[Evaluation, dict[str, Any]]] = {}
    for label, system in systems.items():
        if system.module and find_spec(system.module) is None:
            print(f"{name}: no '{label}'; pip install {system.install}", file=sys.stderr)
            continue
        found[label] = measured(dataset, system, language)
    first, *others = found
    tests = compare_runs(found[first][0], {label: found[label][0] for label in others}, measures=[MEASURE])
    for label, (evaluation, cost) in found.items():
        line = {"set": name, "language": language, "system": label, "queries": evaluation.n_queries, **cost}
        line[MEASURE] = evaluation.measures[MEASURE]
        if label in tests:
            [one] = tests[label]
            line |= {"to_first": one.test.difference, "low": one.test.low, "high": one.test.high, "p": one.p}
        yield line


def _prepared(system: System, language: str) -> Callable[[str], str]:
    """A text as a library's terms, joined by spaces; as it is where the system is settings alone."""
    if system.make is None:
        return str
    word = word_of(system.make)
    words = Analyzer(AnalyzerSettings(language=language, stemmer="none", stop_words="none"))
    return lambda text: " ".join(term for each in words.terms(text) for term in word(each))


def _ranking(leg: LexicalLeg, query: Query, prepared: Callable[[str], str], documents: Sequence[Document]) -> Ranking:
    terms = Counter(leg.analyzer.terms(prepared(query.text)))
    rows, scores = leg.search([terms], k=min(DEPTH, len(documents)))
    pairs = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
    hits = ranked(ScoredDocument(document=documents[row], score=score) for row, score in pairs if row >= 0)
    return Ranking(query=query, hits=hits)


def show(line: dict[str, Any]) -> None:
    """One system in a line."""
    gain = ""
    if "to_first" in line:
        gain = f"{line['to_first']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.3f}"
    cost = f"{line['terms']:,} terms, {line['seconds']:.2f} s"
    print(f"{line['set']:10} {line['system']:28} {line[MEASURE]:.4f}  {gain:36} {cost}", flush=True)


def show_detector(line: dict[str, Any]) -> None:
    """One detector in a line."""
    by_language = ", ".join(f"{language} {share:.4f}" for language, share in line["by_language"].items())
    print(
        f"{line['detector']:16} {line['characters']:4} characters: accuracy {line['accuracy']:.4f} ({by_language}), "
        f"{line['wrong']} wrong, {line['not_told']} not told, {line['texts_a_second']:,.0f} texts a second",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every set and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = (*SYSTEMS, DETECTION)
    take_sets(parser, choices)
    parser.add_argument("--record", action=Record, help="append to results/languages.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets or choices:
        lines, say, what = compared(name), show, "terms"
        if name == DETECTION:
            lines, say, what = detected(data_folder()), show_detector, DETECTION
        for line in lines:
            say(line)
            if options.record:
                record("languages", {"what": what} | line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
