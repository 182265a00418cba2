"""The question whether passages suffice, by itself: what it refuses with the right passage there, and without it.

Read from the answers that `plugins.train.benchmarks.risk` keeps, each with the log-odds that the model gave before it wrote,
so it takes no model. `--reliefs` and `--leasts` are those of `generate.cited`.

    python -m plugins.train.benchmarks.gate [SET ...] [--leasts 0.5 0.75 1] [--reliefs 0 2 3] [--record]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

from benchmarks.record import Record, record
from generators.enough import spared
from plugins.train.benchmarks.risk import LINES
from plugins.train.benchmarks.risk_sets import SETS

CHOSEN_ON, TOLD_ON = ("xquad", "poquad"), ("clapnq", "pubmedqa")


def asked(name: str, n: int) -> Iterator[tuple[bool, float, str, list[str]]]:
    """Whether the passages have the answer, the log-odds, the question and the passages; those that retrieval missed are none."""
    risk_set = SETS[name](n)
    texts = {document["_id"]: document["text"] for document in risk_set.documents}
    items = {one.item.qid: one for one in risk_set.asked}
    for line in map(json.loads, LINES.read_text(encoding="utf-8").splitlines()):
        if line["set"] != name or line.get("enough") is None or line["qid"] not in items:
            continue
        one, read = items[line["qid"]], [doc_id for doc_id, _ in line["passages"]]
        answerable = one.item.answerable and not one.query.where
        if not answerable or set(read) & set(one.item.supporting):
            yield answerable, line["enough"], one.item.question, [texts[doc_id] for doc_id in read]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=[*CHOSEN_ON, *TOLD_ON])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--leasts", type=float, nargs="+", default=[0.5, 0.75, 1.0])
    parser.add_argument("--reliefs", type=float, nargs="+", default=[0.0, 2.0, 3.0])
    parser.add_argument("--record", action=Record, help="append to results/gate.jsonl")
    given = parser.parse_args()
    rows = {name: list(asked(name, given.n)) for name in given.sets}
    print("| least | relief |", " | ".join(f"{name}: refused with, without" for name in rows), "|")
    print("| ---: | ---: |", " | ".join("---" for _ in rows), "|")
    for relief in given.reliefs:
        for least in given.leasts:
            cells = []
            for name, some in rows.items():
                kinds: dict[bool, list[bool]] = {True: [], False: []}
                for answerable, odds, question, texts in some:
                    kinds[answerable].append(odds < least - spared(question, texts, relief))
                refused = {kind: sum(each) / len(each) for kind, each in kinds.items()}
                cells.append(f"{refused[True]:.2f}, {refused[False]:.2f}")
                if given.record:
                    said = {"set": name, "least": least, "relief": relief}
                    n = {"n_with": len(kinds[True]), "n_without": len(kinds[False])}
                    record("gate", {**said, "with": refused[True], "without": refused[False], **n})
            print(f"| {least:g} | {relief:g} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
