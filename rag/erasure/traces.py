"""Files of JSON lines, such as traces: lines that quote or name documents that go are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.erasure.json_lines import erase_lines
from rag.erasure.keeper import Keeper
from rag.erasure.leaving import Leaving

_ENDINGS = (".jsonl", ".ndjson")
_FIRST = b'{"trace_id":'


class TracesKeeper(Keeper):
    """A process that writes there meanwhile goes on in the new file (`rag.tracing.lines`)."""

    name = "traces"

    def recognises(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return path.name.endswith(_ENDINGS) or file.read(len(_FIRST)) == _FIRST

    def places(self, path: Path) -> Sequence[Path]:
        return [path, path.with_name(f"{path.name}.1")]  # the file that was full

    def erase(self, path: Path, leaving: Leaving) -> str:
        n = sum(erase_lines(file, leaving) for file in self.places(path) if file.is_file())
        return f"{n:,} lines taken out"
