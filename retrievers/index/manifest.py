"""What an index says of itself: how it was made, and every file's digest. It alone makes the query side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from rag.core.errors import IndexProblem
from retrievers.index.digests import FileFacts
from retrievers.index.settings import IndexSettings, Leg

FORMAT_VERSION = 2
"""The newest that this version reads."""

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

    `settings` is what was asked for, defaults filled in; `ruler`, `lexical`, `dense`, `encoder` and `promptreps`
    are what came of it: the tokens that chunks were measured in, the facts that each leg was built with, and the
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
    promptreps: dict[str, JsonValue] | None = None
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
        said = self.model_dump_json(exclude={"created": True, **self._unsaid()})
        return hashlib.sha256(said.encode()).hexdigest()

    def facts(self, leg: Leg) -> Mapping[str, Any] | None:
        """What the leg was built with; None where there is no such leg."""
        return {"lexical": self.lexical, "dense": self.dense, "promptreps": self.promptreps}[leg]

    def _unsaid(self) -> dict[str, Any]:
        """What manifests of format 1 do not know, where this one does not need it either."""
        return {} if self.format_version > 1 else {"promptreps": True, "settings": {"promptreps"}}


class _Header(BaseModel):
    format_version: int
    ragline_version: str = "unknown"


def ragline_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("ragline")
    except PackageNotFoundError:
        return "unknown"


def format_of(legs: Sequence[str]) -> int:
    """The oldest format that can say what an index with these legs is, so that older versions read what they can."""
    return 2 if "promptreps" in legs else 1


def write_manifest(folder: Path, manifest: Manifest) -> None:
    said = manifest.model_dump_json(indent=1, exclude=manifest._unsaid())
    (folder / MANIFEST).write_text(said + "\n", encoding="utf-8")


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
