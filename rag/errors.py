"""What goes wrong, by its short name: every error has words for a person, and an exit code."""

from rag.core.errors import (
    ContractError,
    IndexMismatch,
    IndexProblem,
    MissingDependency,
    MissingModel,
    NoRoom,
    RagError,
    SpecError,
    StageError,
    did_you_mean,
)
from rag.core.optional import need

__all__ = [
    "ContractError",
    "IndexMismatch",
    "IndexProblem",
    "MissingDependency",
    "MissingModel",
    "NoRoom",
    "RagError",
    "SpecError",
    "StageError",
    "did_you_mean",
    "need",
]
