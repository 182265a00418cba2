"""A small copy of the evaluation sets, for the smoke size of the benchmarks.

What takes time at that size is reading whole corpora into indexes. The copy keeps what the first characters of a few documents
say: those that answer a few queries, and a few others. All else of a set, its queries and judgements too, is linked as it is.
"""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

from benchmarks.make_samples import JUDGEMENTS, read_sample
from rag.core import lines
from rag.evaluate.beir import load_beir

CORPUS = "corpus.jsonl.gz"
QUERIES, OTHERS, CHARACTERS = 6, 40, 800


def copy(source: Path, target: Path, *, whole: frozenset[str] = frozenset()) -> None:
    """Write the small copy of all sets under `source`; those named in `whole` are linked."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name in whole or not any(path.glob(f"**/{CORPUS}")):
            (target / path.name).symlink_to(path)
        elif (path / CORPUS).is_file():
            _copy_set(path, target / path.name)
        else:
            copy(path, target / path.name)


def _copy_set(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.name != CORPUS:
            (target / path.name).symlink_to(path)
    answering = _answering(source)
    with gzip.open(target / CORPUS, "wt", encoding="utf-8", compresslevel=1) as kept:
        for number, record in lines.records(source / CORPUS):
            if number <= OTHERS or record["_id"] in answering:
                kept.write(json.dumps(record | {"text": record["text"][:CHARACTERS]}) + "\n")


def _answering(folder: Path) -> set[str]:
    """Documents that answer the first queries of each split, and the first of the committed sample."""
    asked = set(read_sample(folder.name)[:QUERIES] if folder.name in JUDGEMENTS else ())
    found, dataset = set[str](), load_beir(folder)
    for qrels in map(dataset.qrels, dataset.splits):
        for qid in asked.intersection(qrels).union(islice(qrels, QUERIES)):
            found |= {doc_id for doc_id, grade in qrels[qid].items() if grade > 0}
    return found
