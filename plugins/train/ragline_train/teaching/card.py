"""What is written beside a model: a card to read, and the same as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from rag.evaluate import Significance, paired_randomisation
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.run_folder import Told, libraries
from ragline_train.teaching.settings import Settings
from ragline_train.teaching.task import Task


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
