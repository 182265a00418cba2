"""What reading the first hits again by a second encoder adds to the hybrid: nDCG@10, and what an answer is written from.

The hybrid is the built-in one, over vectors of the first encoder; the second one's vectors are those of an index of its own, so
that all judged questions of a set take seconds. Its scores are mixed half and half with the hybrid's, both standardised, as
`rerank.cosine` does. `--unseen` leaves the questions out on which depth and share were chosen, those of the samples that
`benchmarks.which_reranker` asks. Compared by a paired randomisation test, for every set and for all questions together.

    RAGLINE_EVAL_DATA=... python -m benchmarks.second_encoder [SET ...] [--unseen] [--limit N] [--record]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder_choice import DEPTH, ENCODERS, built, rankings
from benchmarks.encoder_choice import systems as hybrids
from benchmarks.legs import LANGUAGES, folder_of
from benchmarks.legs import SETS as ALL
from benchmarks.make_samples import JUDGEMENTS, data_folder, read_sample, take_sets
from benchmarks.memory import alone
from benchmarks.record import Record, record
from rag.core.types import Ranking
from rag.evaluate import evaluate, paired_randomisation
from rag.evaluate.beir import load_beir
from rerankers.attention.reading.weigh import fused

SETS = tuple(name for name in ALL if name not in LANGUAGES)
"""Those in English: texts in other languages have vectors of the second encoder alone."""
READ = (10, 20)
"""Hits that are read again: as `ask` does, and as `hybrid-cosine` does."""
HALF = 0.5
SAMPLE = 40
"""Questions of each sample that depth and share were chosen on."""
MEASURES = ("nDCG@10", "Success@4")
"""The second: whether one of the four documents that an answer is written from is relevant."""
FIRST, SECOND = ENCODERS

Values = NDArray[np.float64]


def again(ranking: Ranking, second: Ranking, depth: int) -> list[str]:
    """The doc_ids, the first ones in the order of both scores. `second`: the second encoder's list, completed."""
    close = dict(second.other_scores) | {hit.doc_id: hit.score for hit in second.hits}
    read = ranking.hits[:depth]
    mixed = fused(np.array([close[hit.doc_id] for hit in read]), np.array([hit.score for hit in read]), weight=HALF)
    order = np.argsort(-mixed, kind="stable").tolist()
    return [read[place].doc_id for place in order] + [hit.doc_id for hit in ranking.hits[depth:]]


def measured(name: str, work: Path, *, unseen: bool, limit: int | None) -> dict[int, Values]:
    """Hits that are read again -> the measures of a set's questions, [n, 2]; 0 is the hybrid itself."""
    folders = {encoder: work / f"{encoder}-{folder_of(name)}" for encoder in ENCODERS}
    for encoder, folder in folders.items():
        with alone() as process:
            process.submit(built, name, encoder, folder).result()
    dataset = load_beir(data_folder() / name)
    qrels = dataset.qrels()
    left_out = {*read_sample(name)[:SAMPLE]} if unseen and name in JUDGEMENTS else set[str]()
    queries = [query for query in dataset.queries_of(qrels)[:limit] if query.qid not in left_out]
    lists = rankings(queries, folders)
    first, second = hybrids(lists)[f"hybrid {FIRST}"], {each.query.qid: each for each in lists[SECOND]}
    found: dict[int, Values] = {}
    for depth in (0, *READ):
        run = {each.query.qid: again(each, second[each.query.qid], depth) if depth else each.doc_ids for each in first}
        judged = evaluate(run, {qid: qrels[qid] for qid in run}, list(MEASURES))
        found[depth] = np.array([[judged.per_query[measure][qid] for measure in MEASURES] for qid in run])
    return found


def told(name: str, found: Mapping[int, Values]) -> list[dict[str, Any]]:
    """A line for each depth: the hybrid's means, and what reading again adds."""
    lines = []
    for depth in READ:
        line: dict[str, Any] = {"set": name, "questions": len(found[0]), "read": depth}
        for place, measure in enumerate(MEASURES):
            after, before = found[depth][:, place], found[0][:, place]
            test = paired_randomisation(after.tolist(), before.tolist())
            line[measure] = {"hybrid": float(before.mean()), "again": float(after.mean())}
            line[measure] |= {"by": test.difference, "low": test.low, "high": test.high, "p": test.p}
        lines.append(line)
    return lines


def show(line: Mapping[str, Any]) -> None:
    cells = [
        f"{measure} {of['hybrid']:.4f} {of['by']:+.4f} [{of['low']:+.4f}, {of['high']:+.4f}] p {of['p']:.4f}"
        for measure, of in ((measure, line[measure]) for measure in MEASURES)
    ]
    print(f"{line['set']:16} {line['questions']:5} questions, {line['read']:2} read  {'  '.join(cells)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print two lines for every set, and two for all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take_sets(parser, SETS)
    parser.add_argument("--unseen", action="store_true", help="without the questions that were chosen on")
    parser.add_argument("--limit", type=int, help="only the first N questions of each set")
    parser.add_argument("--work", type=Path, default=Path("build/encoder_choice"), help="where indexes are kept")
    parser.add_argument("--record", action=Record, help="append to results/second_encoder.jsonl")
    options = parser.parse_args(arguments)
    every = dict[str, dict[int, Values]]()
    for name in options.sets or SETS:
        every[name] = measured(name, options.work, unseen=options.unseen, limit=options.limit)
        _tell(told(name, every[name]), options)
    together = {depth: np.concatenate([found[depth] for found in every.values()]) for depth in (0, *READ)}
    _tell(told("all", together), options)
    return 0


def _tell(lines: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> None:
    for line in lines:
        show(line)
        if options.record:
            record("second_encoder", {**line, "unseen": options.unseen, "limit": options.limit, "depth": DEPTH})


if __name__ == "__main__":
    sys.exit(main())
