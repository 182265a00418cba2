"""A judge and data whose right verdicts are known -> how often the judge is right.

What is known: pairs of a right and a wrong answer, and references of different questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

from rag.errors import SpecError
from rag.evaluate import Item
from rag.files import Progress, silent
from rag.writing import REFUSAL, sentences
from ragline_lab.judge.agreement import UNREADABLE, Agreement, Case, Kind, figures
from ragline_lab.judge.answers import MOST_PASSAGES
from ragline_lab.judge.asking import Judge, Known
from ragline_lab.judge.verdicts import Support

LEAST_REFERENCE = 8
"""Words of a reference from which on it has facts to tell apart."""
DECLINED = f"{REFUSAL}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with a right and a wrong answer. Which one is shown first is told by the id, evenly."""

    qid: str
    known: Known
    right: str
    wrong: str

    @property
    def gold(self) -> str:
        """Where the right one stands: first or second."""
        return "first" if digest(self.qid)[0] % 2 else "second"

    @property
    def shown(self) -> tuple[Known, str, str]:
        """What the judge is asked."""
        one, other = (self.right, self.wrong) if self.gold == "first" else (self.wrong, self.right)
        return self.known, one, other


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A question, its reference answer, and that of another question."""

    qid: str
    question: str
    own: str
    other: str


def digest(text: str) -> bytes:
    """What a fixed random order goes by."""
    return blake2b(text.encode("utf-8", "surrogatepass")).digest()


def pairs_of(items: Sequence[Item], *, limit: int | None = None) -> list[Pair]:
    """The first pairs of a data set, in the order of its items.

    Pairs are those of `wrong_answers`. Where no item has some, and some cannot be answered, a pair is a reference answer
    beside a refusal: the refusal is right where there is no answer, and there are as many pairs of one kind as of the other.
    """
    wrong = [pair for item in items if (pair := _by_wrong_answer(item))]
    if wrong or all(item.answerable for item in items):
        return wrong[:limit]
    both = [pair for item in items if (pair := _by_refusal(item))]
    refused = [pair for pair in both if pair.right == DECLINED]
    answered = [pair for pair in both if pair.right != DECLINED]
    half = min(len(refused), len(answered), *([limit // 2] if limit else []))
    return [pair for pairs in zip(answered[:half], refused[:half], strict=True) for pair in pairs]


def references_of(items: Sequence[Item], *, limit: int | None = None) -> list[Reference]:
    """The first questions with long references, each beside the reference of the next one that has another."""
    long = [
        item for item in items if item.answerable and item.answers and len(item.answers[0].split()) >= LEAST_REFERENCE
    ]
    return [
        Reference(qid=item.qid, question=item.question, own=item.answers[0], other=other.answers[0])
        for item, other in zip(long, long[1:] + long[:1], strict=True)
        if item.answers[0] != other.answers[0]
    ][:limit]


def _by_wrong_answer(item: Item) -> Pair | None:
    wrong = [str(each) for each in _list(item.more.get("wrong_answers")) if str(each) not in item.answers]
    if not (item.answers and wrong):
        return None
    return Pair(qid=item.qid, known=_known(item), right=item.answers[0], wrong=wrong[0])


def _by_refusal(item: Item) -> Pair | None:
    """Where there is no reference, the first sentence of the passage stands beside the refusal: it is no answer."""
    known = _known(item)
    if item.answerable:
        return Pair(qid=item.qid, known=known, right=item.answers[0], wrong=DECLINED) if item.answers else None
    said = [text[start:end] for text in known.texts[:1] for start, end in islice(sentences(text), 1)]
    return Pair(qid=item.qid, known=known, right=DECLINED, wrong=said[0]) if said else None


def _known(item: Item) -> Known:
    """The question with its documents, in an order that says nothing of which are right."""
    documents = [each for name in ("documents", "contexts") for each in _list(item.more.get(name))]
    texts = [str(each.get("text", "")) if isinstance(each, dict) else str(each) for each in documents]
    return Known(question=item.question, texts=tuple(sorted(texts, key=digest)[:MOST_PASSAGES]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
