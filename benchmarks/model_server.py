"""`--model` and `--url` of benchmarks: a model behind a server, in the place of the engine that a benchmark names.

What is asked at the address is any server with OpenAI's wire, as `llm.server` reads it. Where the model is served is no part
of what lines say or are made with: on another port, or another machine, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from generators.llm import LLMS
from generators.llm.server import ServerLLM
from generators.llm.server_keys import variable_for
from rag.core.connecting import NotAsked
from rag.core.errors import SpecError

URL = "RAGLINE_BENCH_URL"
"""The environment variable that holds the address, for a benchmark and for those that it starts."""

NAME = "served"


class ServedLLM(ServerLLM):
    """The model of this name at the address of `--url`. A key goes there if the operator allows it (`RAGLINE_API_KEYS`).

    What it can do it asks its server, so a part that is made for what the server has no word for says so at once; while a
    graph is only looked at nothing is asked, and such a part says it at its first call.
    """

    def __init__(self, *, model: str) -> None:
        url = served_at()
        if not url:
            raise SpecError(f"llm.{NAME}: no address; give the benchmark --url, such as http://localhost:8000/v1")
        super().__init__(model=model, url=url, api_key_variable=variable_for(url))

    @property
    def lacks(self) -> dict[str, str]:
        """Scoring and choosing, where the server is not vLLM."""
        try:
            return dict.fromkeys(("score", "choose"), "its server is not vLLM") if self.dialect == "openai" else {}
        except NotAsked:
            return {}

    @property
    def may_lack(self) -> dict[str, str]:
        """Nothing that is worth a note: `lacks` asks."""
        return {}

    def forget_prefixes(self) -> None:
        """What is kept of earlier prompts is the server's own affair."""

    def release(self) -> None:
        """Let go of the connections, as an engine of its memory."""
        self.close()

    def signature(self) -> dict[str, str]:
        """Its name alone."""
        return {name: said for name, said in super().signature().items() if name != "url"}


class Url(argparse.Action):
    """`--url`: kept in the environment, where parts of graphs find it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: Any,
        values: str | Sequence[Any] | None,
        option: str | None = None,
    ) -> None:
        os.environ[URL] = str(values)
        setattr(namespace, self.dest, values)


def served_at() -> str | None:
    """The address of `--url`; None where there is none."""
    return os.environ.get(URL)


def served_part(model: str) -> dict[str, Any]:
    """The served model, as a part of a graph. It is no component until a benchmark wants it: no table of them lists it."""
    if NAME not in LLMS:
        LLMS.add(NAME, ServedLLM)
    return {"use": f"llm.{NAME}", "with": {"model": model}}


def add_model(parser: argparse.ArgumentParser, *, default: str | None, help: str | None = None) -> None:
    """`--model NAME`, and `--url URL` for one that a server has."""
    parser.add_argument("--model", default=default, help=help or "a packaged name, a .gguf file, or a name at --url")
    parser.add_argument("--url", action=Url, help="a server that has the model, such as http://localhost:8000/v1")
