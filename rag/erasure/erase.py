"""Documents taken out of an index and of all that was made of it, and a search that says whether that is so."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rag.core.errors import SpecError
from rag.core.progress import Progress, silent
from rag.core.types import Document
from rag.core.version import VERSION
from rag.erasure.erased_documents import Leaving
from rag.erasure.marks import content_marks, marks_of, vector_marks
from rag.erasure.receipt import Erased, Receipt, look_through
from rag.erasure.selecting import Erasure, removed_documents, removed_earlier
from rag.erasure.store_protocol import KEEPERS, Keeper
from rag.erasure.taught import models_of
from rag.indexing import merge_index
from rag.indexing.build import Build
from rag.indexing.legs import now
from rag.indexing.place import DirectoryWriter
from rag.indexing.previous_index import past
from rag.indexing.publish import home_of, published
from rag.indexing.removal import removed_by
from rag.indexing.shadow import drop_shadow
from rag.models.folder import home as cache_home
from retrievers.index.directory import LocalIndex
from retrievers.index.generations import CURRENT, newest_stamp, only_builder, tidy

NOT_SEARCHED = (
    "the files that the index was made from",
    "the memory of processes that have read the documents",
    "copies and backups that others made",
    "blocks that a file system or a disk has freed and not yet overwritten",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What goes, known before anything is changed."""

    generation: str
    documents: tuple[Erased, ...]
    gone_before: tuple[str, ...]
    leaving: Leaving
    models: tuple[Path, ...]


def erase_from_index(
    targets: Sequence[str],
    index: str | Path,
    *,
    also: Sequence[str | Path] = (),
    most_lost: float = 0.5,
    wait_s: float = 60.0,
    progress: Progress = silent,
) -> Receipt:
    """Take documents out of an index, of kept states and cached indexes, and of `also`; then look for them everywhere.

    States of the attention rerankers are kept by digests of tokens, which nobody can tell documents by: all of them go,
    and are computed again when they are needed. A cached index of `rag eval` that holds a mark goes as a whole. The index
    itself comes last, so that after a kill the same command does what is left. Models that it names, and that were taught on
    documents, are told of.

    Args:
        targets: as `remove_from_index` takes them; also ids of documents and names of files that were removed earlier.
        also: more places: files of conversations, folders of `rag batch`, traces. Others are looked through, and left to
            their owners.
        wait_s: for readers to let go of older generations.
    Raises:
        SpecError: a place of `also` is not there, or cannot be changed.
        IndexProblem, TooMuchLost: as `remove_from_index`. Nothing was changed, but where the disk is full.
    """
    home, begun = home_of(index), now()
    places = [Path(place) for place in also]
    for place in places:
        if not place.exists():
            raise SpecError(f"'{place}' is not there, so nothing can be taken out of it. Nothing was changed")
    if (home / CURRENT).exists():
        tidy(home)  # what a kill left of an erasure, should the index not know its targets any more
    plan = _planned(targets, home, most_lost, progress)
    done = _empty_caches(plan.leaving)
    for place in dict.fromkeys([*places, *plan.models]):
        done |= _erase(place, plan.leaving)
    drop_shadow(home)  # an encoder that is only tried is no reason to keep what has to go
    _take_out(targets, home, most_lost, progress)
    held = _wait_for_readers(home, wait_s)
    looked = [look_through(home, plan.leaving, kind="index", done="documents taken out", progress=progress)]
    looked += [
        replace(look_through(place, plan.leaving, kind=did.kind, done=did.what, progress=progress), taught=did.taught)
        for place, did in done.items()
    ]
    return Receipt(
        ragline=VERSION,
        begun=begun,
        ended=now(),
        index=str(home),
        targets=tuple(targets),
        generation_before=plan.generation,
        generation_after=newest_stamp(home),
        documents=plan.documents,
        gone_before=plan.gone_before,
        n_marks=len(plan.leaving.marks.windows),
        unmarked=plan.leaving.marks.unmarked,
        places=tuple(looked),
        held=tuple(held),
        not_searched=NOT_SEARCHED,
    )


def _planned(targets: Sequence[str], home: Path, most_lost: float, progress: Progress) -> _Plan:
    with past(home, rebuild=False, progress=progress) as before:
        earlier = removed_earlier(targets, before)
        gone = removed_by([each for each in targets if each not in earlier], before, most_lost=most_lost).rows
        opened = before.index
        assert isinstance(opened, LocalIndex)  # nothing is elsewhere
        stays = np.setdiff1d(np.arange(len(opened)), gone, assume_unique=True)
        documents = opened.documents
        going = [documents[int(row)] for row in gone]
        named = {*targets, *(passage.parent for passage in going)}
        going += [passage for passage in removed_documents(before) if passage.parent in named]
        gone_before = tuple(sorted(earlier.difference(passage.parent for passage in going)))
        marks = marks_of(going, (documents[int(row)] for row in stays))
        return _Plan(
            generation=opened.generation,
            documents=tuple(_erased(going)),
            gone_before=gone_before,
            models=tuple(models_of(name for name, _ in opened.model_names(opened.legs))),
            leaving=Leaving(
                replace(
                    marks,
                    windows=marks.windows | vector_marks(opened, gone, stays) | content_marks(opened.contents, gone),
                    doc_ids=marks.doc_ids.union(gone_before),
                )
            ),
        )


def _erased(going: Sequence[Document]) -> list[Erased]:
    erased = []
    for doc_id, several in groupby(going, key=lambda passage: passage.parent):
        texts = [passage.text.encode() + b"\0" for passage in several]
        digest = hashlib.sha256(b"".join(texts)).hexdigest()
        erased.append(Erased(doc_id=doc_id, n_passages=len(texts), sha256=digest))
    return erased


def _take_out(targets: Sequence[str], home: Path, most_lost: float, progress: Progress) -> None:
    """Write the index anew without its targets, and without the bytes of all that was removed earlier."""
    place = DirectoryWriter(home)
    build = Build(
        Erasure(targets), place, settings=None, legs=None, prune=False, most_lost=most_lost, progress=progress
    )
    if published(place, build.run, progress=progress).unchanged:  # it said nothing of them, but its parts may hold them
        merge_index(home, progress=progress)
    with only_builder(home):
        shutil.rmtree(home / "work", ignore_errors=True)  # vectors that a killed build had finished, maybe theirs


class Did(NamedTuple):
    """`kind` of a place, what was done there, and which documents that go a model there was taught by."""

    kind: str
    what: str
    taught: tuple[str, ...] = ()


Done = dict[Path, Did]


def _erase(path: Path, leaving: Leaving) -> Done:
    """Take out what a place holds, by who keeps places of its kind."""
    for name in KEEPERS:
        keeper: Keeper = KEEPERS.get(name)()
        if keeper.recognises(path):
            with _explained(path):
                did = Did(name, keeper.erase(path, leaving), tuple(keeper.holds(path, leaving)))
            return {place: did for place in keeper.places(path) if place == path or place.exists()}
    return {path: Did("other", "only looked through")}


def _empty_caches(leaving: Leaving) -> Done:
    """Places under the cache folder that hold what documents said, or might."""
    done: Done = {}
    states, indexes = cache_home() / "states", cache_home() / "indexes"
    if states.is_dir():
        with _explained(states):
            shutil.rmtree(states)
        done[states] = Did("states", "all kept attention states taken out")
    if indexes.is_dir():
        holding = [each for each in sorted(indexes.iterdir()) if _holds(each, leaving)]
        for each in holding:
            with _explained(each):
                shutil.rmtree(each)
        done[indexes] = Did("cached indexes", f"{len(holding):,} cached indexes taken out")
    return done


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    """Say what a place that cannot be changed means for the rest."""
    try:
        yield
    except OSError as cause:
        raise SpecError(
            f"'{place}' cannot be changed ({cause.strerror}), so the index was left as it is. Make room there, or make it "
            "writable, and give the command again: what is done stays done"
        ) from cause


def _holds(folder: Path, leaving: Leaving) -> bool:
    return bool(look_through(folder, leaving, kind="", done="", progress=silent).left)


def _wait_for_readers(home: Path, seconds: float) -> list[str]:
    """Generations that are still held when the time is over. A server opens the new one by itself, and lets go."""
    until = time.monotonic() + seconds
    while (held := tidy(home)) and time.monotonic() < until:
        time.sleep(min(1.0, seconds))
    return held
