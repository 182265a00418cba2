"""For authors of components that ask a model: what those of this house are made of."""

from generators.answering import mended, outcome_of, status_of, warn
from generators.cited import CitedGenerator
from generators.enough import log_odds
from generators.llm import LLMS
from generators.mending import Mender, Said
from rag.core.arguments import require_one_of, require_positive, require_share
from rag.core.completions import cached_tokens, choose_each, complete_each, usage_of, with_history
from rag.core.inputs import input_file
from rag.core.options import describe, takes
from rag.core.picked import picked_of, with_picked
from rag.core.powers import kept_forms, lacking, require_choosing
from rag.core.recipe import Recipe
from rag.core.replies import (
    folded,
    list_form,
    parse_code,
    parse_keywords,
    parse_list,
    parse_object,
    parse_passage,
    parse_question,
    parse_wordings,
    without_reasoning,
)
from rag.core.words import first_of, first_words, in_one_line, printed_line
from rag.ingest.sentences import sentences
from rag.models.chat import encode_prompt, encode_text
from rag.stages.checks.checker import REFUSAL, SentenceChecker, Unsupported, Weighed
from rag.stages.checks.claims import Claim, most_like
from rag.stages.cite import attribute, overlap, says, with_similarity
from rag.stages.markers import MARKER, without_markers
from rag.stages.passages import defused, numbered
from rag.stages.ruler import Ruler
from rag.stages.stretch import span_of
from rag.stages.transform.context import begins_document, with_line
from rag.stages.writing import Written, call_counts, require_sampling, write
from rag.stages.writing import warn as warn_of_queries
from rerankers.attention.every_head import EveryHead
from rerankers.attention.heads.head_sets import HeadSet, named_head_sets
from rerankers.attention.reading.weigh import standardised
from rerankers.forms import written
from rerankers.letters import in_place, whole_reply
from rerankers.pair_classifier import PairClassifier, ReadsPairs
from rerankers.passages import fitted, passage_text
from rerankers.permutation import parse_permutation
from rerankers.work import Work
from rerankers.work import warn as warn_of_calls
from retrievers.analysis.cjk import UNSPACED
from retrievers.rounds import Reading, Rounds, fitting, weighed

__all__ = [
    "LLMS",
    "MARKER",
    "REFUSAL",
    "UNSPACED",
    "CitedGenerator",
    "Claim",
    "EveryHead",
    "HeadSet",
    "Mender",
    "PairClassifier",
    "Reading",
    "ReadsPairs",
    "Recipe",
    "Rounds",
    "Ruler",
    "Said",
    "SentenceChecker",
    "Unsupported",
    "Weighed",
    "Work",
    "Written",
    "attribute",
    "begins_document",
    "cached_tokens",
    "call_counts",
    "choose_each",
    "complete_each",
    "defused",
    "describe",
    "encode_prompt",
    "encode_text",
    "first_of",
    "first_words",
    "fitted",
    "fitting",
    "folded",
    "in_one_line",
    "in_place",
    "input_file",
    "kept_forms",
    "lacking",
    "list_form",
    "log_odds",
    "mended",
    "most_like",
    "named_head_sets",
    "numbered",
    "outcome_of",
    "overlap",
    "parse_code",
    "parse_keywords",
    "parse_list",
    "parse_object",
    "parse_passage",
    "parse_permutation",
    "parse_question",
    "parse_wordings",
    "passage_text",
    "picked_of",
    "printed_line",
    "require_choosing",
    "require_one_of",
    "require_positive",
    "require_sampling",
    "require_share",
    "says",
    "sentences",
    "span_of",
    "standardised",
    "status_of",
    "takes",
    "usage_of",
    "warn",
    "warn_of_calls",
    "warn_of_queries",
    "weighed",
    "whole_reply",
    "with_history",
    "with_line",
    "with_picked",
    "with_similarity",
    "without_markers",
    "without_reasoning",
    "write",
    "written",
]
