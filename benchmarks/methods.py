"""The table of zero-shot methods: every reformulator and prompt-based reranker on five sets, over bm25 and the hybrid.

Twenty queries per set from the committed lists. Every result is a line in a work file under `benchmarks/results`, by
method, set, query and settings, so a run that was stopped goes on where it was; only the batch that it was in is lost.
The table and its plot are written from the lines alone, with what is missing said to be missing. Two processes may
share the work, on different sets.

    RAGLINE_EVAL_DATA=... python -m benchmarks.methods [--minutes N] [--sets SET ...] [--methods WORD ...] [--limit 20]
    RAGLINE_EVAL_DATA=... python -m benchmarks.methods --study large --model NAME [--url URL]
    python -m benchmarks.methods --table
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.methods_list import Cell, cells
from benchmarks.methods_run import Runner
from benchmarks.methods_sets import SETS
from benchmarks.methods_study import ALONE, STUDIES
from benchmarks.methods_table import write_pages
from benchmarks.model_server import add_model
from benchmarks.ways import add_busy
from benchmarks.work_lines import Work
from rag.core.types import Query

FOLDER = Path("build/methods")
FEW = 4
"""Queries at a time of a study that remembers replies."""


def run(runner: Runner, made: Sequence[Cell], *, limit: int, minutes: float) -> list[Cell]:
    """Everything that is missing, until the time is up. Returns the cells that failed; the others went on."""
    until, failed = time.monotonic() + 60 * minutes, list[Cell]()
    for cell in made:
        missing, begun = runner.missing(cell, limit), time.monotonic()
        if not missing:
            continue
        if begun > until:
            print("time is up", flush=True)
            return failed
        try:
            for some in _batches(missing, FEW if runner.remembers else len(missing)):  # a kill loses one batch
                if time.monotonic() > until:
                    break
                runner.run(cell, some)  # what is read together is read faster
        except Exception:  # hours of other cells must not be lost to one
            traceback.print_exc()
            failed.append(cell)
        else:
            print(f"{cell}: {len(missing)} queries, {time.monotonic() - begun:.1f} s", flush=True)
    return failed


def _batches(queries: Sequence[Query], n: int) -> list[Sequence[Query]]:
    return [queries[at : at + n] for at in range(0, len(queries), n)]


def main() -> int:
    """Run what is missing, or write the table; 1 if a cell failed."""
    studies = {**STUDIES, **ALONE}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=list(studies), default="small", help="a model, and what is run with it")
    parser.add_argument("--table", action="store_true", help="only write its page in docs/reference and its plot")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no batch after this time")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--methods", nargs="+", metavar="WORD", help="only methods whose name has one of these in it")
    parser.add_argument("--limit", type=int, help="queries per set; all of the study otherwise")
    add_model(
        parser, default=None, help="in place of the study's: its lines go to a file of their own, and it has no page"
    )
    add_busy(parser)
    parser.add_argument("--lines", type=Path, help="the work file, if not the study's")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where indexes are kept")
    options = parser.parse_args()
    study = studies[options.study]
    study = study.of_model(options.model) if options.model else study
    lines = Work(options.lines or study.lines, busy=options.busy)
    failed = list[Cell]()
    if not options.table:
        wanted = [
            cell
            for cell in cells(study)
            if cell.declared.name in options.sets
            and (not options.methods or any(word in cell.method.name for word in ["plain", *options.methods]))
        ]
        runner, limit = Runner(lines, options.folder, study), options.limit or study.queries
        failed = run(runner, wanted, limit=limit, minutes=options.minutes)
    if options.lines is None and study.page:
        write_pages(lines, study=study)
    for cell in failed:
        print(f"FAILED {cell}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
