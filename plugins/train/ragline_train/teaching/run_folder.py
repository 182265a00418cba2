"""The folder of a run: what was asked of it, how far it came, and checkpoints that are known to be whole.

OUT/run.json         what decides the weights: recipe, settings, digests, libraries. Another run does not go on here
OUT/plan.json        how many steps it has
OUT/progress.jsonl   a line for each time the gain was told
OUT/checkpoints/     those of the trainer; `whole.json` beside one has the digest of each of its files
OUT/best-N/          the model after N steps, where it was the best so far
OUT/training.json    written last: the run is done
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rag.errors import SpecError
from rag.files import file_sha256, require_writable, write_atomically

RUN, PLAN, PROGRESS, DONE, WHOLE = "run.json", "plan.json", "progress.jsonl", "training.json", "whole.json"
LOCK = ".lock"
LIBRARIES = ("torch", "transformers", "sentence-transformers", "datasets", "accelerate", "tokenizers", "numpy")


def libraries() -> dict[str, str]:
    """Versions of all that decides a weight; those that are not here are left out."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The questions kept apart after so many steps. `loss`: mean since the last time; None before the first step. `telling`: of
    the questions that nothing is chosen by, asked at the start and of each new best; empty where they were not asked."""

    step: int
    ndcg: float
    per_question: tuple[float, ...]
    loss: float | None = None
    telling: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One of these, at `path`."""

    path: Path

    @classmethod
    def require_free(cls, path: Path, *, resume: bool) -> None:
        """Return if a run may be in the folder: a new or empty one, or with `resume` one that holds a run.

        Raises:
            SpecError: it may not, or nothing can be written there.
        """
        holds_run = cls(path)._read(RUN) is not None
        if holds_run and not resume:
            raise SpecError(f"--out '{path}' holds a run. Go on with it by --resume, or name another folder")
        if not holds_run and resume:
            raise SpecError(f"'{path}' has no run to go on with. Leave out --resume")
        if not holds_run and path.exists() and (not path.is_dir() or any(each.name != LOCK for each in path.iterdir())):
            raise SpecError(f"--out '{path}' is there already, and not empty. Name another folder, or empty it")
        require_writable(path)

    @classmethod
    def begun(cls, path: Path, identity: Mapping[str, Any], *, resume: bool) -> RunFolder:
        """The folder of a run: of a new one, or of the same one to go on with.

        Raises:
            SpecError: see `require_free`; or it is of another run, with all that differs.
        """
        cls.require_free(path, resume=resume)
        folder = cls(path)
        before = folder._read(RUN)
        if before is None:
            write_atomically(path / RUN, json.dumps(identity, indent=1, sort_keys=True))
            return folder
        if differing := list(_differing(before, identity)):
            raise SpecError(
                f"'{path}' is of another run, and weights of two are not mixed: {'; '.join(differing)}."
                " Ask for the same again, or name another folder"
            )
        return folder

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def done(self) -> Mapping[str, Any] | None:
        """What the run came to; None while it is not at its end."""
        return self._read(DONE)

    def planned(self, steps: int) -> int:
        """How many steps the run has: those that were planned when it began, else these."""
        before = self._read(PLAN)
        if before is not None:
            return int(before["steps"])
        write_atomically(self.path / PLAN, json.dumps({"steps": steps}))
        return steps

    def best(self, step: int) -> Path:
        return self.path / f"best-{step}"

    def seal(self, checkpoint: Path) -> None:
        """Say that a checkpoint is whole: the digest of each of its files."""
        files = (file for file in checkpoint.rglob("*") if file.is_file())
        digests = {file.relative_to(checkpoint).as_posix(): file_sha256(file) for file in files}
        write_atomically(checkpoint / WHOLE, json.dumps(digests, indent=1, sort_keys=True))

    def last_whole(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint that is as it was written, and the names of newer ones that are not."""
        found = sorted(self.checkpoints.glob("checkpoint-*"), key=_step, reverse=True)
        damaged: list[str] = []
        for checkpoint in found:
            if _is_whole(checkpoint):
                return checkpoint, damaged
            damaged.append(checkpoint.name)
        return None, damaged

    def tell(self, told: Told) -> None:
        line = asdict(told)
        with (self.path / PROGRESS).open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")

    def told(self, *, until: int) -> list[Told]:
        """Lines up to a step; what a kill left half written, and what is to be done again, is dropped from the file."""
        file = self.path / PROGRESS
        kept = []
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                said = json.loads(line)
            except ValueError:
                break
            if said["step"] <= until:
                lists = {name: tuple(said[name]) for name in ("per_question", "telling")}
                kept.append(Told(step=said["step"], ndcg=said["ndcg"], loss=said["loss"], **lists))
        write_atomically(file, "")
        for each in kept:
            self.tell(each)
        return kept

    def keep_only(self, step: int | None) -> None:
        """Delete what the best model is no more, and half-written ones."""
        for each in self.path.glob("best-*"):
            if step is None or each != self.best(step):
                shutil.rmtree(each)

    def finish(self, best: Path | None, result: Mapping[str, Any], card: str) -> None:
        """Put the best model's files and the card into the folder, say so last, and take away what was for going on alone."""
        if best is not None:
            shutil.copytree(best, self.path, dirs_exist_ok=True)
        write_atomically(self.path / "README.md", card)
        write_atomically(self.path / DONE, json.dumps(result, indent=1, ensure_ascii=False))
        self.keep_only(None)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _read(self, name: str) -> Mapping[str, Any] | None:
        file = self.path / name
        if not file.is_file():
            return None
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as cause:
            raise SpecError(f"'{file}' is damaged ({cause}). Name another folder") from None
        if not isinstance(found, dict):
            raise SpecError(f"'{file}' is not of a run. Name another folder")
        return found


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two runs differ in, by its path and both values."""
    found = []
    for name in sorted({*before, *now}):
        one, other = before.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += [f"{name}.{each}" for each in _differing(one, other)]
        elif one != other:
            found.append(f"{name} was {_short(one)} and is {_short(other)}")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _step(checkpoint: Path) -> int:
    match = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    return int(match[1]) if match else -1


def _is_whole(checkpoint: Path) -> bool:
    try:
        digests = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        return bool(digests) and all(file_sha256(checkpoint / name) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return False
