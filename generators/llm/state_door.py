"""Where llama.cpp takes and gives what its slots have read: files in a folder, asked for through its Unix socket."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from rag.core.errors import StageError


class StateDoor:
    """A folder that only this user may enter, with the socket and the files. It goes with this object, or when it is closed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ragline-"))
        self.socket = self.folder / "llama.sock"
        self.close = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        """Removes the folder: nobody can connect any more."""

    def save(self, slot: int) -> bytes:
        """What a slot has read, as a file of llama.cpp.

        Raises:
            StageError: llama.cpp refuses.
        """
        return self._ask(slot, "save", b"")

    def restore(self, slot: int, states: bytes) -> None:
        """Let a slot have read what a file says. Raises as `save`."""
        self._ask(slot, "restore", states)

    def _ask(self, slot: int, action: str, states: bytes) -> bytes:
        file = self.folder / f"{slot}.states"
        try:
            file.write_bytes(states)
            reply = self._post(f"/slots/{slot}?action={action}", {"filename": file.name})
            if reply.status_code != 200:
                raise StageError(f"llm.llama_cpp: llama.cpp does not {action} what a slot has read: {reply.text[:200]}")
            return file.read_bytes()
        finally:
            file.unlink(missing_ok=True)

    def _post(self, path: str, request: dict[str, Any]) -> Any:
        from httpx2 import Client, HTTPError, HTTPTransport

        with Client(transport=HTTPTransport(uds=str(self.socket)), base_url="http://llama", timeout=60) as client:
            try:
                return client.post(path, json=request)
            except HTTPError as cause:
                raise StageError(f"llm.llama_cpp: llama.cpp does not answer on its socket: {cause}") from cause
