"""What a manifest and the tables of sources may say is held against the number that they carry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from rag.cli import main
from rag.core.errors import IndexProblem
from retrievers.index.directory import LocalIndex
from retrievers.index.manifest import FORMAT_VERSION, Manifest, read_manifest
from retrievers.index.settings import leg_kind
from retrievers.index.sources import Source, SourceRecord
from retrievers.legs import LEGS

FORMS = Path(__file__).parent / "forms"
GONE = ("promptreps",)
"""Legs that were shipped, and are a plug-in's by now; manifests say of them what they said."""
WORDS = ("title", "description", "default", "examples")
"""What a schema says to people, and what a version fills in by itself."""


def form_of(*records: Any) -> list[str]:
    """A line for each thing that these records may say: where it stands, and what it may be."""
    lines = set[str]()
    for record in records:
        schema = TypeAdapter(record).json_schema()
        lines.update(_lines(schema, schema.get("$defs", {}), getattr(record, "__name__", "")))
    return sorted(lines)


def _lines(schema: dict[str, Any], defs: dict[str, Any], at: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = {**schema, **defs[schema["$ref"].rpartition("/")[2]]}
    own = {name: value for name, value in schema.items() if name not in (*WORDS, "$ref", "$defs", "properties")}
    for name in ("items", "anyOf", "oneOf", "allOf", "additionalProperties", "prefixItems"):
        inner = own.pop(name, None)
        for number, each in enumerate(inner if isinstance(inner, list) else [inner]):
            if isinstance(each, dict):
                yield from _lines(each, defs, f"{at}.{name}{number or ''}")
            elif each is not None:
                own[name] = each
    own["required"] = sorted(own.get("required", ()))
    yield f"{at} {json.dumps({key: value for key, value in sorted(own.items()) if value != []})}"
    for name, each in schema.get("properties", {}).items():
        yield from _lines(each, defs, f"{at}.{name}")


def form_now() -> list[str]:
    """Of the shipped legs alone: others come and go with whoever adds them.

    A leg with a name of its own says what the section of its kind does, which is here once.
    """
    added = {leg_kind(leg).section for leg in LEGS.names() if leg not in LEGS.shipped}
    return shipped_alone(form_of(Manifest, Source, SourceRecord), added)


def shipped_alone(lines: list[str], others: Iterable[str]) -> list[str]:
    """Without what legs of other packages say."""
    left_out = (*others, "legs.additionalProperties")
    return [line for line in lines if not any(line.startswith(f"Manifest.settings.{name}") for name in left_out)]


def test_the_form_is_that_of_its_number() -> None:
    """If this fails, the form was changed: raise FORMAT_VERSION, and record the new form as `forms/NUMBER.txt`.

    `python -m tests.retrievers.index.test_form` records it. A recorded form is never changed.
    """
    recorded = shipped_alone((FORMS / f"{FORMAT_VERSION}.txt").read_text().splitlines(), GONE)
    now = form_now()
    assert [line for line in now if line not in recorded] == [], "not in the recorded form"
    assert [line for line in recorded if line not in now] == [], "gone from the recorded form"


def test_a_field_a_type_or_a_choice_more_is_another_form() -> None:
    class Inner(BaseModel):
        kind: str = "x"

    class Before(BaseModel):
        inner: Inner = Inner()

    class More(Inner):
        more: int = 0

    class Described(BaseModel):
        kind: str = Field(default="y", description="Words, and what is filled in.")

    def form(kind: type[BaseModel]) -> list[str]:
        return form_of(type("Same", (Before,), {"__annotations__": {"inner": kind}, "inner": kind()}))

    assert form(More) != form(Inner)
    assert form(Described) == form(Inner)

    @dataclass
    class Record:
        name: str

    @dataclass
    class Other:
        name: str | None

    Other.__name__ = Record.__name__
    assert form_of(Other) != form_of(Record)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("Wheels are trued.")
    assert main(["index", str(tmp_path / "a.txt"), "--index", str(tmp_path / "index"), "--graph", "bm25"]) == 0
    return tmp_path / "index"


def say_in_manifest(index: Path, **said: Any) -> None:
    """A manifest as another version would have written it, named by CURRENT with its digest."""
    from rag.core.digests import file_sha256

    with LocalIndex.open(index) as opened:
        file = opened.folder / "manifest.json"
    raw = json.loads(file.read_text())
    file.write_text(json.dumps(raw | said))
    (index / "CURRENT").write_text(f"{file.parent.name} {file_sha256(file)}\n")


@pytest.mark.parametrize(
    "said",
    [
        {"strange": 1},
        {"settings": {"analyzer": {"strange": True}}},
        {"corpus": {"n_pages": 3}},
        {"legs": {"strange": {}}},
        {"files": []},
        {},
    ],
)
def test_a_newer_index_is_called_newer_whatever_else_it_says(
    index: Path, said: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    say_in_manifest(index, format_version=FORMAT_VERSION + 1, ragline_version="9.9", **said)
    for command in (["search", "wheels"], ["ls"], ["sources"], ["remove", "a.txt"]):
        capsys.readouterr()
        assert main([*command, "--index", str(index)]) == 4
        told = capsys.readouterr().err
        assert f"has format {FORMAT_VERSION + 1}, written by ragline 9.9" in told, command
        assert "Upgrade ragline" in told
        assert "damaged" not in told


def test_a_newer_index_is_built_anew_only_where_that_is_asked_for(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_in_manifest(index, format_version=FORMAT_VERSION + 1, strange=1)
    before = {file: file.read_bytes() for file in index.rglob("*") if file.is_file() and file.name != "ragline.lock"}
    for sources in ([], [str(tmp_path / "a.txt")]):
        capsys.readouterr()
        assert main(["index", "--index", str(index), "--graph", "bm25", *sources]) == 4
        assert "Upgrade ragline, or build the index anew from its sources with this version" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in before} == before
    assert main(["index", str(tmp_path / "a.txt"), "--index", str(index), "--graph", "bm25", "--prune"]) == 0
    with LocalIndex.open(index) as opened:
        assert opened.manifest.format_version == FORMAT_VERSION


@pytest.mark.parametrize("number", [0, -1, None, 1.5, "six"])
def test_a_number_that_no_version_wrote_is_refused(
    index: Path, number: object, capsys: pytest.CaptureFixture[str]
) -> None:
    say_in_manifest(index, format_version=number)
    capsys.readouterr()
    assert main(["search", "wheels", "--index", str(index)]) == 4
    told = capsys.readouterr().err
    assert "manifest.json is damaged: format_version: Input should be" in told
    assert f"rag index --index {index}" in told


def test_every_index_says_the_number_of_this_version(index: Path) -> None:
    with LocalIndex.open(index) as opened:
        assert opened.manifest.format_version == FORMAT_VERSION
        assert read_manifest(opened.folder, name="x") == opened.manifest
        with pytest.raises(IndexProblem, match="has no manifest"):
            read_manifest(opened.folder / "absent", name="x")


def test_an_index_of_every_older_number_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recorded folders: of format 1, and of 5 with labels and statistics of one's own."""
    older = Path(__file__).parents[2] / "rag"
    for name, number in (("older_index", 1), ("older_index_5", 5)):
        shutil.copytree(older / name, tmp_path / name)
        with LocalIndex.open(tmp_path / name) as opened:
            opened.verify()
            assert opened.manifest.format_version == number
            assert len({document.parent for document in opened.documents}) == 2
    for options, found in (([], False), (["--as", '{"user": "ann", "tenant": "n"}'], True)):
        capsys.readouterr()
        main(["search", "brazed", "--index", str(tmp_path / "older_index_5"), "--graph", "bm25", *options])
        assert ("at night" in capsys.readouterr().out) is found


if __name__ == "__main__":
    FORMS.mkdir(exist_ok=True)
    (FORMS / f"{FORMAT_VERSION}.txt").write_text("".join(f"{line}\n" for line in form_now()))
