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

QUERIES, OTHERS, CHARACTERS = 6, 40, 800


def copy(source: Path, target: Path, *, whole: frozenset[str] = frozenset()) -> None:
    """Write the small copy of all sets under `source`; those named in `whole` are linked."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name in whole or not any(path.glob("**/corpus.jsonl.gz")):
            (target / path.name).symlink_to(path)
        elif (path / "corpus.jsonl.gz").is_file():
            _copy_set(path, target / path.name)
        else:
            copy(path, target / path.name)


def _copy_set(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.name != "corpus.jsonl.gz":
            (target / path.name).symlink_to(path)
    answering = _answering(source)
    with (
        gzip.open(source / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines,
        gzip.open(target / "corpus.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as kept,
    ):
        for number, line in enumerate(lines):
            record = json.loads(line)
            if number < OTHERS or record["_id"] in answering:
                kept.write(json.dumps(record | {"text": record["text"][:CHARACTERS]}) + "\n")


def _answering(folder: Path) -> set[str]:
    """Documents that answer the first queries of each split, and the first of the committed sample."""
    asked = set(read_sample(folder.name)[:QUERIES] if folder.name in JUDGEMENTS else ())
    found = set[str]()
    for path in folder.glob("qrels/*.tsv"):
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        first = set(islice(dict.fromkeys(qid for qid, *_ in rows), QUERIES))
        found |= {doc_id for qid, doc_id, grade in rows if qid in asked | first and float(grade) > 0}
    return found
