"""Whether long documents of a corpus are found better whole or cut: nDCG@10 of the built-in hybrid, and of BM25.

Whole: one document is one unit, of which the encoder sees the beginning. Cut: documents longer than a passage are cut as
files are, which is what `rag index` does; a document counts where its best passage does. Intervals are of the difference.

    python -m benchmarks.cut_rows [SET ...] [--limit N] [--work FOLDER] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from rag.evaluate import Evaluation, compare, evaluate
from rag.evaluate.beir import Dataset, load_beir
from rag.indexing import build_index
from rag.ingest.settings import ChunkSettings
from rag.pipeline import load_pipeline
from retrievers.index.settings import IndexSettings

SETS = ("time", "cranfield", "cacm", "clapnq")
GRAPHS = ("hybrid", "bm25")
WAYS = {"whole": ChunkSettings(corpora=False), "cut": ChunkSettings()}


def measured(dataset: Dataset, place: Path, cut: ChunkSettings, limit: int | None) -> tuple[int, dict[str, Evaluation]]:
    """How many units there are, and how well each graph finds."""
    report = build_index(dataset.corpus, place, settings=IndexSettings(chunking=cut), legs=("lexical", "dense"))
    qrels = dataset.qrels()
    queries = dataset.queries_of(qrels)[:limit]
    judged = {query.qid: qrels[query.qid] for query in queries}
    evaluations = dict[str, Evaluation]()
    for graph in GRAPHS:
        with load_pipeline(graph, index=place) as pipeline:
            rankings = pipeline.search_batch(queries, k=30)
        runs = {each.qid: list(dict.fromkeys(hit.document.parent for hit in each.hits)) for each in rankings}
        evaluations[graph] = evaluate(runs, judged, ["nDCG@10"])
    return report.n_units, evaluations


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each set, and what cutting gains or loses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS, help=f"default: {' '.join(SETS)}")
    parser.add_argument("--limit", type=int, help="judged queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/cut_rows"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/cut_rows.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets:
        dataset = load_beir(data_folder() / name)
        ways = {way: measured(dataset, options.work / f"{name}-{way}", cut, options.limit) for way, cut in WAYS.items()}
        for graph in GRAPHS:
            gain = compare(ways["cut"][1][graph], ways["whole"][1][graph])["nDCG@10"]
            means = {way: evaluations[graph].measures["nDCG@10"] for way, (_, evaluations) in ways.items()}
            units = {way: n for way, (n, _) in ways.items()}
            print(
                f"{name:12}{graph:8}{units['whole']:7} -> {units['cut']:6} units  whole {means['whole']:.4f}", end="  "
            )
            print(f"cut {means['cut']:.4f}  {gain.difference:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]", flush=True)
            if options.record:
                line = {"set": name, "graph": graph, "units": units, "nDCG@10": means}
                record("cut_rows", {**line, "gain": [gain.difference, gain.low, gain.high, gain.p]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
