"""Measures the lexical leg over every retrieval set, beside the published table of the data's manifest.

Defaults of the library (Lucene variant, k1 0.9, b 0.4), each set in its own language, depth 1000, queries
without a positive judgement left out. In the backtracing sets a query ranks its own group alone and all of
it, as in the table: sentences without a query term follow the hits in file order. Elsewhere they are no
hits. The table's German row left out German stop words, the library leaves out none. Chinese is cut into
characters, as in the table. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.bm25_quality [SET ...] [--identifiers] [--record]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.core.filters import matches, parse_where
from rag.core.trec import strictly_falling
from rag.core.types import Document, Query
from rag.evaluate.beir import Dataset, load_beir
from rag.evaluate.significance import mean_interval
from ragline_recipes.identifiers import IdentifierTransform
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.leg import LexicalLeg
from retrievers.legs.lexical.settings import LexicalSettings

MEASURES = ("nDCG@10", "R@100", "AP")
DEPTH = 1000
ALLOWED = 0.005
WITHIN = {"backtracing-lecture": "group", "backtracing-news": "group"}
ANSERINI = {"scifact": "Anserini 0.6789"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the manifest's table: what a set measured there, in the order of MEASURES."""

    name: str
    values: tuple[float, ...]


def published(data: Path) -> list[Published]:
    """The rows of the table under "BM25 baseline" in MANIFEST.md."""
    rows = []
    for line in (data / "MANIFEST.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 8 and re.fullmatch(r"[\d.]+", cells[3]):
            rows.append(Published(name=cells[0], values=tuple(map(float, cells[3:6]))))
    return rows


def language_of(name: str) -> str:
    """Sets that are not English are folders named by their language."""
    last = name.rpartition("/")[2]
    return last if re.fullmatch("[a-z]{2}", last) else "en"


def quality_of(name: str, data: Path, *, identifiers: bool = False) -> tuple[dict[str, float], int]:
    """Means of MEASURES over the judged queries of a set, and how many those are; `low` and `high` are the first one's."""
    dataset = load_beir(data / name, within=WITHIN.get(name))
    return measure(dataset, language=language_of(name), identifiers=identifiers)


def measure(dataset: Dataset, *, language: str, identifiers: bool) -> tuple[dict[str, float], int]:
    """What `quality_of` gives."""
    import ir_measures

    documents = list(dataset.documents())
    if identifiers:
        documents = IdentifierTransform().transform(documents)
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)
    with tempfile.TemporaryDirectory() as folder:
        texts = (document.index_text for document in documents)
        settings = AnalyzerSettings(language=language, cjk="characters")
        facts = LexicalLeg.build(texts, Path(folder), analyzer=settings, bm25=LexicalSettings())
        leg = LexicalLeg.open(Path(folder), facts)
        hits = {query.qid: best(leg, query, documents) for query in queries}

    def scored() -> Iterator[ir_measures.ScoredDoc]:
        for qid, ranked in hits.items():
            # ir_measures would break ties by doc_id descending; scores that fall strictly keep our order.
            falling = strictly_falling(score for _, score in ranked)
            for (doc_id, _), score in zip(ranked, falling, strict=True):
                yield ir_measures.ScoredDoc(qid, doc_id, score)

    judged = {query.qid: qrels[query.qid] for query in queries}
    measures = {name: ir_measures.parse_measure(name) for name in MEASURES}
    found = ir_measures.calc_aggregate(list(measures.values()), judged, scored())
    means = {name: float(found[measure]) for name, measure in measures.items()}
    each = ir_measures.iter_calc([measures[MEASURES[0]]], judged, scored())
    ends = mean_interval([metric.value for metric in sorted(each, key=lambda metric: metric.query_id)])
    return {**means, "low": ends.low, "high": ends.high}, len(queries)


def best(leg: LexicalLeg, query: Query, documents: Sequence[Document]) -> list[tuple[str, float]]:
    """doc_ids and scores in rank order; of a query that searches one group, the whole group."""
    mask = None
    if query.where:
        tree = parse_where(query.where)
        mask = np.array([tree is None or matches(tree, document.metadata) for document in documents])
    terms = Counter(leg.analyzer.terms(query.text))
    rows, scores = leg.search([terms], k=min(DEPTH, len(documents)), mask=mask)
    pairs = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
    ordered = sorted((-score, documents[row].doc_id) for row, score in pairs if row >= 0)
    ranked = [(doc_id, -score) for score, doc_id in ordered]
    if mask is not None:
        found = {doc_id for doc_id, _ in ranked}
        group = (documents[row].doc_id for row in np.flatnonzero(mask).tolist())
        ranked += [(doc_id, 0.0) for doc_id in group if doc_id not in found]
    return ranked[:DEPTH]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table. The exit status is 1 if a set is further from its published nDCG@10 than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="names of the table; all of them when left out")
    parser.add_argument("--identifiers", action="store_true", help="index parts of identifiers too")
    parser.add_argument("--record", action=Record, help="append to results/bm25_quality.jsonl")
    options = parser.parse_args(arguments)
    data = data_folder()
    table = published(data)
    if unknown := set(options.sets) - {row.name for row in table}:
        parser.error(f"not in the table: {', '.join(sorted(unknown))}")
    far = []
    print(f"{'set':22}{'queries':>8}" + "".join(f"{name:>9}{'table':>8}{'diff':>9}" for name in MEASURES))
    for row in table:
        if options.sets and row.name not in options.sets:
            continue
        found, n_queries = quality_of(row.name, data, identifiers=options.identifiers)
        cells = [
            f"{found[name]:9.4f}{value:8.4f}{found[name] - value:+9.4f}"
            for name, value in zip(MEASURES, row.values, strict=True)
        ]
        print(f"{row.name:22}{n_queries:8}{''.join(cells)}  {ANSERINI.get(row.name, '')}", flush=True)
        if abs(found["nDCG@10"] - row.values[0]) > ALLOWED:
            far.append(row.name)
        if options.record:
            record(
                "bm25_quality",
                {
                    "set": row.name,
                    "queries": n_queries,
                    "measures": {name: found[name] for name in MEASURES},
                    "interval": [found["low"], found["high"]],
                    "table": dict(zip(MEASURES, row.values, strict=True)),
                    "identifiers": options.identifiers,
                },
            )
    if far:
        print(f"more than {ALLOWED} from the table: {', '.join(far)}")
    return 1 if far else 0


if __name__ == "__main__":
    sys.exit(main())
