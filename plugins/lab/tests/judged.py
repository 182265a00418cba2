"""A judge that reads words, and two runs to judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragline_lab.judge.answers import Answered, Answers
from ragline_lab.judge.asking import Judge, Known
from ragline_lab.judge.judging import Task, judge_answers
from ragline_lab.judge.report import JudgeReport

FACTS = '["Frames are brazed.", "The tubes are chromoly.", "Paint comes last."]'


def lively(prompt: str) -> str:
    """A judge that reads words: a fact is held if its last word is in the answer; the answer with more known words is better."""
    if "JSON list" in prompt:
        return FACTS
    if "Say vital" in prompt:
        return "okay" if "Paint" in prompt else "vital"
    if "Does the answer say this fact" in prompt:
        answer, fact = part(prompt, "Answer"), part(prompt, "Fact")
        word = fact.rstrip(".").split()[-1]
        return "Yes" if word in answer else "Partly" if word[:4] in answer else "No"
    known = part(prompt, "What is known").split()
    counts = [sum(word in known for word in part(prompt, f"Answer {place}").split()) for place in (1, 2)]
    return "1" if counts[0] >= counts[1] else "2"


def part(prompt: str, name: str) -> str:
    """What stands behind a name in a prompt, up to the next blank line."""
    return prompt.split(f"{name}:", 1)[1].split("\n\n", 1)[0].strip()


def answered(qid: str, text: str, *, given: bool = True, passages: tuple[str, ...] = ()) -> Answered:
    return Answered(qid=qid, question=f"How is {qid} made?", text=text, given=given, passages=passages)


RUN: Answers = {
    "full": answered("full", "They are brazed from chromoly tubes, and paint comes last."),
    "half": answered("half", "They are brazed from chrome."),
    "none": answered("none", "I don't know.", given=False),
    "bare": answered("bare", "They are cast."),
}
KNOWN = {
    qid: Known(question=RUN[qid].question, texts=("Frames are brazed from chromoly tubes and painted last.",))
    for qid in ("full", "half", "none")
}
OTHER: Answers = {
    "full": answered("full", "They are cast."),
    "half": answered("half", "They are brazed from chromoly tubes."),
    "none": answered("none", "I DON'T KNOW", given=False),
    "bare": answered("bare", "They are welded."),
}


def judged(judge: Judge, out: Path, *, run: Answers = RUN, other: Answers | None = None, **options: Any) -> JudgeReport:
    names = ("run",) if other is None else ("run", "other")
    known = options.pop("known", KNOWN)
    task = Task.of(run, other, names=names).knowing(known, "references")
    return judge_answers(judge, task, n=5, out=out, **options)
