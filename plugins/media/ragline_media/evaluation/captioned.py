"""Published sets of pictures with captions, by the files that their authors give.

    SkyScript  a CSV of filepath, title and title_multi_objects, beside the pictures
    Quilt-1M   a CSV of image_path and caption, beside the pictures
    RS5M       tar files: KEY.img_content, KEY.img_name, KEY.caption
    BIOMEDICA  tar files: KEY.jpg, KEY.txt, KEY.json, in which article_license is the terms of the article

Whoever reads many pictures reads one at a time: nothing is unpacked, and no more than one record is held.
"""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.errors import SpecError

MOST_BYTES = 64 * 2**20
"""Of one picture, or of what is said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioned:
    """`media`: bytes, or None where a file names a picture that lies beside it. `name`: of the picture, as the set has it.
    `terms`: of the article or picture; empty where nothing is said."""

    name: str
    caption: str
    media: bytes | None = None
    terms: str = ""


_COLUMNS = {"skyscript": ("filepath", "title"), "quilt": ("image_path", "caption")}
_PARTS = {"rs5m": ("img_content", "caption"), "biomedica": ("jpg", "txt")}


def read_captioned(path: Path, *, layout: str, terms: Collection[str] = ()) -> Iterator[Captioned]:
    """The pictures of a file, in its order. Those without a caption are left out.

    Args:
        path: a CSV or tar file.
        layout: `skyscript`, `quilt`, `rs5m` or `biomedica`.
        terms: only pictures under these, such as "CC BY"; of all where it is empty.

    Raises:
        SpecError: no such layout, a file that cannot be read, or a record that does not have the layout; says which.
    """
    if layout not in {**_COLUMNS, **_PARTS}:
        raise SpecError(f"layout '{layout}' is not known. Known: {', '.join([*_COLUMNS, *_PARTS])}")
    records = _of_table(path, *_COLUMNS[layout]) if layout in _COLUMNS else _of_tar(path, *_PARTS[layout])
    for record in records:
        if record.caption.strip() and (not terms or record.terms in terms):
            yield record


def _of_table(path: Path, name: str, caption: str) -> Iterator[Captioned]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if lacking := {name, caption} - {*(rows.fieldnames or ())}:
                raise SpecError(
                    f"'{path}' has no column {' and no '.join(sorted(lacking))}; it is a file of another set"
                )
            for row in rows:
                yield Captioned(name=row[name] or "", caption=row[caption] or "")
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise SpecError(f"'{path}' cannot be read as a table ({cause})") from cause


def _of_tar(path: Path, picture: str, caption: str) -> Iterator[Captioned]:
    """Parts of a record lie one after the other, under one key."""
    try:
        with tarfile.open(path) as archive:
            key, parts = "", dict[str, bytes]()
            for member in archive:
                if not member.isfile():
                    continue
                file = PurePosixPath(member.name)
                own, _, part = file.name.partition(".")
                own = str(file.parent / own)
                if own != key and parts:
                    yield _record(path, key, parts, picture, caption)
                    parts = {}
                if member.size > MOST_BYTES:
                    raise SpecError(
                        f"'{path}': '{member.name}' has {member.size:,} bytes; at most {MOST_BYTES:,} are read"
                    )
                opened = archive.extractfile(member)
                key, parts[part] = own, opened.read() if opened else b""
            if parts:
                yield _record(path, key, parts, picture, caption)
    except (OSError, tarfile.TarError) as cause:
        raise SpecError(f"'{path}' cannot be read as a tar file ({cause})") from cause


def _record(path: Path, key: str, parts: dict[str, bytes], picture: str, caption: str) -> Captioned:
    if picture not in parts:
        raise SpecError(f"'{path}': record '{key}' has no .{picture}, but {', '.join(sorted(parts))}")
    try:
        facts = json.loads(parts.get("json", b"{}"))
        said, name = parts.get(caption, b"").decode(), parts.get("img_name", b"").decode()
    except ValueError as cause:
        raise SpecError(f"'{path}': record '{key}' cannot be read ({cause})") from cause
    terms = facts.get("article_license", "") if isinstance(facts, dict) else ""
    return Captioned(name=name or PurePosixPath(key).name, caption=said, media=parts[picture], terms=str(terms))
