"""`rag` as a command that is forked where all is imported that it needs: to do so anew takes ten times as long as the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FORKS = """
import importlib, json, os, sys
import rag.cli.check, rag.cli.doctor, rag.cli.index, rag.cli.search, rag.graph.check, rag.indexing, rag.pipeline, rag.stages

for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, name in enumerate(("out", "err"), start=1):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.path[1:1] = asked["environment"].get("PYTHONPATH", "").split(os.pathsep)
        sys.argv[1:] = asked["arguments"]
        code = 70
        try:
            from rag.cli import main

            code = main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """A process of nothing but imports, and what it is asked through; what a command says goes to a folder."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def rag(self, *arguments: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run the command, with its folder first where modules are looked for, as `python -m rag` has it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        said = {name: str(self._folder / name) for name in ("out", "err")}
        asked = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment), **said}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(Path(each).read_text() for each in said.values()))


@contextmanager
def forks(folder: Path, *modules: str) -> Iterator[Forks]:
    """Commands that say what they say in this folder. `modules`: what they import besides."""
    command = [sys.executable, "-c", FORKS, *modules]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forks(process, folder)
