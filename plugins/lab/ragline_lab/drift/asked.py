"""A run folder -> which of its queries are asked again, of which graph and index, and what they got when the run was made.

The queries are those whose ids have the lowest hashes: the same every time, in whatever order the run has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import Any

from rag.errors import IndexProblem, SpecError
from rag.evaluate import (
    Evaluation,
    Plan,
    RunFile,
    cached_index,
    language_of,
    load_beir,
    measured_run,
    plan_evaluation,
    plan_for,
    read_object,
    read_trails,
)
from rag.files import Progress, Source, text_sha256
from rag.graphs import Identities, Provenance, Spec, check, load_spec, read_provenance, spec_of
from rag.indexes import Index, IndexSettings, open_index
from rag.types import Query
from ragline_lab.drift.seen import Seen, answer_lines_in, runs_in, seen_in_evaluation, seen_in_lines
from ragline_lab.lost.reading import require_same_words
from ragline_lab.sweep.halves import in_order

RUN = "run.json"
"""What `rag batch` keeps of its graph and index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked for, beside the run; see `verify`."""

    dataset: Path | None
    split: str | None
    within: str | None
    graph: str | None
    index: str | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked again.

    `of`: queries of the run; `left_out`: those that cannot be asked. `kept`: ranking nodes whose hits the run keeps.
    `plan`: what is measured, of these queries; `values`: what was, of all. `made_by`: the facts that the run keeps;
    `keeps_facts`: whether it keeps all of them. `index`: opens what the graph searches.
    """

    command: str
    spec: Spec
    index: Callable[[Progress], Index | None]
    queries: Sequence[Query]
    of: int
    left_out: int = 0
    answers: bool
    before: Mapping[str, Seen] = field(hash=False)
    kept: frozenset[str]
    plan: Plan
    values: Evaluation
    language: str
    made_by: tuple[Provenance, ...]
    keeps_facts: bool
    data: Mapping[str, str] = field(default_factory=dict, hash=False)


def asked_of_evaluation(run: Path, wishes: Wishes) -> Asked:
    """Of a run of `rag eval`. Its index is built from its data set again, where it is no longer kept.

    Raises:
        SpecError: no data set is named, or another one; a file is damaged; or the graph cannot be made here.
    """
    report = read_object(run / RunFile.REPORT)
    if wishes.dataset is None:
        raise SpecError(f"'{run}' is of the data set '{report.get('dataset', '')}': name its folder with --dataset")
    if wishes.index is not None:
        raise SpecError("the index of a run of rag eval is made from its data set; --index is for runs of rag batch")
    made_by = read_provenance(run)
    origin = made_by[-1].origin if made_by else {}
    split = wishes.split or str(report.get("split") or "test")
    data = load_beir(wishes.dataset, within=wishes.within or origin.get("within"))
    spec = _spec(run / RunFile.GRAPH, None, wishes.graph)
    values = measured_run(run)
    if not values.per_query:
        raise SpecError(f"{run / RunFile.PER_QUERY} has no value of any query, so there is nothing to ask again")
    plan = plan_for(data, spec, split=split, measures=list(values.per_query))
    qids = {qid for of_measure in values.per_query.values() for qid in of_measure}
    queries = in_order(query for query in plan.queries if query.qid in qids)[: wishes.n]
    if not queries:
        raise SpecError(
            f"'{run}': none of its {len(qids):,} queries is asked in split '{split}' of '{wishes.dataset}': the run is of "
            "another data set. Name its own with --dataset, and the split with --split"
        )
    if (run / RunFile.TRAILS).is_file():
        require_same_words(read_trails(run / RunFile.TRAILS), data, qids, run=run)
    settings = spec.graph.index
    if wishes.graph is None and origin.get("settings"):
        settings = IndexSettings.model_validate(origin["settings"])
    files = runs_in(run, spec.graph.nodes)

    def searched(progress: Progress) -> Index | None:
        return cached_index(data, spec.graph, settings, progress=progress) if spec.graph.ranks else None

    return Asked(
        command="rag eval",
        spec=spec,
        index=searched,
        queries=queries,
        of=len(qids),
        answers=bool(plan.answers),
        before=seen_in_evaluation(run, files, {query.qid for query in queries}),
        kept=frozenset(files),
        plan=plan.of(queries),
        values=values,
        language=str(origin.get("language") or language_of(settings)),
        made_by=made_by or _of_index(report.get("index")),
        keeps_facts=bool(made_by),
        data=data.fingerprint([split]),
    )


def asked_of_batch(run: Path, wishes: Wishes) -> Asked:
    """Of a run of `rag batch`: questions as its answers hold them. One that had a filter or a history is left out.

    Raises:
        SpecError: a file is damaged, no question can be asked again, or the graph cannot be made here.
    """
    kept = read_object(run / RUN, by="rag batch")
    try:
        identities, own = Identities(graph=kept["graph"], index=kept["index"]), dict(kept["spec"])
    except (KeyError, TypeError, ValueError):
        raise SpecError(f"{run / RUN} is no file of rag batch, or of a version that kept no graph there") from None
    made_by = read_provenance(run)
    spec = _spec(run / RUN, own, wishes.graph)
    found = _Found(identities)
    lines = [line for *_, line in nsmallest(wishes.n, found.plain(run / RunFile.ANSWERS), key=lambda each: each[:2])]
    if not lines:
        raise SpecError(
            f"'{run}' has no answer whose question can be asked again: of {found.all:,} answers {found.left_out:,} had a "
            "filter or a history, which the folder does not keep"
        )
    queries = [Query(qid=line["id"], text=line["question"]) for line in lines]
    language = language_of(spec.graph.index)
    plan, values = Plan(queries=tuple(queries)), Evaluation(measures={}, per_query={}, n_queries=0)
    if wishes.dataset is not None:
        data, split = load_beir(wishes.dataset), wishes.split or "test"
        whole = plan_evaluation(data, graph="", ranks=True, gives_answers=True, split=split)
        plan, values = whole.of(queries), measured_run(run, whole, language=language)
    address = wishes.index or next(
        (each.origin["index"] for each in reversed(made_by) if each.origin.get("index")), None
    )
    return Asked(
        command="rag batch",
        spec=spec,
        index=partial(_opened, address, run),
        queries=queries,
        of=found.all,
        left_out=found.left_out,
        answers=True,
        before=seen_in_lines(lines, spec.graph.nodes),
        kept=frozenset(spec.graph.nodes),
        plan=plan,
        values=values,
        language=language,
        made_by=made_by or _of_index(identities.index),
        keeps_facts=bool(made_by) and all(record.facts for record in made_by),
    )


class _Found:
    """Answers of a batch whose question is all that was asked, counted as they are read."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.all = self.left_out = 0

    def plain(self, file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Hash, id and line of each: its key is that of the question alone."""
        for line in answer_lines_in(file):
            self.all += 1
            if self._identities.key(Query(qid=line["id"], text=line["question"])) == line["key"]:
                yield text_sha256(line["id"]), line["id"], line
            else:
                self.left_out += 1


def _spec(file: Path, own: Mapping[str, Any] | None, other: str | None) -> Spec:
    """The graph of a run, or the other one. All that is wrong with it is told with where it comes from.

    Args:
        own: what the file holds of it; None: the file is the graph.
    """
    if other is not None:
        spec = load_spec(other)
        if problems := check(spec).problems:
            raise SpecError(*problems)
        return spec
    spec = spec_of(Source(name=str(file), data=read_object(file) if own is None else own, lines={}))
    if problems := check(spec).problems:
        raise SpecError(
            *problems,
            f"So the graph that '{file.parent}' was made with cannot be made here. Install what it names, name components of "
            "your own with --plugin, or ask another graph with --graph",
        )
    return spec


def _of_index(identity: object) -> tuple[Provenance, ...]:
    """The one fact that runs have always kept: which index they searched."""
    return (Provenance(facts={"index": {"identity": identity}}),) if isinstance(identity, str) and identity else ()


def _opened(address: object, run: Path, progress: Progress) -> Index | None:
    try:
        return None if address is None else open_index(str(address))
    except IndexProblem as problem:
        raise IndexProblem(
            f"the index of '{run}' cannot be opened at '{address}': {problem}. Name where it lies now with --index"
        ) from problem
