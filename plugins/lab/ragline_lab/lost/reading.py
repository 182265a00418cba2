"""The folder of `rag eval` and the data set it is of -> what became of every relevant document."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Dataset, RunFile, Trails, read_object, read_trails
from rag.graphs import GraphSpec, load_spec
from ragline_lab.leaderboard.run_folders import facts_of
from ragline_lab.lost.report import Lost, query_loss
from ragline_lab.lost.stages import stages_of

_SHOWN = 80


def lost_in(run: Path, dataset: Dataset, *, split: str = "test", k: int = 10) -> Lost:
    """Follow the relevant documents of a run.

    Args:
        run: the folder of `rag eval`.
        dataset: the one that it was run on. `split`: whose judgements say what is relevant: grades above 0.
        k: how far a ranking counts, at least 1.
    Raises:
        SpecError: a file of the folder is missing or damaged, its graph ranks nothing, the run is of other questions than
            the data set's, or none of its queries has a relevant document.
    """
    if not run.is_dir():
        raise SpecError(f"'{run}' is no folder; the folder of a `rag eval` is wanted")
    trails = read_trails(run / RunFile.TRAILS)
    stages = stages_of(_graph(run / RunFile.GRAPH), trails.depths, name=str(run))
    judged = {
        qid: {document: grade for document, grade in grades.items() if grade > 0}
        for qid, grades in dataset.qrels(split).items()
    }
    relevant = {qid: grades for qid, grades in judged.items() if grades}
    _require_of(trails, dataset, relevant, judged, run=run, split=split)
    _require_whole(trails, {stage.name for stage in stages.ranking}, run)
    followed = [trail for trail in trails.queries if trail.qid in relevant]
    return Lost(
        name=str(run),
        dataset=dataset.name,
        split=split,
        graph=facts_of(run).graph,
        k=k,
        answers=any(trail.shown is not None for trail in trails.queries),
        stages=stages,
        queries=tuple(query_loss(trail, relevant[trail.qid], stages, k=k) for trail in followed),
        unjudged=len(trails.queries) - len(followed),
        unasked=len(relevant) - len(followed),
    )


def require_same_words(trails: Trails, dataset: Dataset, qids: Container[str], *, run: Path) -> None:
    """Return if the run asked these queries in the words of the data set.

    Raises:
        SpecError: one was asked otherwise.
    """
    texts = {query.qid: query.text for query in dataset.queries}
    for trail in trails.queries:
        if trail.qid in qids and texts.get(trail.qid, trail.question) != trail.question:
            raise SpecError(
                f"{run}: query '{trail.qid}' was asked as {trail.question[:_SHOWN]!r}, but the data set "
                f"'{dataset.folder}' says {texts[trail.qid][:_SHOWN]!r}: the run is of another data set. Name its own with "
                "--dataset"
            )


def _require_of(
    trails: Trails,
    dataset: Dataset,
    relevant: Mapping[str, Any],
    judged: Mapping[str, Any],
    *,
    run: Path,
    split: str,
) -> None:
    """Return if the run asked questions of the data set, in its words, and one of them has a relevant document."""
    require_same_words(trails, dataset, judged, run=run)
    asked = {trail.qid for trail in trails.queries}
    if not asked & judged.keys():
        raise SpecError(
            f"{run}: none of its {len(asked):,} queries is judged in split '{split}' of '{dataset.folder}'; there are "
            f"{', '.join(sorted(dataset.splits))}. Name the data set and the split of the run with --dataset and --split"
        )
    if not asked & relevant.keys():
        raise SpecError(f"{run}: no query of it has a relevant document in split '{split}' of '{dataset.folder}'")


def _require_whole(trails: Trails, names: set[str], run: Path) -> None:
    """Return if every query has the rankings of every node, or says where it failed."""
    for trail in trails.queries:
        if trail.failed is None and (without := sorted(names - trail.nodes.keys())):
            raise SpecError(
                f"{run}: query '{trail.qid}' has nothing of node '{without[0]}' in {RunFile.TRAILS}, which is in "
                f"{RunFile.GRAPH}: the two files are of different runs. Run rag eval again"
            )


def _graph(file: Path) -> GraphSpec:
    data = read_object(file)
    try:
        return load_spec(data).graph
    except SpecError as error:
        raise SpecError(f"{file} is no graph as rag eval writes it: {error}. Run rag eval again") from None
