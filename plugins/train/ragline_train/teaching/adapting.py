"""The closed loop: a corpus without judgements -> questions, an encoder taught on them, a test, and a switch where it gains.

What was taught is asked in a copy of the index in which the passages of the questions that tell lack what was taken out of
them; in the index itself these words would answer their own question. Both encoders are asked by a graph, the
built-in hybrid if nobody says otherwise, so a gain that words have already is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from rag import add_documents, load_pipeline
from rag.errors import SpecError
from rag.evaluate import Significance, build_shadow, evaluate, paired_randomisation, promote_shadow
from rag.files import Progress, silent
from rag.indexes import Index, IndexSettings, LocalIndex
from rag.types import Document, Query, Ranking
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.run_folder import Told
from ragline_train.teaching.task import Settings
from ragline_train.teaching.training import Ahead, Data, Result, lessons_of, train

GRAPH, MEASURE, LEVEL = "hybrid", "nDCG@10", 0.05
_TEACHING = 2 / 3
"""Share of the minutes; the rest makes questions and asks both encoders."""
FEWEST = 20
"""Questions that a switch may rest on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """`switched`: whether the index has the new encoder; `why`, in a sentence. `before`, `after`: nDCG@10 by the graph."""

    switched: bool
    why: str
    result: Result
    before: float | None = None
    after: float | None = None
    test: Significance | None = None


def adapt(
    path: str | Path,
    *,
    out: str | Path,
    data: Data | None = None,
    settings: Settings | None = None,
    graph: str | Path = GRAPH,
    switch: bool = True,
    resume: bool = False,
    command: str = "",
    ahead: Callable[[Ahead], None] = lambda _: None,
    say: Callable[[Told], None] = lambda _: None,
    progress: Progress = silent,
) -> Adapted:
    """Teach the encoder of an index, and put it in the place of the old one where it is shown to be better.

    Args:
        path: an index directory with vectors, and what else the graph searches.
        out: a folder for the model, kept whatever comes of it; the index names it afterwards.
        graph: what asks both, by its name or file: a gain that is not seen through it is none.
        switch: False asks both and leaves the index as it is.
    Raises:
        SpecError: the index lacks a leg; see `train` for the others.
    """
    data, settings = data or Data(), settings or Settings()
    settings = replace(settings, minutes=settings.minutes * _TEACHING)
    with LocalIndex.open(Path(path)) as index:
        if "dense" not in index.legs:
            raise SpecError(
                f"index '{path}' has no vectors, so there is no encoder to teach. Give it a dense leg first"
            )
        lessons = lessons_of(index, data)
        result = train(
            "encoder",
            index=index,
            out=out,
            data=data,
            settings=settings,
            lessons=lessons,
            resume=resume,
            command=command,
            ahead=ahead,
            say=say,
            progress=progress,
        )
        if not result.gained:
            return Adapted(switched=False, why="no step of teaching was above the start", result=result)
    return switched_where_better(path, result, lessons, data, graph=graph, switch=switch, progress=progress)


def switched_where_better(
    path: str | Path,
    result: Result,
    lessons: Lessons,
    data: Data,
    *,
    graph: str | Path = GRAPH,
    switch: bool = True,
    progress: Progress = silent,
) -> Adapted:
    """Ask the index and what was taught, and switch where the 95% interval of the gain is above 0."""
    encoder = str(result.folder.resolve())
    with LocalIndex.open(Path(path)) as index:
        before, after = asked_both(index, lessons, data, encoder, graph=graph, progress=progress)
    test = paired_randomisation([*after.values()], [*before.values()])
    told = partial(Adapted, result=result, before=fmean(before.values()), after=fmean(after.values()), test=test)
    if len(before) < FEWEST:
        return told(switched=False, why=f"{len(before)} questions are too few to rest a switch on")
    if test.low <= 0 or test.p >= LEVEL:
        return told(switched=False, why=f"{graph} is not shown to find more with it")
    if not switch:
        return told(switched=False, why="it finds more, and nobody asked for the switch")
    build_shadow(path, encoder=encoder, progress=progress)
    promote_shadow(path)
    return told(switched=True, why=f"{graph} finds more with it")


def asked_both(
    index: LocalIndex,
    lessons: Lessons,
    data: Data,
    encoder: str,
    *,
    graph: str | Path = GRAPH,
    progress: Progress = silent,
) -> tuple[dict[str, float], dict[str, float]]:
    """nDCG@10 of the questions that tell, by qid: with the encoder of the index, and with another."""
    cases = {str(number): case for number, case in enumerate(lessons.telling)}
    queries = [Query(qid=qid, text=case.query) for qid, case in cases.items()]
    qrels = {qid: {case.source: 1} for qid, case in cases.items()}
    shown = {case.source: each for case in cases.values() for each in case.candidates if each.doc_id == case.source}
    found, legs = [], tuple(leg for leg in index.legs if leg in ("lexical", "dense"))
    with TemporaryDirectory(prefix="adapt-") as room:
        for name, model in (("before", index.model_names(("dense",))[0][0]), ("after", encoder)):
            copy = Path(room) / name
            passages = (shown.get(each.doc_id, each) for each in index.documents.many(index.rows(data.where)))
            documents = [Document(doc_id=each.doc_id, text=each.text, title=each.title) for each in passages]
            add_documents(documents, copy, settings=_settings(index, model), legs=legs, progress=progress)
            with LocalIndex.open(copy) as opened:
                found.append(evaluate(_hits(opened, graph, queries), qrels, [MEASURE]).per_query[MEASURE])
    before, after = found
    return dict(before), {qid: after[qid] for qid in before}


def _settings(index: LocalIndex, encoder: str) -> IndexSettings:
    said: dict[str, Any] = index.manifest.settings.model_dump(mode="json", exclude_unset=True)
    dense: Mapping[str, Any] = {key: value for key, value in said.get("dense", {}).items() if key != "revision"}
    kept = {name: part for name, part in said.items() if name in ("analyzer", "bm25")}
    return IndexSettings.model_validate(
        {**kept, "dense": {**dense, "encoder": encoder}, "chunking": {"corpora": False}}
    )


def _hits(index: Index, graph: str | Path, queries: list[Query]) -> list[Ranking]:
    with load_pipeline(graph, index=index) as pipeline:
        node = pipeline.graph.last_ranking()
        result = pipeline.run(queries, to=node, k=10)
    if result.failures:
        raise SpecError(f"the copy of the index could not be asked: {result.failures[0].error}")
    return [each for each in result.records[node] if isinstance(each, Ranking)]
