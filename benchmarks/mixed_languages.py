"""One index over several languages: BM25's nDCG@10 on the questions of each, by the ways to analyse such a corpus.

Two corpora. `even`: xquad in English, German and Chinese, and poquad in Polish: 240, 240, 240 and 481 passages. xquad's are
translations of each other, and only the one in the question's language counts as right. `uneven`: the same with the
5,183 abstracts of scifact, so that English is 17 times as much as German.

All systems are compared with `each`, which is what ragline does, by paired randomisation; p is corrected over the systems
of a language (Holm). Languages of documents are told from their text by `rag.ingest.language`, as a build does it. Needs
the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.mixed_languages [even | uneven] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.core.ranking import ranked
from rag.core.trec import Qrels
from rag.core.types import Document, Query, Ranking, ScoredDocument
from rag.evaluate import evaluate
from rag.evaluate.beir import load_beir
from rag.evaluate.comparison import compare_runs
from rag.ingest.language import LanguageReader
from retrievers.analysis.multilingual import analyzer_of, untagged
from retrievers.analysis.settings import EACH, AnalyzerSettings
from retrievers.legs.lexical.by_language import LexicalByLanguage
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.stores.hits import Found, merged

MEASURE = "nDCG@10"
DEPTH = 100
SETS = {"xquad/en": "en", "xquad/de": "de", "xquad/zh": "zh", "poquad": "pl", "scifact": "en"}
"""Set -> the language that it is in."""
CORPORA = {"even": ("xquad/en", "xquad/de", "xquad/zh", "poquad"), "uneven": tuple(SETS)}
OURS = "each"
PLAIN = AnalyzerSettings(language="und", stemmer="none", stop_words="none", cjk="bigrams")

Search = Callable[[Sequence[Query]], Found]


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Documents of several sets, under ids that begin with their set; `told`: the language that was told of each."""

    documents: Sequence[Document]
    told: Sequence[str]
    questions: Mapping[str, Sequence[Query]]
    qrels: Qrels

    @property
    def texts(self) -> list[str]:
        return [document.index_text for document in self.documents]


def mixed(names: Sequence[str], *, limit: int | None = None) -> Mixed:
    """The sets as one corpus. `limit`: only the first questions of each."""
    documents, questions, qrels = list[Document](), dict[str, Sequence[Query]](), dict[str, dict[str, int]]()
    for name in names:
        dataset = load_beir(data_folder() / name)
        documents += [replace(each, doc_id=f"{name}/{each.doc_id}") for each in dataset.documents()]
        judged = dataset.qrels()
        asked = dataset.queries_of(judged)[:limit]
        questions[name] = [replace(query, qid=f"{name}/{query.qid}") for query in asked]
        for query in asked:
            qrels[f"{name}/{query.qid}"] = {f"{name}/{doc_id}": grade for doc_id, grade in judged[query.qid].items()}
    reader = LanguageReader()
    return Mixed(
        documents=documents, told=[reader.of(each.text) for each in documents], questions=questions, qrels=qrels
    )


def one_analyzer(corpus: Mixed, folder: Path, settings: AnalyzerSettings) -> Search:
    """All documents and questions analysed alike."""
    leg = _leg(corpus.texts, folder, settings)
    return lambda queries: leg.search([Counter(leg.analyzer.terms(query.text)) for query in queries], k=DEPTH)


def each(corpus: Mixed, folder: Path, *, detect: bool = False) -> Search:
    """What ragline does. `detect`: a question is asked in the language that it is told to be in, if the index has it."""
    leg = _by_language(corpus, folder)
    reader = LanguageReader()

    def terms(text: str) -> Mapping[str, int]:
        found = Counter(leg.analyzer.terms(text))
        code = reader.of(text) if detect else ""
        if code not in leg.analyzer.analyzers:
            return found
        return {term: n for term, n in found.items() if untagged(term)[0] == code}

    return lambda queries: leg.search([terms(query.text) for query in queries], k=DEPTH)


def undivided(corpus: Mixed, folder: Path) -> Search:
    """An index for each language, and their hits merged by BM25's own scores."""
    parts = []
    for code in sorted(set(corpus.told)):
        rows = np.array([row for row, told in enumerate(corpus.told) if told == code])
        settings = analyzer_of(AnalyzerSettings(language=EACH), code).settings
        parts.append((rows, _leg([corpus.texts[row] for row in rows], folder / f"of-{code}", settings)))

    def search(queries: Sequence[Query]) -> Found:
        found = []
        for rows, leg in parts:
            places, scores = leg.search([Counter(leg.analyzer.terms(query.text)) for query in queries], k=DEPTH)
            found.append((np.where(places >= 0, rows[places], -1).astype(np.int32), scores))
        return merged(found, k=DEPTH)

    return search


def one_count(corpus: Mixed, folder: Path, *, tags: bool) -> Search:
    """Documents each in their language, and words counted over all of them. `tags`: equal letters of two languages differ."""
    analyzer = _by_language(corpus, folder / "analysed").analyzer
    numbers: dict[str, str] = {}

    def words(terms: Sequence[str]) -> list[str]:
        kept = terms if tags else [untagged(term)[1] for term in terms]
        return [numbers.setdefault(term, f"t{len(numbers)}") for term in kept]

    texts = [
        " ".join(words(analyzer.document_terms(text, code)))
        for text, code in zip(corpus.texts, corpus.told, strict=True)
    ]
    leg = _leg(texts, folder / "counted", PLAIN)

    def terms(text: str) -> Mapping[str, int]:
        if tags:
            return Counter(words(analyzer.terms(text)))
        once = Counter[str]()  # a term of several analyses counts as often as in the one that has it most
        for code in analyzer.analyzers:
            once |= Counter(words(analyzer.document_terms(text, code)))
        return once

    return lambda queries: leg.search([terms(query.text) for query in queries], k=DEPTH)


def alone(corpus: Mixed, folder: Path) -> Search:
    """The line above: an index of every language alone, as its sets say it, and each question asked of its own."""
    of_row = [SETS[each.doc_id.rpartition("/")[0]] for each in corpus.documents]
    legs = {}
    for code in sorted(set(of_row)):
        rows = np.array([row for row, language in enumerate(of_row) if language == code])
        settings = analyzer_of(AnalyzerSettings(language=EACH), code).settings
        legs[code] = rows, _leg([corpus.texts[row] for row in rows], folder / code, settings)

    def search(queries: Sequence[Query]) -> Found:
        rows, leg = legs[SETS[queries[0].qid.rpartition("/")[0]]]
        places, scores = leg.search([Counter(leg.analyzer.terms(query.text)) for query in queries], k=DEPTH)
        return np.where(places >= 0, rows[places], -1).astype(np.int32), scores

    return search


SYSTEMS: Mapping[str, Callable[[Mixed, Path], Search]] = {
    OURS: each,
    "one analyzer, en": lambda corpus, folder: one_analyzer(corpus, folder, AnalyzerSettings(language="en")),
    "one analyzer, none": lambda corpus, folder: one_analyzer(corpus, folder, PLAIN),
    "each, question's language told": lambda corpus, folder: each(corpus, folder, detect=True),
    "each, scores not divided": undivided,
    "each, words counted over all": lambda corpus, folder: one_count(corpus, folder, tags=True),
    "each, equal letters one word": lambda corpus, folder: one_count(corpus, folder, tags=False),
    "an index of each language": alone,
}
"""Name -> what makes it in an empty folder. The first is what the others are compared with."""


def compared(name: str, *, limit: int | None) -> Iterator[dict[str, Any]]:
    """A line for every set and system of a corpus."""
    corpus = mixed(CORPORA[name], limit=limit)
    yield {"corpus": name, "documents": len(corpus.documents), "told": dict(Counter(corpus.told).most_common())}
    runs: dict[str, dict[str, list[Ranking]]] = {}
    for label, make in SYSTEMS.items():
        with tempfile.TemporaryDirectory() as folder:
            search = make(corpus, Path(folder))
            runs[label] = {one: _rankings(search, asked, corpus.documents) for one, asked in corpus.questions.items()}
    for one, asked in corpus.questions.items():
        judged = {query.qid: corpus.qrels[query.qid] for query in asked}
        measured = {label: evaluate(run[one], judged, [MEASURE]) for label, run in runs.items()}
        others = {label: evaluation for label, evaluation in measured.items() if label != OURS}
        tests = compare_runs(measured[OURS], others, measures=[MEASURE])
        for label, evaluation in measured.items():
            line = {"corpus": name, "set": one, "system": label, "queries": evaluation.n_queries}
            line[MEASURE] = evaluation.measures[MEASURE]
            if label in tests:
                [test] = tests[label]
                line |= {"to_ours": test.test.difference, "low": test.test.low, "high": test.test.high, "p": test.p}
            yield line


def _leg(texts: Sequence[str], folder: Path, settings: AnalyzerSettings) -> LexicalLeg:
    folder.mkdir(exist_ok=True)
    facts = LexicalLeg.build(texts, folder, analyzer=settings, bm25=LexicalSettings())
    return LexicalLeg.open(folder, facts)


def _by_language(corpus: Mixed, folder: Path) -> LexicalByLanguage:
    folder.mkdir(exist_ok=True)
    settings = AnalyzerSettings(language=EACH)
    facts = LexicalByLanguage.build(corpus.texts, corpus.told, folder, analyzer=settings, bm25=LexicalSettings())
    return LexicalByLanguage.open(folder, facts)


def _rankings(search: Search, queries: Sequence[Query], documents: Sequence[Document]) -> list[Ranking]:
    rows, scores = search(queries)
    rankings = []
    for query, mine, worth in zip(queries, rows.tolist(), scores.tolist(), strict=True):
        pairs = [(documents[row], score) for row, score in zip(mine, worth, strict=True) if row >= 0]
        hits = ranked(ScoredDocument(document=document, score=score) for document, score in pairs)
        rankings.append(Ranking(query=query, hits=hits))
    return rankings


def show(line: Mapping[str, Any]) -> None:
    """One system in a line."""
    if "told" in line:
        print(f"{line['corpus']}: {line['documents']:,} documents, told: {line['told']}", flush=True)
        return
    gain = ""
    if "to_ours" in line:
        gain = f"{line['to_ours']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}] p {line['p']:.3f}"
    print(f"{line['corpus']:7} {line['set']:9} {line['system']:32} {line[MEASURE]:.4f}  {gain}", flush=True)


def run(
    results: str,
    doc: str | None,
    arguments: Sequence[str] | None,
    lines: Callable[..., Iterator[dict[str, Any]]],
    show: Callable[[Mapping[str, Any]], None],
    *,
    corpora: Sequence[str] = tuple(CORPORA),
) -> int:
    """Print a line for all that is made of each corpus, and record it in `results` where that is asked for."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="*", metavar="CORPUS", help=f"of {', '.join(corpora)}; all when left out")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N questions of each set")
    parser.add_argument("--record", action=Record, help=f"append to results/{results}.jsonl")
    options = parser.parse_args(arguments)
    if unknown := set(options.corpora) - set(corpora):
        parser.error(f"not one of the corpora: {', '.join(sorted(unknown))}")
    for name in options.corpora or corpora:
        for line in lines(name, limit=options.limit):
            show(line)
            if options.record:
                record(results, line | {"limit": options.limit})
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every corpus, set and system."""
    return run("mixed_languages", __doc__, arguments, compared, show)


if __name__ == "__main__":
    sys.exit(main())
