"""Answers with the sentences nearest to the question shown once more, and without: how often each holds a reference.

Questions are drawn by a seed and answered as `rag ask` answers, from the same passages both ways. Of a set with questions
that have no answer, those alone are asked, and refusals are counted.

    RAGLINE_EVAL_DATA=... python -m benchmarks.highlights [SET ...] [--n 40] [--model NAME] [--record]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.make_samples import data_folder
from benchmarks.record import Record, record
from benchmarks.ways import difference_cell, mean_cell
from rag.core.report import RunResult
from rag.core.types import Answer, Query
from rag.evaluate.beir import Item, load_beir
from rag.evaluate.right import contains
from rag.evaluate.significance import mean_interval, paired_randomisation
from rag.indexing import build_index
from rag.pipeline import Pipeline, load_pipeline

SETS = ("xquad/en", "xquad/de", "hotpotqa-100", "clapnq")
NODE = "nearest"
"""The node of `ask` that gives highlights."""


def drawn(items: Sequence[Item], n: int) -> list[Item]:
    """Questions without an answer, where there are such; else those with a reference of words."""
    chosen = [item for item in items if not item.answerable] or [
        item for item in items if item.answers and item.answers[0].casefold() not in ("yes", "no")
    ]
    chosen.sort(key=lambda item: item.qid)
    return random.Random(7).sample(chosen, min(n, len(chosen)))


def right(answer: Answer, item: Item, language: str) -> bool:
    """A reference stands in the answer word for word; of a question without an answer: it is refused."""
    return contains(answer, item, language) if item.answerable else answer.status == "no_answer"


def without(prepared: RunResult) -> RunResult:
    """The same passages, without highlights."""
    plain = [replace(each, highlights=()) for each in prepared.records[NODE]]
    return replace(prepared, records={**prepared.records, NODE: plain})


def asked(pipeline: Pipeline, items: Sequence[Item], language: str) -> dict[str, Any]:
    """What of which question is right, and what is refused, both ways."""
    found: dict[str, Any] = {"shown": [], "without": [], "refused_shown": [], "refused_without": []}
    for item in items:
        [prepared] = pipeline.prepare([Query(qid=item.qid, text=item.question)])
        for way, given in (("shown", prepared), ("without", without(prepared))):
            [result] = pipeline.finish([given])
            [answer] = result.answers
            found[way].append(int(right(answer, item, language)))
            found[f"refused_{way}"].append(int(answer.status == "no_answer"))
    return found


def summed(line: dict[str, Any]) -> dict[str, Any]:
    """Shares and the difference, each with its 95% interval."""
    shares = {way: {"share": fmean(line[way]), **asdict(mean_interval(line[way]))} for way in ("shown", "without")}
    return {"share": shares, "difference": asdict(paired_randomisation(line["shown"], line["without"]))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print for each set the share of right answers both ways, and their difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS, help=f"default: {' '.join(SETS)}")
    parser.add_argument("--n", type=int, default=40, help="questions of each set, at most")
    parser.add_argument("--model", help="another model that writes")
    parser.add_argument("--record", action=Record, help="append to results/highlights.jsonl")
    options = parser.parse_args(arguments)
    for name in options.sets:
        dataset = load_beir(data_folder() / name)
        language = name.rpartition("/")[2] if name.startswith("xquad/") else "en"
        items = drawn([*dataset.items()], options.n)
        with tempfile.TemporaryDirectory() as work:
            build_index(dataset.corpus, Path(work) / "index")
            with load_pipeline("ask", index=Path(work) / "index", model=options.model) as pipeline:
                pipeline.warm_up()
                line = {"set": name, "n": len(items), "refusing": not items[0].answerable}
                line |= asked(pipeline, items, language)
                line |= summed(line)
        cells = mean_cell(line["shown"]), mean_cell(line["without"]), difference_cell(line["shown"], line["without"])
        print(f"{name} ({line['n']}): {' | '.join(cells)}", flush=True)
        if options.record:
            record("highlights", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
