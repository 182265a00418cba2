"""The door: an index, a recipe, and a folder for what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rag.errors import SpecError
from rag.evaluate import Qrels, Significance, paired_randomisation
from rag.files import Progress, held, silent
from rag.filters import Filter
from rag.indexes import Index
from rag.protocols import LLM
from rag.types import Query
from ragline_train.teaching.guard import Guard
from ragline_train.teaching.lessons import Lessons, Split, divided, round_trip, unguarded
from ragline_train.teaching.memory import Trial, peak_bytes
from ragline_train.teaching.questions import Asked, judged_ones, own_questions, written_ones
from ragline_train.teaching.recipes import recipe_named
from ragline_train.teaching.run_folder import RunFolder, Told, libraries
from ragline_train.teaching.task import Settings, Task
from ragline_train.teaching.teacher import Teacher

_OWN = 1200
"""Questions that a corpus is asked for, where nobody says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What may teach, and what must not.

    Args:
        log: what people asked; the index's legs grade what is found. A text that comes twice counts once.
        own: how many questions the corpus asks of itself beside them.
        queries, qrels: judged questions that may teach. Of each relevant passage one is made, and half of its shares.
        writer: a model that writes a question for each of `written` passages; those that do not lead back to their passage go.
        judged: questions that the model will be judged by, by qid: none of them teaches, nor one that is nearly the same.
        where: what texts have to pass to teach. In an index with labels only public texts do, unless this says who asks: then
            what that person may read teaches one model, whatever its labels.
        second: another encoder, half of the teacher.
        seed: of drawing questions, and of what is kept apart.
    """

    log: Sequence[Query] = ()
    own: int = _OWN
    queries: Sequence[Query] = ()
    qrels: Qrels | None = None
    writer: LLM | None = None
    written: int = 200
    judged: Mapping[str, str] | None = None
    where: Filter | None = None
    second: str | None = None
    seed: int = 0
    place: str = "the log of questions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`folder`: of the model, where something was gained. `facts`: those of training.json."""

    folder: Path
    gained: bool
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is known before the first step."""

    questions: int
    apart: int
    steps: int
    trial: Trial


def lessons_of(index: Index, data: Data) -> Lessons:
    """Questions, graded and divided. Equal for equal index, data and machine.

    Raises:
        LeakedQuestion: a question of the log is one that judges, or nearly so.
        SpecError: too little is left.
    """
    rows = index.rows(data.where).tolist()
    documents = index.documents.many(rows)
    if len({document.parent for document in documents}) < 2:
        raise SpecError(
            f"index '{index.name}' has {len(documents)} passages that may teach, of one document at most. A model is taught by"
            " telling documents apart: two are the fewest, and some hundred are of use"
        )
    asked = [Asked(text=text, origin="log") for text in dict.fromkeys(query.text for query in data.log) if text.strip()]
    if data.own:
        asked += own_questions(documents, n=data.own, seed=data.seed)
    left_out: dict[str, int] = {}
    if data.qrels is not None:
        judged, left_out = judged_ones(index, data.queries, data.qrels, rows={*rows})
        asked += judged
    if data.writer is not None:
        written, empty = written_ones(data.writer, documents, n=data.written, seed=data.seed)
        asked += written
        left_out |= {"the model wrote no question": empty} if empty else {}
    kept, leaked = unguarded(asked, Guard(data.judged or {}), place=data.place)
    teacher = Teacher(index=index, where=data.where, second=data.second)
    cases, lost = round_trip(teacher.cases(kept))
    split = Split.of(documents, seed=data.seed)
    return divided(cases, split, left_out={**left_out, **leaked, **lost}, teacher=teacher.name)


def train(
    recipe: str,
    *,
    index: Index,
    out: str | Path,
    data: Data | None = None,
    settings: Settings | None = None,
    lessons: Lessons | None = None,
    resume: bool = False,
    command: str = "",
    ahead: Callable[[Ahead], None] = lambda _: None,
    say: Callable[[Told], None] = lambda _: None,
    progress: Progress = silent,
) -> Result:
    """Teach a model and write its folder.

    Equal index, data, settings and libraries give equal weights on one thread, also where the run was killed and went on.

    Args:
        recipe: a name of `ragline_train.teaching.recipes.RECIPES`.
        out: a folder that is new or empty; or that of a run to go on with.
        lessons: what `lessons_of` gave of these, where it was asked before.
        ahead: is told what the run will take, before the first step; `say`: what it has gained, several times.
    Raises:
        SpecError: a parameter is wrong, the folder is not free, or a run of something else is in it.
        LeakedQuestion: see `lessons_of`.
        MissingDependency, MissingModel: something is not installed or not here.
    """
    make, data, settings = recipe_named(recipe), data or Data(), settings or Settings()
    if settings.model is None and recipe == "encoder" and "dense" in index.legs:
        named = index.model_names(("dense",))  # none where a server encodes
        settings = replace(settings, model=named[0][0] if named else None)
    path = Path(out)
    RunFolder.require_free(path, resume=resume)
    lessons = lessons or lessons_of(index, data)
    if settings.by == "source":
        lessons = lessons.told_by_source()
    with held(path):
        return _taught(
            recipe,
            make(lessons, settings),
            lessons,
            settings,
            path,
            {"name": index.name, "identity": index.identity},
            resume=resume,
            command=command,
            ahead=ahead,
            say=say,
            progress=progress,
        )


def _taught(
    recipe: str,
    task: Task,
    lessons: Lessons,
    settings: Settings,
    path: Path,
    index: Mapping[str, Any],
    *,
    resume: bool,
    command: str,
    ahead: Callable[[Ahead], None],
    say: Callable[[Told], None],
    progress: Progress,
) -> Result:
    from ragline_train.teaching import loop

    identity = {
        "recipe": recipe,
        "settings": dict(settings.identity()),
        "start": task.start_sha256,
        "data": lessons.digest,
        "libraries": libraries(),
        "arithmetic": "float32",
    }
    folder = RunFolder.begun(path, identity, resume=resume)
    if (done := folder.done) is not None:
        return Result(folder=path, gained=bool(done["gained"]), facts=done)
    with loop.on_threads(settings.threads):
        trial = loop.trial(task, lessons, settings, folder)
        steps = folder.planned(settings.steps or max(settings.tellings, round(settings.minutes * 60 / trial.seconds)))
        if settings.steps not in (None, steps):
            raise SpecError(f"'{path}' is of a run of {steps} steps, not {settings.steps}. Ask for the same again")
        ahead(
            Ahead(
                questions=len(lessons.taught),
                apart=len(lessons.choosing) + len(lessons.telling),
                steps=steps,
                trial=trial,
            )
        )
        fitted = loop.fit(task, lessons, settings, folder, steps=steps, say=say, progress=progress)
    best = fitted.best
    facts = result_of(
        recipe,
        task,
        lessons,
        settings,
        fitted.told,
        best=best,
        stopped=fitted.stopped,
        command=command,
        index=index,
    )
    facts["memory"] = {"said": trial.n_bytes, "taken": peak_bytes()}
    folder.finish(folder.best(best.step) if best.step else None, facts, card_of(facts))
    return Result(folder=path, gained=best.step > 0, facts=facts)


def gain_of(told: Sequence[Told], best: Told) -> Significance:
    """The best against the start, on the questions that nothing was chosen by."""
    return paired_randomisation(best.telling, told[0].telling)


def result_of(
    recipe: str,
    task: Task,
    lessons: Lessons,
    settings: Settings,
    told: Sequence[Told],
    *,
    best: Told,
    stopped: str,
    command: str,
    index: Mapping[str, Any],
) -> dict[str, Any]:
    """All that made the model, as JSON."""
    gain = gain_of(told, best)
    return {
        "recipe": recipe,
        "start": {"name": task.start, "sha256": task.start_sha256},
        "named_by": task.named_by,
        "gained": best.step > 0,
        "stopped": stopped,
        "ndcg@10 of questions kept apart": {
            "questions": len(lessons.telling),
            "before": fmean(told[0].telling),
            "after": fmean(best.telling),
            "gain": gain.difference,
            "low": gain.low,
            "high": gain.high,
            "p": gain.p,
        },
        "steps": {"done": told[-1].step, "best": best.step},
        "chosen by": {
            "questions": len(lessons.choosing),
            "told": [{"step": each.step, "ndcg": each.ndcg, "loss": each.loss} for each in told],
        },
        "settings": {**asdict(settings), "learning_rate": settings.learning_rate or task.learning_rate},
        "data": {
            "teacher": lessons.teacher,
            "questions": lessons.counts(),
            "left out": dict(lessons.left_out),
            "digest": lessons.digest,
        },
        "index": dict(index),
        "facts": dict(task.facts),
        "libraries": libraries(),
        "command": command,
        "question_digests": lessons.question_digests,
        "documents": lessons.doc_ids,
    }


def card_of(result: Mapping[str, Any]) -> str:
    """The card in Markdown. It quotes no text of the corpus."""
    measured, data, steps = result["ndcg@10 of questions kept apart"], result["data"], result["steps"]
    asked = ", ".join(f"{n} of {origin}" for origin, n in data["questions"].items())
    out = ", ".join(f"{n} ({why})" for why, n in data["left out"].items()) or "none"
    gained = (
        f"{measured['gain']:+.4f} [{measured['low']:+.4f}, {measured['high']:+.4f}]"
        if result["gained"]
        else "nothing was gained, so no model is here"
    )
    lines = [
        f"# {result['start']['name']}, taught by the recipe `{result['recipe']}`",
        "",
        f"Name it in a graph as `{result['named_by']}`.",
        "",
        "| | |",
        "| --- | --- |",
        f"| questions that taught | {asked}; left out: {out} |",
        f"| teacher | {data['teacher']} |",
        f"| nDCG@10 of {measured['questions']} questions kept apart | {measured['before']:.4f} before,"
        f" {measured['after']:.4f} after {steps['best']} of {steps['done']} steps |",
        f"| gain | {gained} |",
        f"| seed, steps | {result['settings']['seed']}, {steps['done']} |",
        f"| start | sha256 {result['start']['sha256']} |",
        f"| data | sha256 {data['digest']} |",
        f"| index | {result['index'].get('identity', '')} |",
        f"| libraries | {', '.join(f'{name} {number}' for name, number in result['libraries'].items())} |",
        "",
        "```",
        result["command"],
        "```",
        "",
        "The step was chosen by other questions kept apart than those that tell the gain. All that decided the weights,"
        " every taught document's id and every question's digest are in `training.json`.",
        "",
    ]
    if result["stopped"]:
        lines.insert(2, f"**It ended early:** {result['stopped']}.\n")
    return "\n".join(lines)
