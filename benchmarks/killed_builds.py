"""Dense builds that are killed again and again: what is encoded twice, what the index is in the end, and the peak memory.

A build of the first passages of `benchmarks.million`'s corpus is killed (SIGKILL) at a moment that a seed draws, and
started again, until it is complete; then the next one begins, until there were as many kills as asked for. Every block
that the encoder is given is written down before it is read, so what was read twice is counted and not believed: the
block in work at a kill may be read again, and nothing else. Each index that comes out is held against one that was built
in one go, byte by byte.

    RAGLINE_EVAL_DATA=... python -m benchmarks.killed_builds [--kills 20] [--passages 4000] [--record] [--busy]
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import memory
from benchmarks.million import corpus
from benchmarks.record import Record, record
from benchmarks.ways import add_busy
from rag.core.contents import digest_of
from rag.indexing import build_index
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

NAME, SEED = "killed_builds", 17
_LOOK_EVERY_S = 0.1
Block = list[str]
"""Digests of texts that were encoded together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A build that was killed and started again until it ended. `runs`: the blocks of each start, the last of which ended.
    `peak_bytes`: of the process that held most."""

    runs: list[list[Block]]
    peak_bytes: int
    same_bytes: bool

    @property
    def n_kills(self) -> int:
        return len(self.runs) - 1


def read_again(runs: Sequence[Sequence[Block]]) -> tuple[int, int]:
    """How many texts were encoded again: of blocks that were in work at a kill, and others. The second has to be 0.

    A block is in work until the next one begins, or the run ends by itself.

    >>> read_again([[["a", "b"], ["c"]], [["c"], ["d"]]])
    (1, 0)
    >>> read_again([[["a", "b"], ["c"]], [["a", "b"], ["c"]]])
    (1, 2)
    """
    kept, lost, allowed, wrong = set[str](), set[str](), 0, 0
    for run in runs:
        for number, block in enumerate(run, start=1):
            wrong += len(kept.intersection(block))
            allowed += len(lost.intersection(block) - kept)
            (lost if number == len(run) else kept).update(block)
    return allowed, wrong


class Builds:
    """Builds of one corpus, in a folder."""

    def __init__(self, folder: Path, *, encoder: str) -> None:
        self._folder, self._encoder = folder, encoder
        self._peak = 0

    def whole(self) -> float:
        """Seconds of a build that nobody kills."""
        begun = perf_counter()
        self._run("whole", until=None)
        return perf_counter() - begun

    def killed(self, moment: Callable[[], float], *, most: int) -> Completed:
        """A build that is killed `moment()` seconds after each start, until it ends or there were `most` kills."""
        shutil.rmtree(self._folder / "killed", ignore_errors=True)
        self._peak = 0
        runs, ended = list[list[Block]](), False
        while not ended:
            log = self._folder / "killed.log"
            log.unlink(missing_ok=True)
            ended = self._run("killed", until=moment() if len(runs) < most else None)
            lines = log.read_text().splitlines() if log.exists() else []
            runs.append([line.split() for line in lines])
        same = same_bytes(self._folder / "whole", self._folder / "killed")
        return Completed(runs=runs, peak_bytes=self._peak, same_bytes=same)

    def _run(self, name: str, *, until: float | None) -> bool:
        """Start a build, and kill it after `until` seconds. Whether it ended before."""
        files = (self._folder / "corpus.jsonl", self._folder / name, self._encoder, self._folder / f"{name}.log")
        process = get_context(memory.START).Process(target=_build, args=tuple(map(str, files)))
        process.start()
        begun = perf_counter()
        while process.exitcode is None:
            self._peak = max(self._peak, memory.memory_of(str(process.pid)).peak)
            left = _LOOK_EVERY_S if until is None else until - (perf_counter() - begun)
            if left <= 0:
                process.kill()
                process.join()
                return False
            process.join(min(left, _LOOK_EVERY_S))
        if process.exitcode:
            raise RuntimeError(f"a build that nobody killed ended with exit code {process.exitcode}")
        return True


def _build(source: str, index: str, encoder: str, log: str) -> None:
    encode, journal = SentenceEncoder.encode, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def written_down(self: SentenceEncoder, texts: Sequence[str], *, role: Any) -> Any:
        os.write(journal, (" ".join(digest_of(text).hex() for text in texts) + "\n").encode())
        return encode(self, texts, role=role)

    SentenceEncoder.encode = written_down  # type: ignore[method-assign]
    build_index(source, index, settings=IndexSettings.model_validate({"dense": {"encoder": encoder}}), legs=("dense",))


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two index directories hold the same files, byte by byte. Manifests say when they were made, so these are
    compared by their identities."""
    with LocalIndex.open(one) as first, LocalIndex.open(other) as second:
        if (
            first.manifest.identity != second.manifest.identity
            or first.manifest.files.keys() != second.manifest.files.keys()
        ):
            return False
        return all(filecmp.cmp(first.file(name), second.file(name), shallow=False) for name in first.manifest.files)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, and print a line for each build and one for all; 1 where one was not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--passages", type=int, default=4_000)
    parser.add_argument("--encoder", default="all-minilm-l6-v2")
    parser.add_argument(
        "--corpus", type=int, default=1_000_000, help="passages to be written, where there are none yet"
    )
    parser.add_argument("--work", type=Path, default=Path("build/million"), help="where the passages are kept")
    parser.add_argument("--record", action=Record, help="append to results/killed_builds.jsonl")
    add_busy(parser)
    options = parser.parse_args(arguments)
    passages = corpus(options.work, options.corpus)
    chance, completed = random.Random(SEED), list[Completed]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with passages.open() as lines, (folder / "corpus.jsonl").open("w") as out:
            out.writelines(islice(lines, options.passages))
        builds = Builds(folder, encoder=options.encoder)
        seconds = builds.whole()
        while (left := options.kills - sum(each.n_kills for each in completed)) > 0:
            completed.append(builds.killed(lambda: chance.uniform(0, seconds), most=left))
            show(completed[-1])
    again = [read_again(each.runs) for each in completed]
    line = {
        "encoder": options.encoder,
        "passages": options.passages,
        "kills": options.kills,
        "builds": len(completed),
        "encoded": sum(len(block) for each in completed for run in each.runs for block in run),
        "again_in_work": sum(allowed for allowed, _ in again),
        "again_otherwise": sum(wrong for _, wrong in again),
        "builds_of_other_bytes": sum(not each.same_bytes for each in completed),
        "peak_bytes": max(each.peak_bytes for each in completed),
        "whole_s": seconds,
    }
    print(json.dumps(line))
    if options.record:
        record(NAME, line | ({"busy": True} if options.busy else {}))
    return 1 if line["again_otherwise"] or line["builds_of_other_bytes"] else 0


def show(one: Completed) -> None:
    allowed, wrong = read_again(one.runs)
    print(
        f"{one.n_kills} kills: {allowed:,} texts of blocks in work encoded again, {wrong:,} others;"
        f" {'the bytes of' if one.same_bytes else 'NOT the bytes of'} a build in one go; peak {one.peak_bytes / 2**20:,.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
