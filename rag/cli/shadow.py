"""`rag index --shadow`: another encoder beside the one that serves, judged before it takes its place."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from rag.cli.compare import show_compared
from rag.cli.console import plain_data, say, say_json
from rag.cli.progress import progress_bar
from rag.core.clusters import Cluster
from rag.core.errors import SpecError
from rag.core.trec import read_qrels
from rag.evaluate.shadow import Judged, judge_shadow
from rag.indexing.shadow import build_shadow, drop_shadow, promote_shadow, require_fresh, shadow_of
from rag.pipeline.questions import read_questions
from retrievers.index.directory import LocalIndex


def run(given: Namespace, cluster: Cluster | None) -> int:
    """Build, judge, promote or drop, as the options say."""
    if given.sources:
        raise SpecError("--shadow is about the passages that the index has: index sources first, without it")
    if given.promote_if_better and given.questions is None:
        raise SpecError("--promote-if-better needs --questions FILE to judge by")
    document: dict[str, Any] = {}
    if given.drop:
        document["dropped"] = drop_shadow(given.index)
        _say(given, "the shadow is deleted" if document["dropped"] else "there is no shadow")
        return _end(given, document)
    if given.encoder is not None:
        with progress_bar() as progress:
            report = build_shadow(given.index, encoder=given.encoder, cluster=cluster, progress=progress)
        document["report"] = plain_data(asdict(report))
        _say(
            given,
            f"{report.n_units:,} passages in {shadow_of(given.index)}, {report.n_encoded:,} of them newly encoded",
        )
    require_fresh(given.index)
    judged = _judged(given) if given.questions is not None else None
    if judged is not None:
        document["judged"] = {"graph": judged.graph, "by": judged.by, **judged.compared.as_dict()}
        if not given.json:
            say(f"graph {judged.graph}, by {judged.by}")
            show_compared("the index", {"its shadow": [judged.compared]}, queries=0)
    if given.promote or (given.promote_if_better and judged is not None and judged.is_better):
        promote_shadow(given.index)
        document["promoted"] = True
        _say(given, f"the shadow is the index now: {given.index}")
    elif given.promote_if_better:
        document["promoted"] = False
        _say(given, "it is not shown to be better, so the index stays as it is, and its shadow beside it")
    return _end(given, document)


def _judged(given: Namespace) -> Judged:
    queries = list(read_questions(given.questions))
    qrels = None if given.qrels is None else read_qrels(given.qrels)
    graph = given.graph or _usual_graph(given.index)
    return judge_shadow(given.index, queries, graph=graph, qrels=qrels, teacher=given.teacher)


def _usual_graph(path: str) -> str:
    with LocalIndex.open(path) as index:
        return "hybrid" if "lexical" in index.legs else "dense"


def _say(given: Namespace, sentence: str) -> None:
    if not given.json:
        say(sentence)


def _end(given: Namespace, document: dict[str, Any]) -> int:
    if given.json:
        say_json(document)
    return 0
