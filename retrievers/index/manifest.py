"""What an index says of itself: how it was made, and every file's digest. It alone makes the query side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from rag.errors import IndexProblem
from retrievers.index.digests import FileFacts
from retrievers.index.settings import IndexSettings, Leg

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_LARGEST_MANIFEST_BYTES = 16_000_000


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusFacts(_Facts):
    """What was indexed. `sha256` is over names and contents of the source files, in name order."""

    sha256: str
    n_files: Annotated[int, Field(ge=1)]
    n_documents: Annotated[int, Field(ge=1)]
    n_units: Annotated[int, Field(ge=1, le=2**31 - 1)]


class Manifest(_Facts):
    """How an index was made.

    `settings` is what was asked for, defaults filled in; `ruler`, `lexical`, `dense` and `encoder` are what
    came of it: the tokens that chunks were measured in, the facts that each leg was built with, and the
    encoder's description.
    """

    format_version: int
    ragline_version: str
    created: str
    legs: Annotated[tuple[Leg, ...], Field(min_length=1)]
    settings: IndexSettings
    corpus: CorpusFacts
    ruler: dict[str, JsonValue]
    lexical: dict[str, JsonValue] | None = None
    dense: dict[str, JsonValue] | None = None
    encoder: dict[str, JsonValue] | None = None
    files: dict[str, FileFacts]

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, FileFacts]) -> dict[str, FileFacts]:
        for name in files:
            path = PurePosixPath(name)
            plain = path.parts and str(path) == name and not path.is_absolute()
            if not plain or ".." in path.parts or "\\" in name or "\0" in name:
                raise ValueError(f"{name!r} is no file of an index: a plain relative path is")
        return files

    @property
    def identity(self) -> str:
        """sha256 over all but the time of making: equal for two builds of the same by the same version."""
        return hashlib.sha256(self.model_dump_json(exclude={"created"}).encode()).hexdigest()

    def facts(self, leg: Leg) -> Mapping[str, Any] | None:
        """What the leg was built with; None where there is no such leg."""
        return self.lexical if leg == "lexical" else self.dense


class _Header(BaseModel):
    format_version: int
    ragline_version: str = "unknown"


def ragline_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("ragline")
    except PackageNotFoundError:
        return "unknown"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path, *, name: str) -> Manifest:
    """The manifest in `folder`; `name` is what error messages call the index.

    Raises:
        IndexProblem: absent, cut off, not a manifest, or of a newer format.
    """
    again = f"Build the index again: rag index SRC --index {name}"
    try:
        with (folder / MANIFEST).open("rb") as stream:
            raw = stream.read(_LARGEST_MANIFEST_BYTES + 1)
    except OSError as cause:
        raise IndexProblem(f"index '{name}' has no {MANIFEST} ({cause.strerror}). {again}") from cause
    if len(raw) > _LARGEST_MANIFEST_BYTES:
        raise IndexProblem(f"index '{name}': {MANIFEST} is over {_LARGEST_MANIFEST_BYTES:,} bytes. {again}")
    try:
        header = _Header.model_validate_json(raw)
        if header.format_version > FORMAT_VERSION:
            raise IndexProblem(
                f"index '{name}' has format {header.format_version}, written by ragline "
                f"{header.ragline_version}; this is ragline {ragline_version()}, which reads up to "
                f"{FORMAT_VERSION}. "
                "Upgrade ragline, or build the index again with this version"
            )
        return Manifest.model_validate_json(raw)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise IndexProblem(f"index '{name}': {MANIFEST} is damaged: {where}: {first['msg']}. {again}") from cause
