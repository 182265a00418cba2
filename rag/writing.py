"""For authors of components that ask a model: what generators, checks and reformulators of this house are made of."""

from generators.answering import status_of, warn
from rag.core.arguments import require_one_of, require_positive
from rag.core.picked import picked_of, with_picked
from rag.core.powers import kept_forms, require_choosing
from rag.core.replies import folded, list_form, parse_list, parse_question, without_reasoning
from rag.core.words import first_words, in_one_line
from rag.ingest.sentences import sentences
from rag.stages.cite import attribute
from rag.stages.passages import defused
from rag.stages.writing import require_sampling, write

__all__ = [
    "attribute",
    "defused",
    "first_words",
    "folded",
    "in_one_line",
    "kept_forms",
    "list_form",
    "parse_list",
    "parse_question",
    "picked_of",
    "require_choosing",
    "require_one_of",
    "require_positive",
    "require_sampling",
    "sentences",
    "status_of",
    "warn",
    "with_picked",
    "without_reasoning",
    "write",
]
