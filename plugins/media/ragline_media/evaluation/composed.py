"""Published sets of questions that are a picture and what is to be changed in it, by the files that their authors give.

    FashionIQ  `cap.dress.val.json`: candidate, target, captions
    CIRR       `cap.rc2.val.json`: reference, target_hard, caption, img_set.members
    CIRCO      `val.json`: reference_img_id, target_img_id, gt_img_ids, relative_caption
    GeneCIS    `focus_attribute.json`, ...: reference, target, gallery, condition

Pictures are named by their ids, as text. None of these sets is here: their terms are their authors'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import SpecError


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
