"""Where a build writes: an index directory, or the draft of an index on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import IndexProblem
from rag.core.progress import Progress
from retrievers.index import WRITERS
from retrievers.index.built import BuiltIndex
from retrievers.index.generations import CURRENT
from retrievers.index.opening import scheme_of
from retrievers.index.settings import IndexSettings


def _nothing() -> BuiltIndex | None:
    return None


def _anything(settings: IndexSettings, legs: Sequence[str]) -> None:
    return None


def _published(*, progress: Progress) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory is its own draft: nothing is elsewhere, anything can be kept, and what is complete is published.

    `home`: where the build writes. `address`: what readers open. `exists`: whether they can. The others are those of
    `IndexWriter`.
    """

    home: Path
    address: Path | str
    exists: bool
    before: Callable[[], BuiltIndex | None] = _nothing
    require: Callable[[IndexSettings, Sequence[str]], None] = _anything
    publish: Callable[..., None] = _published

    @property
    def name(self) -> str:
        """What messages call the index."""
        return str(self.address)


@contextmanager
def writing(path: str | Path) -> Iterator[Place]:
    """The place of an index that is to be built, updated or listed.

    Raises:
        IndexProblem: the server does not answer, or indexes of this kind are not built.
    """
    scheme = scheme_of(path)
    if scheme is None:
        home = Path(path)
        yield Place(home=home, address=home, exists=(home / CURRENT).exists())
        return
    if scheme not in WRITERS:
        raise IndexProblem(
            f"index '{path}': an index of this kind is not built. Give --index a directory or the address of a server: "
            f"{', '.join(f'{each}://' for each in WRITERS)}"
        )
    with WRITERS.get(scheme).open(str(path)) as writer:
        yield Place(
            home=writer.home,
            address=str(path),
            exists=writer.exists,
            before=writer.before,
            require=writer.require,
            publish=writer.publish,
        )
