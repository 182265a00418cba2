"""Open WebUI in a process of its own, as its page sees it: started empty, told of one server, and asked over its API."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

STARTS_S, ENDS_S, LOOK_S = 120, 60, 0.2
USER = {"name": "Ada", "email": "ada@example.org", "password": "only-of-this-recording"}


class WebUI:
    """What its page can ask of it, as its first user."""

    def __init__(self, address: str) -> None:
        self._address, self._token = address, ""

    def sign_up(self) -> None:
        self._token = self.post("/api/v1/auths/signup", USER)["token"]

    def get(self, path: str) -> Any:
        return self._asked(path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The reply; of a stream nothing, once it is read to its end."""
        return self._asked(path, json.dumps(body).encode())

    def until_done(self, chat: str) -> None:
        """Wait for the answer of a chat and for what is asked after it.

        Raises:
            TimeoutError: they take more than a minute.
        """
        end = time.monotonic() + ENDS_S
        while self.get(f"/api/tasks/chat/{chat}")["task_ids"]:
            if time.monotonic() > end:
                raise TimeoutError(f"chat {chat} does not end")
            time.sleep(LOOK_S)

    def _asked(self, path: str, body: bytes | None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        with urlopen(Request(self._address + path, data=body, headers=headers), timeout=ENDS_S) as reply:
            text = reply.read()
            return json.loads(text) if reply.headers["Content-Type"].startswith("application/json") else None


@contextmanager
def web_ui(url: str, key: str) -> Iterator[WebUI]:
    """Open WebUI over the server at `url`, with nothing kept from before and nothing fetched.

    Raises:
        TimeoutError: it does not come up in two minutes; its log is in the error.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        command = [sys.executable, "-c", "from open_webui import app; app()"]
        process = subprocess.Popen(
            [*command, "serve", "--host", "127.0.0.1", "--port", str(port)],
            env=_environment(folder, url, key),
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            yield _up(f"http://127.0.0.1:{port}", Path(log.name))
        finally:
            process.terminate()
            process.wait()


def _up(address: str, log: Path) -> WebUI:
    made, end = WebUI(address), time.monotonic() + STARTS_S
    while time.monotonic() < end:
        try:
            made.get("/health")
        except URLError:
            time.sleep(LOOK_S)
        else:
            made.sign_up()
            return made
    raise TimeoutError(f"Open WebUI does not start:\n{log.read_text()[-4000:]}")


def _environment(folder: str, url: str, key: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "DATA_DIR": folder,
        "WEBUI_SECRET_KEY": key,
        "OFFLINE_MODE": "true",
        "ANONYMIZED_TELEMETRY": "false",
        "DO_NOT_TRACK": "true",
        "SCARF_NO_ANALYTICS": "true",
        "ENABLE_OLLAMA_API": "false",
        "OPENAI_API_BASE_URL": url,
        "OPENAI_API_KEY": key,
        "ENABLE_FORWARD_USER_INFO_HEADERS": "true",
        "ENABLE_AUTOCOMPLETE_GENERATION": "true",
    }
