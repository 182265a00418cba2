"""A judge and labelled data -> how often the judge is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from rag.errors import SpecError
from rag.evaluate import Item
from rag.files import Progress, silent
from ragline_lab.judge.agreement import UNREADABLE, Agreement, Case, Kind, figures
from ragline_lab.judge.asking import Judge, Known
from ragline_lab.judge.labels import LEAST_REFERENCE, Pair, Reference, digest, pairs_of, references_of
from ragline_lab.judge.verdicts import Support

_T = TypeVar("_T")
_BATCH = 16
_HELD, _NOT_HELD = "held", "not held"
_WORDS: Mapping[Support, str] = {"yes": _HELD, "partly": _HELD, "no": _NOT_HELD}


def measure(
    judge: Judge,
    sets: Mapping[str, Iterable[Item]],
    *,
    limit: int | None = None,
    n: int = 10,
    progress: Progress = silent,
) -> Agreement:
    """Ask a judge what is known, and count how often it is right.

    Args:
        sets: name of a data set -> its questions; they are taken in the order of their ids' hashes.
        limit: pairs, and references, of each set at most. n: most nuggets of a reference.
    Raises:
        SpecError: a set has nothing to measure by, or the limit leaves nothing of it.
    """
    cases: dict[str, dict[Kind, list[Case]]] = {}
    for name, some in sets.items():
        items = sorted(some, key=lambda item: digest(item.qid))
        pairs, references = pairs_of(items, limit=limit), references_of(items, limit=limit)
        if not pairs and not references:
            if pairs_of(items):
                raise SpecError(
                    f"data set '{name}' gives pairs by two, an answer and a refusal, so a limit of {limit} leaves none; "
                    "allow 2 or more"
                )
            raise SpecError(
                f"data set '{name}' has nothing to measure a judge by: wanted are questions with answers and wrong_answers, "
                f"with answerable: false, or with references of {LEAST_REFERENCE} words or more in qa.jsonl"
            )
        found: dict[Kind, list[Case]] = {
            "preference": _in_batches(pairs, lambda part: _of_pairs(judge, part), f"{name}: pairs", progress),
            "nuggets": _in_batches(
                references, lambda part: _of_references(judge, part, n), f"{name}: references", progress
            ),
        }
        cases[name] = {kind: of_kind for kind, of_kind in found.items() if of_kind}
    together: dict[Kind, list[Case]] = {}
    for name, kinds in cases.items():
        for kind, of_kind in kinds.items():
            together.setdefault(kind, []).extend(replace(case, qid=f"{name}/{case.qid}") for case in of_kind)
    return Agreement(
        name=judge.name,
        judge=judge.identity,
        kinds={kind: figures(of_kind) for kind, of_kind in together.items()},
        sets={name: {kind: figures(of_kind) for kind, of_kind in kinds.items()} for name, kinds in cases.items()},
    )


def _of_pairs(judge: Judge, pairs: Sequence[Pair]) -> list[Case]:
    said = judge.prefers([pair.shown for pair in pairs])
    return [Case(qid=pair.qid, gold=pair.gold, said=each.verdict) for pair, each in zip(pairs, said, strict=True)]


def _of_references(judge: Judge, references: Sequence[Reference], n: int) -> list[Case]:
    """A nugget of a reference is held by it and not by the other one; a reference without nuggets is one unreadable case."""
    lists = judge.nuggets([Known(question=each.question, texts=(each.own,)) for each in references], n=n)
    cases, asked = list[Case](), []
    for each, some in zip(references, lists, strict=True):
        if not some.nuggets:
            cases.append(Case(qid=each.qid, gold=_HELD))
        for nugget in some.nuggets:
            asked += [(each, each.own, nugget, _HELD), (each, each.other, nugget, _NOT_HELD)]
    said = judge.supports([(each.question, answer, nugget) for each, answer, nugget, _ in asked])
    for (each, _, _, gold), support in zip(asked, said, strict=True):
        cases.append(Case(qid=each.qid, gold=gold, said=UNREADABLE if support is None else _WORDS[support]))
    return cases


def _in_batches(
    things: Sequence[_T], made: Callable[[Sequence[_T]], list[Case]], what: str, progress: Progress
) -> list[Case]:
    cases: list[Case] = []
    for start in range(0, len(things), _BATCH):
        cases += made(things[start : start + _BATCH])
        progress(what, min(start + _BATCH, len(things)), len(things))
    return cases
