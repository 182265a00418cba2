"""Every error that ragline raises on purpose.

    RagError
    ├── SpecError            a graph, a parameter or a command line is wrong           exit 2
    │   └── UnknownComponent a name that no registry knows                             exit 2
    ├── MissingDependency    a library is absent or shadowed (also an ImportError)     exit 3
    ├── MissingModel         a model folder or file is not there                       exit 3
    ├── IndexProblem         an index is absent, damaged or of another format          exit 4
    │   ├── IndexMismatch    an index was built another way than it is asked to serve  exit 4
    │   ├── NewerIndex       an index is of a newer version's format                   exit 4
    │   └── IndexBusy        another process builds the index                          exit 4
    ├── IngestError          one source file cannot be read                            exit 2
    ├── ContractError        a component broke its protocol                            exit 5
    └── StageError           a node failed on an item; wraps the cause                 exit 5

A message says where, what, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rag.core.words import first_of

NO_INDEX = 'no index. Give --index DIR (index= in Python), set RAGLINE_INDEX, or write index = "DIR" into ragline.toml'
"""What whoever names no index is told, wherever that shows."""


class RagError(Exception):
    """Base of all errors above. `exit_code` is what the `rag` command returns for it."""

    exit_code = 5


class SpecError(RagError):
    """A graph, a parameter or a command line is wrong. `problems` lists all that was found, not the first."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class UnknownComponent(SpecError):
    """A name that no registry knows."""


class MissingDependency(RagError, ImportError):
    """A library is absent, or a foreign package hides one of ours."""

    exit_code = 3


class MissingModel(RagError):
    """A model folder, or a file in it, is not there and may not or cannot be fetched."""

    exit_code = 3


class IndexProblem(RagError):
    """An index is absent, damaged, or of a format that this version cannot read."""

    exit_code = 4


class NewerIndex(IndexProblem):
    """An index of a format that only a newer version reads. Nothing is wrong with it."""


class IndexMismatch(IndexProblem):
    """An index was built another way than the graph asks for."""


class IndexBusy(IndexProblem):
    """Another process builds the index; once it is done, the same can be tried again."""


class NoRoom(IndexProblem):
    """The disk is full; the index is as it was, and once there is room the same can be tried again."""


class IngestError(RagError):
    """One source file cannot be read; the others still are."""

    exit_code = 2


class ContractError(RagError):
    """A component broke the protocol of its stage."""


class StageError(RagError):
    """A node failed on an item. The cause is chained."""

    def __init__(self, message: str, *, node: str = "", qid: str = "") -> None:
        self.node, self.qid = node, qid
        super().__init__(message)


MOST_NAMES = 60
"""Known names that a message lists."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known names, and all of them; of very many, the first.

    >>> did_you_mean("listwize", ["identity", "listwise"])
    "Did you mean 'listwise'? Known: identity, listwise."
    >>> did_you_mean("smolm2", ["smollm2-135m-instruct"])
    "Did you mean 'smollm2-135m-instruct'? Known: smollm2-135m-instruct."
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if not near:  # perhaps the beginning of a long one
        beginnings = {each[: len(name) + 1]: each for each in reversed(names)}
        near = [beginnings[each] for each in difflib.get_close_matches(name, beginnings, n=2, cutoff=0.8)]
    hint = f"Did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return f"{hint}Known: {first_of(names, MOST_NAMES) or 'none'}."
