"""What an index says of itself: how it was made, and every file's digest. It alone makes the query side."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator
from pydantic_core import to_json

from rag.core.errors import IndexProblem, NewerIndex, did_you_mean
from rag.core.our_plugins import where_it_is
from retrievers.index.digests import FileFacts
from retrievers.index.documents import LINES
from retrievers.index.generations import PART
from retrievers.index.kinds import HoldsKinds
from retrievers.index.old_formats import OLD_LEGS
from retrievers.index.old_formats import read as read_old
from retrievers.index.old_formats import written as written_old
from retrievers.index.settings import IndexSettings
from retrievers.index.sources import ROOTS
from retrievers.legs import LEGS
from retrievers.legs.protocol import KIND

FORMAT_VERSION = 10
"""What this version writes, and the newest that it reads.

Whoever changes what a manifest may say, or a table of sources, raises it, so that an older version says that the index is
newer, and never that it is damaged. A test holds the form against the number. 4 is 3 with units that share metadata
(`retrievers.index.shared`), 5 is 4 with labels that say who may read them (`retrievers.index.access`), or with documents
and legs in parts (`retrievers.index.parts`), 6 is 5 with all that settings came to say meanwhile, 7 is 6 with corpora of which
long documents alone are cut, 8 is 7 with legs that have names of their own, 9 is 8 with token vectors of one bit, 10 is 9
with pictures that stand in documents."""

FormatVersion = Annotated[int, Field(ge=1)]

MANIFEST = "manifest.json"
_LARGEST_MANIFEST_BYTES = 16_000_000


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusFacts(_Facts, HoldsKinds):
    """What was indexed. `sha256` is over names and contents of the source files, in name order."""

    sha256: str
    n_files: Annotated[int, Field(ge=1)]
    n_documents: Annotated[int, Field(ge=1)]
    n_units: Annotated[int, Field(ge=1, le=2**31 - 1)]


class PartFacts(_Facts):
    """A part of an index. `sha256`: of its manifest. `identity`: see `Manifest`. `n_removed`: of its rows are gone."""

    name: Annotated[str, Field(pattern=rf"^{PART.pattern}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    identity: str
    n_removed: Annotated[int, Field(ge=0)] = 0


class Manifest(_Facts):
    """How an index was made.

    `settings` is what was asked for, defaults filled in; `legs` is what came of it: the facts that each leg was built
    with, in the order of building. `ruler`: the tokens that chunks were measured in. `parts`: in the order of their rows,
    where documents and legs lie in parts; `corpus` is then what is left of all, and of what facts count (`n_...`) each
    part has its share, removed rows too.
    """

    format_version: FormatVersion
    ragline_version: str
    created: str
    legs: Annotated[dict[str, dict[str, JsonValue]], Field(min_length=1)]
    settings: IndexSettings
    corpus: CorpusFacts
    ruler: dict[str, JsonValue]
    files: dict[str, FileFacts]
    parts: tuple[PartFacts, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_old(cls, data: Any) -> Any:
        """Formats 1 and 2 list their legs, and have a field for the facts of each."""
        listed = isinstance(data, dict) and isinstance(data.get("legs"), list | tuple)
        return read_old(data) if listed else data

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, FileFacts]) -> dict[str, FileFacts]:
        for name in files:
            path = PurePosixPath(name)
            plain = path.parts and str(path) == name and not path.is_absolute()
            if not plain or ".." in path.parts or "\\" in name or "\0" in name:
                raise ValueError(f"{name!r} is no file of an index: its path must be plain and relative")
        return files

    @property
    def identity(self) -> str:
        """sha256 over all but the time of making and the place of the sources: equal for two builds of the same by the
        same version."""
        said = self._said()
        del said["created"]
        if self.parts:  # what they are, and not what they are called or when they were made
            said["parts"] = [[part.identity, part.n_removed] for part in self.parts]
        said["files"] = {name: facts for name, facts in said["files"].items() if name != ROOTS}
        return hashlib.sha256(to_json(said, inf_nan_mode="null")).hexdigest()

    @property
    def documents_sha256(self) -> str:
        """Of the lines of all documents, in order of row, where they lie in one part."""
        return self.files[LINES].sha256

    def as_json(self) -> str:
        """What the file holds."""
        return to_json(self._said(), indent=1, inf_nan_mode="null").decode()

    def _said(self) -> dict[str, Any]:
        """The manifest in its own format."""
        said = self.model_dump(mode="json")
        if self.format_version < 3:
            return written_old(said, self.format_version)
        said["settings"] = self.settings.counted(self.legs)
        if not self.parts:
            del said["parts"]
        return said


def _kinds(legs: Any) -> set[str]:
    """Of what a file says of its legs their kinds; none where it says that in another way."""
    if isinstance(legs, list):  # formats 1 and 2
        return {leg for leg in OLD_LEGS if leg in legs}
    facts = legs if isinstance(legs, dict) else {}
    return {str(own.get(KIND, leg)) if isinstance(own, dict) else leg for leg, own in facts.items()}


class _Header(BaseModel):
    format_version: FormatVersion
    ragline_version: str = "unknown"
    legs: Any = ()


def ragline_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("ragline")
    except PackageNotFoundError:
        return "unknown"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.as_json() + "\n", encoding="utf-8")


def read_manifest(folder: Path, *, name: str, sha256: str | None = None) -> Manifest:
    """The manifest in `folder`; `name` is what error messages call the index, `sha256` that of the file if it is known.

    Raises:
        IndexProblem: absent, changed, cut off, not a manifest, of a newer format, or with a leg that nobody here knows.
    """
    again = f"Build the index again: rag index --index {name}"
    try:
        with (folder / MANIFEST).open("rb") as stream:
            raw = stream.read(_LARGEST_MANIFEST_BYTES + 1)
    except OSError as cause:
        raise IndexProblem(f"index '{name}' has no {MANIFEST} ({cause.strerror}). {again}") from cause
    if len(raw) > _LARGEST_MANIFEST_BYTES:
        raise IndexProblem(f"index '{name}': {MANIFEST} is over {_LARGEST_MANIFEST_BYTES:,} bytes. {again}")
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise IndexProblem(f"index '{name}' is damaged: {MANIFEST} is not as it was written. {again}")
    try:
        header = _Header.model_validate_json(raw)
        if header.format_version > FORMAT_VERSION:
            raise NewerIndex(
                f"index '{name}' has format {header.format_version}, written by ragline "
                f"{header.ragline_version}; this is ragline {ragline_version()}, which reads up to "
                f"{FORMAT_VERSION}. Upgrade ragline, or build the index anew from its sources with this version: "
                f"rag index SRC --index {name} --prune"
            )
        if unknown := sorted(kind for kind in _kinds(header.legs) if kind not in LEGS):
            other = f"{did_you_mean(unknown[0], LEGS)} Load the module that adds it to LEGS."
            hint = where_it_is(f"leg.{unknown[0]}") or other
            raise IndexProblem(
                f"index '{name}' has a leg '{unknown[0]}', which is not known here. {hint} Or build the index again"
            )
        return Manifest.model_validate_json(raw)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise IndexProblem(f"index '{name}': {MANIFEST} is damaged: {where}: {first['msg']}. {again}") from cause
