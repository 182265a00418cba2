"""A dictionary of names as a file, for what switches queries and for what switches texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def names_file(folder: Path, names: Mapping[str, Mapping[str, str]]) -> Path:
    """{name: {language: name}} as JSON."""
    path = folder / "names.json"
    path.write_text(json.dumps(names), encoding="utf-8")
    return path
