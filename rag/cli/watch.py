"""`rag index --watch`: an index that keeps up with its sources."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rag.cli.console import say, warn
from rag.core.errors import RagError, SpecError
from rag.core.optional import need
from rag.indexing import index_sources

_EVERY_S = 2.0
"""How often sources that are single files are looked at. An editor replaces a file, so nobody can wait at it."""
_SETTLE_MS = 1_000
"""Changes that follow one another so fast are one."""
_AGAIN_S = 30.0
"""After a build that could not be done, such as while another process builds, or a file is half written."""


def keep_up(sources: Sequence[str], index: str, build: Callable[[], None]) -> None:
    """Call `build` whenever files change, until Ctrl-C. A build that cannot be done is told, and tried again.

    Args:
        sources: names or paths of those that are watched; none for all that the index has.
    Raises:
        MissingDependency: watchfiles is not installed.
        SpecError: none of them is there.
    """
    need("watchfiles", by="rag index --watch", extra="watch")
    roots = _roots(sources, index)
    folders, files = [each for each in roots if each.is_dir()], [each for each in roots if each.is_file()]
    if not folders and not files:
        raise SpecError("rag index --watch: none of the sources is there, so there is nothing to watch")
    say(f"watching {', '.join(map(str, folders + files))}; Ctrl-C ends it")
    seen = {file: _stamp(file) for file in files}
    again_at = 0.0  # what changed since the build before, and nobody was watching
    with suppress(KeyboardInterrupt):
        for n in _in_folders(folders, Path(index).resolve()):
            now = {file: _stamp(file) for file in files}
            n += sum(now[file] != seen[file] for file in files)
            seen = now
            if not n and time.monotonic() < again_at:
                continue
            try:
                build()
                again_at = float("inf")
            except RagError as problem:
                warn(f"{problem}\nThe index is as it was; the next try is in {_AGAIN_S:.0f} s, or when a file changes")
                again_at = time.monotonic() + _AGAIN_S


def _roots(sources: Sequence[str], index: str) -> list[Path]:
    """Where the sources lie, by path or by the names that the index has for them."""
    held = {holding.source.name: holding.source.root for holding in index_sources(index)}
    named = [held.get(each) or each for each in sources] or [root for root in held.values() if root is not None]
    return [Path(each).resolve() for each in named]


def _in_folders(folders: Sequence[Path], index: Path) -> Iterator[int]:
    """How many files changed in folders, at least every `_EVERY_S` seconds. Hidden ones and the index itself are nothing."""
    if not folders:
        while True:
            time.sleep(_EVERY_S)
            yield 0
    import watchfiles

    def counts(change: watchfiles.Change, name: str) -> bool:
        path = Path(name)
        below = next((path.relative_to(folder) for folder in folders if path.is_relative_to(folder)), path)
        return not path.is_relative_to(index) and not any(part.startswith(".") for part in below.parts)

    for changed in watchfiles.watch(
        *folders,
        watch_filter=counts,
        debounce=_SETTLE_MS,
        rust_timeout=int(1000 * _EVERY_S),
        yield_on_timeout=True,
        ignore_permission_denied=True,
    ):
        yield len({path for _, path in changed})


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
