"""How many answers a kill at the third question of twenty loses: `rag batch` with a real model, by llama.cpp.

    python -m benchmarks.killed_batch

The index is this repository's own guide. The run is killed by SIGKILL as soon as the engine has written its third answer;
then `--resume` does the rest.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rag.batch.folder import ANSWERS
from rag.indexing import build_index

N_QUESTIONS, AT = 20, 3
GRAPH = {
    "version": 1,
    "models": {"small": {"use": "llm.llama_cpp", "with": {"model": "smollm2-135m-instruct", "context_window": 2048}}},
    "nodes": {
        "bm25": {"use": "retrieve.bm25", "in": "query", "k": 3},
        "context": {"use": "assemble.token_budget", "in": "bm25", "with": {"llm": "small", "max_tokens": 800}},
        "answer": {"use": "generate.cited", "in": "context", "with": {"llm": "small", "max_tokens": 128}},
    },
    "output": "answer",
}
COUNTED = """
import sys
from generators.llm.llama_engine import LlamaEngine
from rag.cli import main
write = LlamaEngine.write
def counted(self, *arguments, **more):
    completion = write(self, *arguments, **more)
    print("written", flush=True)
    return completion
LlamaEngine.write = counted
sys.exit(main(sys.argv[1:]))
"""


def main() -> None:
    """Print what was on the disk after the kill, and after the run that went on."""
    pages = sorted(Path("docs").glob("*.md"))
    with tempfile.TemporaryDirectory() as folder:
        index, graph, questions, out = (Path(folder, name) for name in ("idx", "g.yaml", "q.jsonl", "out"))
        build_index(pages, index, legs=("lexical",))
        graph.write_text(json.dumps(GRAPH))
        asked = [{"id": page.stem, "question": f"What is said of {page.stem}?"} for page in pages[:N_QUESTIONS]]
        questions.write_text("".join(json.dumps(line) + "\n" for line in asked))
        command = ["batch", str(questions), "--graph", str(graph), "--index", str(index), "--out", str(out)]
        begun = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", COUNTED, *command], stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            for _ in range(AT):
                run.stdout.readline()
            os.kill(run.pid, signal.SIGKILL)
        kept = len(_ids(out))
        print(
            f"killed after {time.perf_counter() - begun:.1f} s with {AT} answers written: {kept} kept, {AT - kept} lost"
        )
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rag", *command, "--resume"], check=True)
        ids = _ids(out)
        print(f"resumed for {time.perf_counter() - begun:.1f} s: {len(ids)} lines, {len(set(ids))} questions")


def _ids(out: Path) -> list[str]:
    whole = (out / ANSWERS).read_text().split("\n")[:-1] if (out / ANSWERS).exists() else []
    return [json.loads(line)["id"] for line in whole]


if __name__ == "__main__":
    main()
