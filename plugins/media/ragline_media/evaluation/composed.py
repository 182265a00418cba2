"""Published sets of questions that are a picture and what is to be changed in it, by the files that their authors give.

    FashionIQ  `cap.dress.val.json`: candidate, target, captions
    CIRR       `cap.rc2.val.json`: reference, target_hard, caption, img_set.members
    CIRCO      `val.json`: reference_img_id, target_img_id, gt_img_ids, relative_caption
    GeneCIS    `focus_attribute.json`, ...: reference, target, gallery, condition

Pictures are named by their ids, as text. None of these sets is here: their terms are their authors'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError

RECALLS = (1, 5, 10, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedQuestion:
    """`changes`: what is said of the change, one or several texts. `right`: ids of what is asked for. `subset`: the few that it
    is to be told from, without the reference; empty where that is the whole gallery."""

    qid: str
    reference: str
    changes: tuple[str, ...]
    right: frozenset[str]
    subset: frozenset[str] = frozenset()


def read_composed(path: Path, *, layout: str) -> list[ComposedQuestion]:
    """The questions of a file, in its order.

    Args:
        path: the JSON file.
        layout: `fashioniq`, `cirr`, `circo` or `genecis`.

    Raises:
        SpecError: no such layout, no such file, or a record that does not have it; says which.
    """
    if layout not in LAYOUTS:
        raise SpecError(f"layout '{layout}' is not known. Known: {', '.join(LAYOUTS)}")
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as cause:
        raise SpecError(f"'{path}' cannot be read as the questions of {layout} ({cause})") from cause
    if not isinstance(records, list):
        raise SpecError(f"'{path}': {layout} has a list of records, and this is {type(records).__name__}")
    return list(_read(path, layout, records))


def _read(path: Path, layout: str, records: list[Any]) -> Iterator[ComposedQuestion]:
    for number, record in enumerate(records, start=1):
        try:
            yield LAYOUTS[layout](number, record)
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise SpecError(
                f"'{path}': record {number} is none of {layout}: {cause!r}. Is it the file of another set, or of its test part "
                "without answers?"
            ) from cause


def _fashioniq(number: int, record: Mapping[str, Any]) -> ComposedQuestion:
    return ComposedQuestion(
        qid=str(number),
        reference=str(record["candidate"]),
        changes=tuple(map(str, record["captions"])),
        right=frozenset([str(record["target"])]),
    )


def _cirr(number: int, record: Mapping[str, Any]) -> ComposedQuestion:
    reference = str(record["reference"])
    return ComposedQuestion(
        qid=str(record["pairid"]),
        reference=reference,
        changes=(str(record["caption"]),),
        right=frozenset([str(record["target_hard"])]),
        subset=frozenset(map(str, record["img_set"]["members"])) - {reference},
    )


def _circo(number: int, record: Mapping[str, Any]) -> ComposedQuestion:
    return ComposedQuestion(
        qid=str(record["id"]),
        reference=str(record["reference_img_id"]),
        changes=(str(record["relative_caption"]),),
        right=frozenset([str(record["target_img_id"]), *map(str, record["gt_img_ids"])]),
    )


def _genecis(number: int, record: Mapping[str, Any]) -> ComposedQuestion:
    reference, target = _genecis_id(record["reference"]), _genecis_id(record["target"])
    return ComposedQuestion(
        qid=str(number),
        reference=reference,
        changes=(str(record["condition"]),),
        right=frozenset([target]),
        subset=frozenset([target, *map(_genecis_id, record["gallery"])]),
    )


def _genecis_id(picture: Mapping[str, Any]) -> str:
    """A picture of COCO, or a box in one of Visual Genome."""
    if "val_image_id" in picture:
        return str(picture["val_image_id"])
    box = picture.get("instance_bbox")
    return f"{picture['image_id']}:{','.join(map(str, box))}" if box else str(picture["image_id"])


LAYOUTS: dict[str, Callable[[int, Mapping[str, Any]], ComposedQuestion]] = {
    "fashioniq": _fashioniq,
    "cirr": _cirr,
    "circo": _circo,
    "genecis": _genecis,
}


def recall_at(ranked: Sequence[str], right: Collection[str], k: int) -> float:
    """1 where a right one is among the first k, else 0."""
    return float(any(each in right for each in ranked[:k]))


def average_precision_at(ranked: Sequence[str], right: Collection[str], k: int) -> float:
    """The sum of the precision at each right one among the first k, over the most that could be there: min(k, right ones).

    As CIRCO has it (Baldrati et al., ICCV 2023, equation 4): 0 without any right one.

    >>> average_precision_at(["a", "x", "b"], {"a", "b", "c"}, 3)
    0.5555555555555555
    """
    found = [place for place, each in enumerate(ranked[:k], start=1) if each in right]
    most = min(k, len(right))
    return sum(number / place for number, place in enumerate(found, start=1)) / most if most else 0.0


def measured(
    questions: Sequence[ComposedQuestion], ranked: Mapping[str, Sequence[str]], *, most: int = 50
) -> dict[str, float]:
    """Means over questions, by measure.

    The reference is taken out of every ranking: nobody asks for what they have. `R@k` for k up to `most`; `subset R@k` for 1 to 3
    among the few that a question names; `mAP@k` where a question has several right ones. A question that was not ranked counts as
    nothing found.

    Args:
        questions: what was asked.
        ranked: ids of the gallery, best first, by qid.
    """
    if not questions:
        raise ValueError("there is no question to be measured by")
    totals: dict[str, list[float]] = {}
    for question in questions:
        order = [each for each in ranked.get(question.qid, ()) if each != question.reference]
        values = {f"R@{k}": recall_at(order, question.right, k) for k in RECALLS if k <= most}
        if question.subset:
            among = [each for each in order if each in question.subset]
            values |= {f"subset R@{k}": recall_at(among, question.right, k) for k in (1, 2, 3)}
        if len(question.right) > 1:
            values |= {f"mAP@{k}": average_precision_at(order, question.right, k) for k in (5, 10, 25, 50) if k <= most}
        for name, value in values.items():
            totals.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in totals.items()}
