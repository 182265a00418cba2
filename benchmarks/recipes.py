"""Every recipe's benchmark with one model, a large one behind a server: `make bench-recipes MODEL=NAME URL=http://host/v1`.

A row is a command (`ROWS`). It says first what it will do; then it runs one row after the other, each in a process of its own
whose output goes to a file. What has a line is not asked again, so after a kill the same command goes on where it was. A row
that cannot run, or breaks off, is told at the end with the reason, and the others go on; then this returns 1.

    RAGLINE_EVAL_DATA=... python -m benchmarks.recipes [ROW ...] --model NAME [--url URL] [--n 200] [--work FOLDER] [--plan]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.model_server import ServedLLM, add_model, served_at
from benchmarks.record import RESULTS
from benchmarks.ways import require_ways
from rag.core.errors import RagError

LOGS = Path("runs/bench_recipes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A benchmark: its module, the file of its lines, and the systems of the table whose figures it makes.

    `size`: its option for how much of a set is asked. `times`: what that is for one question of `--n`. `keeps`: its option for
    the file of its lines.
    """

    module: str
    systems: str
    arguments: tuple[str, ...] = ()
    size: str = "--n"
    times: int = 1
    file: str = ""
    keeps: str = "--work"

    @property
    def name(self) -> str:
        return self.module.rpartition(".")[2]

    @property
    def lines(self) -> str:
        """The name of the file that its lines are in."""
        return f"{self.file or self.name}.jsonl"

    def command(self, model: str, n: int, work: Path | None) -> list[str]:
        """What is run. `work`: the folder that the lines go to; None: where the benchmark keeps them."""
        kept = [self.keeps, str(work / self.lines)] if work else []
        sized = [self.size, str(n * self.times)]
        return [sys.executable, "-m", self.module, *self.arguments, "--model", model, *sized, *kept]

    def kept(self, model: str, work: Path | None) -> int:
        """How many lines of this model there are."""
        path = (work or RESULTS) / self.lines
        if not path.is_file():
            return 0
        named = re.compile(rf"(?<![\w./:-]){re.escape(model)}(?![\w./:-])")
        lines = path.read_text(encoding="utf-8").splitlines()
        return sum(named.search(line) is not None for line in lines)


def _recipe(name: str, systems: str, *arguments: str, size: str = "--n", times: int = 1) -> Row:
    module = f"plugins.recipes.benchmarks.{name}"
    return Row(module=module, systems=systems, arguments=arguments, size=size, times=times)


ROWS = {
    row.name: row
    for row in (
        _recipe("multi_step", "i-MedRAG, Decomposed Prompting, In-Context RALM"),
        _recipe("persuasion", "PersuaBot"),
        Row(module="benchmarks.misleading", systems="RAGuard", size="--limit"),
        _recipe("forecasts", "AutoCast++"),
        Row(module="benchmarks.conversation", systems="CANARD"),
        _recipe("snippets", "BioASQ few-shot"),
        _recipe("expanded", "BioASQ few-shot"),
        _recipe("typed", "BioASQ few-shot"),
        _recipe("relations", "RAG4RE"),
        _recipe("mentions", "NERetrieve", size="--most", times=2),
        _recipe("walks", "Knowledge Solver"),
        _recipe("backtracing", "Backtracing"),
        _recipe("stride", "In-Context RALM", size="--texts"),
        Row(module="benchmarks.counting", systems="Counting by a plan"),
        Row(module="benchmarks.counting_asked", systems="Counting by a plan", size="--limit", file="counting_answered"),
        Row(module="benchmarks.checked_hyde", systems="HyDE with a check"),
        Row(
            module="benchmarks.methods",
            systems="GenQR, ReCo, tool queries, HyDE and prompt-based rerankers",
            arguments=("--study", "large"),
            size="--limit",
            file="methods_queries_other",
            keeps="--lines",
        ),
    )
}
"""In the order in which they run. Sets that have fewer questions than `--n` are asked whole."""


def plan(rows: Sequence[Row], model: str, n: int, work: Path | None) -> Iterator[str]:
    """What will be run, a line a row."""
    where = f"at {served_at()}" if served_at() else "in the engine of each benchmark"
    yield f"{len(rows)} rows by {model}, {where}, at most {n} questions of each set; what has a line is not asked again"
    for row in rows:
        there = row.kept(model, work)
        yield f"  {row.name} ({row.systems}): {there:,} lines of this model are there; {' '.join(row.command(model, n, work)[1:])}"


def run(row: Row, command: Sequence[str], logs: Path) -> str:
    """Run a row; the reason why it was missed, empty where it was not. What it says is kept in a file of `logs`."""
    said = logs / f"{row.name}.txt"
    with said.open("wb") as out:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT).returncode
    if code == 0:
        return ""
    if code < 0:
        return f"ended by signal {-code}"
    last = [line.strip() for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return last[-1] if last else f"ended with {code} and said nothing"


def run_all(rows: Sequence[Row], model: str, n: int, work: Path | None, logs: Path) -> dict[str, str]:
    """Run rows in their order. Returns name -> reason of those that were missed."""
    missed: dict[str, str] = {}
    logs.mkdir(parents=True, exist_ok=True)
    for row in rows:
        before, begun = row.kept(model, work), perf_counter()
        print(f"{row.name}: begins; {logs / row.name}.txt has what it says", flush=True)
        if reason := run(row, row.command(model, n, work), logs):
            missed[row.name] = reason
        added = row.kept(model, work) - before
        print(
            f"{row.name}: {'missed' if reason else 'done'}, {added:,} lines more, {perf_counter() - begun:.0f} s",
            flush=True,
        )
    return missed


def main(arguments: Sequence[str] | None = None) -> int:
    """Say what will be done, do it, say what was missed; 1 where something was, 2 where no server answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; all of them when left out")
    add_model(parser, default=None)
    parser.add_argument("--n", type=int, default=200, help="questions of each set, at most")
    parser.add_argument("--work", type=Path, help="a folder for the lines, in place of benchmarks/results")
    parser.add_argument("--logs", type=Path, default=LOGS, help="a folder for what the benchmarks say")
    parser.add_argument("--plan", action="store_true", help="only say what would be run")
    options = parser.parse_args(arguments)
    require_ways(parser, options.rows, ROWS)
    if not options.model:
        parser.error("--model: name the model that writes")
    rows = [ROWS[name] for name in options.rows or ROWS]
    print(*plan(rows, options.model, options.n, options.work), sep="\n", flush=True)
    if options.plan:
        return 0
    if served_at():
        try:
            print(ServedLLM(model=options.model).state(), flush=True)
        except RagError as error:
            print(error, file=sys.stderr)
            return 2
    missed = run_all(rows, options.model, options.n, options.work, options.logs)
    print(f"{len(rows) - len(missed)} of {len(rows)} rows are done")
    for name, reason in missed.items():
        print(f"missed {name}: {reason}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
