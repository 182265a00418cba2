"""Our reference runs as folders, and the page that `rag leaderboard` makes of them, with published figures beside.

Of each set of `benchmarks.legs`: BM25 in the five variants of bm25s, every leg by its defaults, fusions of BM25 with each
other leg and of all four, and the built-in hybrid. A run is run.trec, per_query.csv, and report.json with the command that
makes this run alone again. Rerankers by attention are not run: their values for each query are those that
`benchmarks.attention --all` recorded, for the sets that it judges as is done here.

    RAGLINE_EVAL_DATA=... python -m plugins.lab.benchmarks.leaderboard [SET ...] [--legs bm25 ...] [--limit N] [--page]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attention import WORK as RECORDED
from benchmarks.legs import LEGS, SETS, folder_of, runs_of, searched
from benchmarks.make_samples import JUDGEMENTS
from benchmarks.record import for_folder
from benchmarks.work_lines import Setup, Work
from rag import Ranking
from rag.cli import main as rag
from rag.core.trec import write_run
from rag.evaluate import Evaluation, Qrels, RunFile, evaluate, results, write_per_query, write_results
from retrievers.legs.lexical.settings import LexicalSettings

PUBLISHED = Path(__file__).with_name("published.json")
"""Figures of others. Only those for the same documents, queries and judgements: scifact is the one set of BEIR here."""
MEASURES = ("nDCG@10", "R@100")
VARIANTS = ("robertson", "atire", "bm25l", "bm25+")
"""BM25 beside `lucene`, the default."""
ATTENTION = {
    "alone": "attention 135M",
    "fused": "bm25 + attention 135M",
    "hybrid-fused": "hybrid + attention 135M",
}
"""Method of `benchmarks.attention` -> what the page calls it. Names of more than 23 letters are cut in its bars."""
JUDGED_ALIKE = tuple(name for name, judgements in JUDGEMENTS.items() if judgements == "test")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A system on a set. `rankings`: none where only values were recorded. `command`: what makes it again."""

    system: str
    evaluation: Evaluation
    command: tuple[str, ...]
    rankings: Sequence[Ranking] = ()

    def write(self, folder: Path, *, dataset: str) -> None:
        """In place of what is there."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if self.rankings:
            write_run(self.rankings, folder / "run.trec", tag="ragline")
        write_per_query(self.evaluation, folder / RunFile.PER_QUERY)
        kind = "rankings and values per query" if self.rankings else "recorded values per query"
        report = results(self.evaluation, dataset=dataset, kind=kind, command=list(self.command))
        write_results(report, folder / "report.json")


def is_reference(system: str) -> bool:
    """Whether a run of `benchmarks.legs` is one of ours: legs, BM25 with each other leg, all four, and the hybrid."""
    members = system.partition(" ")[2].split(" + ")
    return system in LEGS or system.startswith("hybrid") or ("bm25" in members and len(members) in (2, len(LEGS)))


def reference_runs(name: str, options: argparse.Namespace) -> Iterator[Run]:
    """All runs of a set."""
    sizes: dict[str, Any] = {"limit": options.limit, "depth": options.depth}
    found, qrels = searched(name, options.legs, options.work, **sizes)
    rankings = {system: run for system, run in runs_of(found, depth=options.depth).items() if is_reference(system)}
    for variant in VARIANTS:
        of_variant, _ = searched(
            name,
            ["bm25"],
            options.work / "variants" / variant,
            bm25=LexicalSettings.model_validate({"variant": variant}),
            **sizes,
        )
        rankings[f"bm25, {variant}"] = of_variant["bm25"].rankings
    for system, run in rankings.items():
        system = system.replace(" + ".join(LEGS), "all four legs")
        evaluation = evaluate(run, qrels, MEASURES)
        yield Run(system=system, evaluation=evaluation, command=_command(name, system, options), rankings=run)
    if name in JUDGED_ALIKE:
        yield from recorded_runs(name, qrels, Work(RECORDED))


def _command(name: str, system: str, options: argparse.Namespace) -> tuple[str, ...]:
    words = [
        "python",
        "-m",
        "plugins.lab.benchmarks.leaderboard",
        name,
        "--systems",
        system,
        "--depth",
        str(options.depth),
    ]
    if options.legs != list(LEGS):
        words += ["--legs", *options.legs, "--work", str(options.work)]
    if options.limit is not None:
        words += ["--limit", str(options.limit)]
    return tuple(words)


def recorded_runs(name: str, qrels: Qrels, work: Work) -> Iterator[Run]:
    """Those of attention that were recorded for every query; the setup that came last among them."""
    for method, system in ATTENTION.items():
        values = recorded(work, method, name)
        if not qrels.keys() <= values.keys():
            print(f"{name}: '{method}' is not recorded for all {len(qrels)} queries, left out", file=sys.stderr)
            continue
        of_query = {qid: values[qid] for qid in qrels}
        evaluation = Evaluation(
            measures={"nDCG@10": sum(of_query.values()) / len(of_query)},
            per_query={"nDCG@10": of_query},
            n_queries=len(of_query),
        )
        yield Run(
            system=system, evaluation=evaluation, command=("python", "-m", "benchmarks.attention", method, "--all")
        )


def recorded(work: Work, method: str, name: str) -> Mapping[str, float]:
    """qid -> nDCG@10, of the setup with the most queries; of equals that which came last."""
    of_setup: dict[Setup, dict[str, float]] = {}
    for line in work.every(method, name):
        of_setup.setdefault(Setup.of_line(line), {})[line["qid"]] = line["nDCG@10"]
    return max(reversed(of_setup.values()), key=len, default={})


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the runs, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; all of them when left out")
    parser.add_argument("--systems", nargs="+", metavar="NAME", help="write only these runs")
    parser.add_argument("--legs", nargs="+", choices=list(LEGS), default=list(LEGS), help="of the indexes")
    parser.add_argument("--depth", type=int, default=100, help="hits of each run")
    parser.add_argument("--limit", type=int, help="only the first N queries of each set")
    parser.add_argument("--work", type=Path, default=Path("build/legs"), help="where indexes are kept")
    parser.add_argument(
        "--out", type=for_folder, default=Path("runs/leaderboard"), help="where runs and the page are written"
    )
    parser.add_argument("--page", action="store_true", help="only the page, of the runs that are there")
    options = parser.parse_args(arguments)
    for name in () if options.page else options.sets or SETS:
        print(f"running {name}", file=sys.stderr, flush=True)
        for run in reference_runs(name, options):
            if options.systems is None or run.system in options.systems:
                run.write(options.out / folder_of(name) / run.system, dataset=name)
    measures = ("--measures", " ".join(MEASURES))
    title = ("--title", "ragline: reference runs")
    return rag(
        ["leaderboard", str(options.out), "--baseline", "bm25", *measures, *title, "--published", str(PUBLISHED)]
    )


if __name__ == "__main__":
    sys.exit(main())
