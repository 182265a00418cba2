"""What is read from files while a part is made: prompts, dictionaries, runs. Its output depends on them, wherever it
keeps them, so whoever makes parts notes them here and a run's identity holds their digests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from rag.core.errors import SpecError


@dataclass(slots=True)
class Inputs:
    """`prompts`: sha256 by name or path. `files`: paths, in the order in which they were named."""

    prompts: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


_current: ContextVar[Inputs | None] = ContextVar("inputs of a part", default=None)


@contextmanager
def noted() -> Iterator[Inputs]:
    """What is named inside the block, filled in as it is."""
    inputs = Inputs()
    token = _current.set(inputs)
    try:
        yield inputs
    finally:
        _current.reset(token)


def note_prompt(source: str, sha256: str) -> None:
    """A prompt was loaded."""
    if (inputs := _current.get()) is not None:
        inputs.prompts[source] = sha256


def input_file(path: str, *, what: str, by: str) -> Path:
    """The file that a parameter names; it may be read later.

    Raises:
        SpecError: there is none.
    """
    file = Path(path)
    if not file.is_file():
        raise SpecError(f"{by}: there is no {what} '{path}'")
    note_file(file)
    return file


def note_file(file: Path) -> None:
    """A file was named, and is known to be there or read at once."""
    if (inputs := _current.get()) is not None:
        inputs.files.append(file)
