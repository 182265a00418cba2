"""A folder in several languages, indexed and searched by the defaults alone: `bm25` and `hybrid`, nDCG@10.

The corpora are those of `benchmarks.mixed_languages`. Nothing is said of languages, encoder or fusion. Hybrid is compared with BM25
of the same index by a paired randomisation test. Needs the folder that RAGLINE_EVAL_DATA names.

    python -m benchmarks.mixed_defaults [even | uneven] [--limit N] [--record]
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mixed_languages import CORPORA, MEASURE, Mixed, mixed, run
from rag.core.types import Ranking
from rag.evaluate import evaluate
from rag.evaluate.comparison import compare_runs
from rag.indexing import build_index
from rag.pipeline import load_pipeline
from retrievers.index.settings import IndexSettings

GRAPHS = ("bm25", "hybrid")


def written(corpus: Mixed, folder: Path) -> Path:
    """The corpus as a file of records."""
    path = folder / "corpus.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for document in corpus.documents:
            lines.write(json.dumps({"_id": document.doc_id, "title": document.title, "text": document.text}) + "\n")
    return path


def compared(name: str, *, limit: int | None) -> Iterator[dict[str, Any]]:
    """A line on the index, and one for every set and graph of a corpus."""
    corpus = mixed(CORPORA[name], limit=limit)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        report = build_index([written(corpus, Path(folder))], index, settings=IndexSettings().judging_documents())
        yield {
            "corpus": name,
            "documents": report.n_documents,
            "language": report.chosen_language,
            "models": dict(report.chosen_models),
            "build_seconds": sum(report.seconds.values()),
        }
        runs: dict[str, dict[str, list[Ranking]]] = {}
        for graph in GRAPHS:
            with load_pipeline(graph, index=index) as pipeline:
                runs[graph] = {one: pipeline.search_batch(asked) for one, asked in corpus.questions.items()}
    yield from _lines(name, corpus, runs)


def _lines(name: str, corpus: Mixed, runs: Mapping[str, Mapping[str, list[Ranking]]]) -> Iterator[dict[str, Any]]:
    for one, asked in corpus.questions.items():
        judged = {query.qid: corpus.qrels[query.qid] for query in asked}
        worth = {graph: evaluate(run[one], judged, [MEASURE]) for graph, run in runs.items()}
        [[test]] = compare_runs(worth["bm25"], {"hybrid": worth["hybrid"]}, measures=[MEASURE]).values()
        difference = {"by": test.test.difference, "low": test.test.low, "high": test.test.high, "p": test.p}
        yield {
            "corpus": name,
            "set": one,
            "queries": len(asked),
            **{graph: evaluation.measures[MEASURE] for graph, evaluation in worth.items()},
            "hybrid_to_bm25": difference,
        }


def show(line: Mapping[str, Any]) -> None:
    """One line of text."""
    if "documents" in line:
        print(
            f"{line['corpus']}: {line['documents']:,} documents, words {line['language']}, {line['models']}", flush=True
        )
        return
    to = line["hybrid_to_bm25"]
    gain = f"{to['by']:+.4f} [{to['low']:+.4f}, {to['high']:+.4f}] p {to['p']:.4f}"
    print(
        f"{line['corpus']:7} {line['set']:9} bm25 {line['bm25']:.4f}  hybrid {line['hybrid']:.4f}  {gain}", flush=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every corpus and set."""
    return run("mixed_defaults", __doc__, arguments, compared, show)


if __name__ == "__main__":
    sys.exit(main())
