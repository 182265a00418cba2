"""Results of a long benchmark, one JSON line each, added as they come: a run that was killed goes on where it was.

A line keeps its commit, its machine, and digests of what it was made with (`Setup`). It is taken up again only where
settings and digests agree: a changed prompt is asked again. The commit is told and not compared, so that one of docs throws
nothing away.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

from benchmarks.record import commit, machine
from rag.core.digests import data_sha256, text_sha256
from rag.core.inputs import Inputs, noted
from rag.graph.build import Graph
from rag.graph.checked import Made
from rag.graph.kinds import TABLES
from rag.graph.making import NotKnown, Unmade
from rag.graph.signature import REQUIRED, signature
from rag.graph.spec import Spec
from rag.models import home
from rag.models.hashes import remembered_sha256
from rag.models.identity import named_weights
from rag.pipeline.identity import graph_identity

Line = dict[str, Any]

_DIGITS = 16
_WEIGHTS = ("model", "checkpoint", "encoder")
"""Parameters that name weights."""


class Component:
    """A component that a benchmark makes by hand: its class and its parameters.

    A parameter may be a file, another component, or a part as graphs have it, such as `benchmarks.graphs.llm_part`.
    """

    def __init__(self, kind: Callable[..., Any], /, **params: Any) -> None:
        self.kind, self.params = kind, params

    def __str__(self) -> str:
        return _words(self.kind.__name__, self.params)

    def make(self, **given: Any) -> Any:
        """The component. `given`: what it gets in place of its parameters or beside them, such as a model that is shared.

        Components that are its parameters get it too.
        """
        made = {name: _made(value, given) for name, value in self.params.items() if name not in given}
        return self.kind(**made, **given)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What lines are made with: settings in words, and digests of components, prompts and data.

    Of a component count its class, its parameters, the weights and files that they name, and the source files of its class
    and of the classes that it derives from; of what a benchmark defines, the definition. Of a built graph the same of all
    its parts, and how they are joined. Prompts and shots are those that are loaded while a component is made.

    Not covered: what a class imports or calls, so for a change there another work file is wanted; libraries; what a benchmark
    does with a result; an index beyond its data and what the graph says of it; models that no parameter names, a .gguf file
    beyond its name, and what is served at an address.
    """

    settings: str
    component: str
    prompts: str
    data: str

    @classmethod
    def of(cls, *parts: Any, data: Iterable[Path] = (), settings: str = "") -> Self:
        """The setup of lines that these parts make: built graphs, components, functions, and graphs or nodes as plain data.

        Of a graph that is not built the prompts are not read: it is for searches.

        Args:
            data: files and folders of the data sets.
            settings: in words; default: components, and those of graphs, with the parameters that they are given.
        """
        inputs = _inputs(parts)
        return cls(
            settings=settings or "; ".join(_word(part) for part in parts if not isinstance(part, Mapping | Spec)),
            component=_digest([_told(parts), _contents(inputs.files)]),
            prompts=_digest(inputs.prompts),
            data=_digest(_contents(data)),
        )

    @classmethod
    def of_line(cls, line: Line) -> Self:
        return cls(settings=line["settings"], **line["digests"])

    @property
    def facts(self) -> dict[str, Any]:
        """As a line has it."""
        return {
            "settings": self.settings,
            "digests": {"component": self.component, "prompts": self.prompts, "data": self.data},
        }


class Work:
    """Lines by method, set, query and setup; a later line replaces an earlier one of the same four.

    Lines that do not say what made them, as those of before, are passed over. Seconds are of one machine, that of the last
    line (`timed_on`): lines of others are handed out with `elsewhere`. `busy`: other programs run beside this, so seconds
    are no figure: the lines that are added say so.
    """

    def __init__(self, path: Path, *, busy: bool = False) -> None:
        self._path, self._busy = path, busy
        lines = list(self._lines())
        known = [line for line in lines if line.keys() >= {"settings", "digests", "commit", "machine"}]
        if len(known) < len(lines):
            _tell(path, f"{len(lines) - len(known)} lines that do not say what made them are passed over")
        self._done = {_key(line): line for line in known}
        self.timed_on: dict[str, Any] | None = known[-1]["machine"] if known else None

    @cached_property
    def _origin(self) -> dict[str, Any]:
        return {"commit": commit(), "machine": machine()}

    def get(self, method: str, name: str, qid: str, setup: Setup) -> Line | None:
        line = self._done.get((method, name, qid, setup))
        return None if line is None else self._given(line)

    def of(self, method: str, name: str, setup: Setup) -> list[Line]:
        """All lines of a method on a set, in the order in which their queries were first done."""
        return [self._given(line) for key, line in self._done.items() if key[:2] == (method, name) and key[3] == setup]

    def every(self, method: str, name: str) -> list[Line]:
        """The same, whatever the setup."""
        return [self._given(line) for key, line in self._done.items() if key[:2] == (method, name)]

    def latest(self, method: str, name: str, settings: str | None = None) -> list[Line]:
        """The same, of the setup that the method was last run with on the set, or last with these settings."""
        setups = [key[3] for key in self._done if key[:2] == (method, name) and settings in (None, key[3].settings)]
        return self.of(method, name, setups[-1]) if setups else []

    @property
    def methods(self) -> list[str]:
        """Those that have lines, in order of their first one."""
        return list(dict.fromkeys(key[0] for key in self._done))

    def add(self, line: Line, setup: Setup) -> None:
        """Keep a line: its method, set and qid, and what was found."""
        line = {**line, **setup.facts, **self._origin, **({"busy": True} if self._busy else {})}
        self._done[_key(line)], self.timed_on = line, line["machine"]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        start = "\n" if self._ends_within_a_line() else ""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"{start}{json.dumps(line)}\n")

    def _given(self, line: Line) -> Line:
        if line["machine"] == self.timed_on:
            return line
        if "seconds" in line:
            _tell(self._path, "seconds of lines of another machine, or other versions of libraries, do not count")
        return {**line, "elsewhere": True}

    def _ends_within_a_line(self) -> bool:
        """Whether a kill cut the last line off: what follows must not be glued to it."""
        if not self._path.is_file() or not self._path.stat().st_size:
            return False
        with self._path.open("rb") as stream:
            stream.seek(-1, 2)
            return stream.read(1) != b"\n"

    def _lines(self) -> Iterator[Line]:
        if not self._path.is_file():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # a line that a kill cut off; its query is asked again
            yield line


def timed(lines: Iterable[Line]) -> list[float]:
    """The seconds that are a figure: of one machine, which had nothing else to do."""
    return [line["seconds"] for line in lines if not (line.get("busy") or line.get("elsewhere"))]


@cache
def _tell(path: Path, message: str) -> None:
    """Once for a file."""
    print(f"{path.name}: {message}", file=sys.stderr, flush=True)


def _key(line: Line) -> tuple[str, str, str, Setup]:
    return line["method"], line["set"], line["qid"], Setup.of_line(line)


def _digest(content: Any) -> str:
    return data_sha256(content)[:_DIGITS]


def _contents(paths: Iterable[Path]) -> list[list[str]]:
    """Name and sha256 of files, and of all files of folders; the digests are remembered, for data are large."""
    found = {
        file.relative_to(path.parent).as_posix(): file
        for path in paths
        for file in (path.rglob("*") if path.is_dir() else [path])
        if not file.is_dir()
    }
    names = sorted(found)
    digests = remembered_sha256([found[name] for name in names], home())
    return [[name, digest] for name, digest in zip(names, digests, strict=True)]


def _told(value: Any) -> Any:
    """What a part or parameter is, as plain data."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return _contents([value])
    if isinstance(value, Graph):
        return [graph_identity(value), [_source(type(facts.part)) for facts in _facts(value.facts.values())]]
    if isinstance(value, Component):
        return [_source(value.kind), _told(value.params), _weights(value.params)]
    if isinstance(value, Spec):
        return _told(value.graph.model_dump(mode="json", by_alias=True))
    if isinstance(value, Mapping):
        told = {str(name): _told(each) for name, each in value.items()}
        return told if "use" not in value else [told, _source(kind_of(value["use"])), _weights(value.get("with", {}))]
    return _source(value) if callable(value) else [_told(each) for each in value]


def _facts(made: Iterable[Made]) -> Iterator[Made]:
    for facts in made:
        yield facts
        yield from _facts(facts.inline)


def _inputs(parts: Iterable[Any]) -> Inputs:
    """The prompts that parts load, and the files that components read, while they are made.

    A component is made once for it, with stand-ins for the model, the index and the search that it would be given.
    """
    found = Inputs()
    for part in parts:
        if isinstance(part, Graph):
            for facts in _facts(part.facts.values()):
                found.prompts |= facts.prompts
        elif isinstance(part, Component) and isinstance(part.kind, type):
            own = {name for name, value in part.params.items() if isinstance(value, Component)}
            given = [p for p in signature(part.kind, None).params if p.resource and p.name not in own]
            needed = [param.name for param in given if param.default is REQUIRED or param.name in part.params]
            with noted() as inputs, suppress(NotKnown):
                part.make(**{name: Unmade() for name in needed})
            found.prompts |= inputs.prompts
            found.files += inputs.files
    return found


def _source(kind: Any) -> dict[str, str]:
    """Name of a class or function -> digest of its text; of a class with the classes that it derives from."""
    kinds = [
        each
        for each in getattr(kind, "__mro__", (kind,))
        if each.__module__.partition(".")[0] not in sys.stdlib_module_names and not getattr(each, "_is_protocol", False)
    ]
    return {each.__qualname__: text_sha256(_text(each)) for each in kinds}


def _text(kind: Any) -> str:
    """The whole file; of what a benchmark defines, the definition alone: the file holds its tables too."""
    of_benchmark = {"__main__", "benchmarks"} & {*kind.__module__.split(".")}
    return inspect.getsource(kind if of_benchmark else sys.modules[kind.__module__])


def _weights(params: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for name in _WEIGHTS if isinstance(params.get(name), str)]
    return {name: named_weights(params[name], params.get("revision")) for name in names}


def kind_of(use: str) -> type[Any]:
    """The class of a component as graphs name it, such as fuse.rrf; a bare name is of a transform of an index."""
    stage, _, name = use.rpartition(".")
    return TABLES[stage or "transform"][0].get(name)


def _made(value: Any, given: Mapping[str, Any]) -> Any:
    """A parameter as the class takes it."""
    if isinstance(value, Component):
        return value.make(**{name: each for name, each in given.items() if name in value.params})
    if isinstance(value, Mapping) and "use" in value:
        return kind_of(value["use"])(**value.get("with", {}))
    return str(value) if isinstance(value, Path) else value


def _word(value: Any) -> str:
    if isinstance(value, Graph):
        spec = value.spec.graph
        bodies = [spec.models, *(inner.nodes for inner in spec.graphs.values()), spec.nodes]
        return "; ".join(_words(part.use, part.params) for body in bodies for part in body.values())
    return value.name if isinstance(value, Path) else str(getattr(value, "__name__", value))


def _words(name: str, params: Mapping[str, Any]) -> str:
    return f"{name} {json.dumps(params, sort_keys=True, default=_word)}" if params else name
