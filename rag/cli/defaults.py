"""Which index a command means that names none."""

from __future__ import annotations

import os
import tomllib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rag.core.errors import NO_INDEX, SpecError

SETTINGS = "ragline.toml"
_LARGEST_BYTES = 65_536


def fill_index(given: Namespace) -> None:
    """Set `given.index`, where the command takes one and was given none: RAGLINE_INDEX, or `ragline.toml` here or above.

    Several become one address.

    Raises:
        SpecError: the command needs an index and there is none; or the file cannot be read.
    """
    if isinstance(given.index, list):
        given.index = given.index[0] if len(given.index) == 1 else _together(given.index)
    wants = given.wants_index
    if wants == "no" or given.index is not None:
        return
    given.index = os.environ.get("RAGLINE_INDEX") or _of_settings(Path.cwd())
    if given.index is None and wants == "needed":
        raise SpecError(f"rag {given.command}: {NO_INDEX}")


def _together(indexes: Sequence[str]) -> str:
    """One address for several; of one nothing is imported, which a command that asks a server has no time for."""
    from retrievers.index.joined import joined_address

    return joined_address(indexes)


def _of_settings(folder: Path) -> str | None:
    """The index that the nearest file of settings names, relative to that file; the address of a server as it is."""
    for place in (folder, *folder.parents):
        file = place / SETTINGS
        if not file.is_file():
            continue
        try:
            with file.open("rb") as stream:
                said = tomllib.loads(stream.read(_LARGEST_BYTES).decode())
        except (OSError, ValueError) as cause:
            raise SpecError(f"{file}: cannot be read as TOML ({cause})") from None
        if unknown := sorted(set(said) - {"index"}):
            raise SpecError(f"{file}: no setting {unknown[0]!r}. Known: index")
        index = said.get("index")
        if not isinstance(index, str) or not index:
            raise SpecError(f'{file}: index must be the path of an index, such as index = "notes-index"')
        if "://" in index:
            return index
        return str(place / Path(index).expanduser())
    return None
