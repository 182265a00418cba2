"""For authors of doors: how a program outside asks an index and its graphs, and what it is told."""

from rag.core.content_forms import CONTENTS, in_words, inside
from rag.core.content_forms import read as content_of_request
from rag.core.registry import Registry
from rag.core.run_folder import graph_key, socket_of
from rag.core.side_thread import Reader
from rag.erasure.erased_documents import Leaving
from rag.erasure.places import DatabaseKeeper
from rag.indexing import IndexReport
from rag.indexing.publish import disk_is_full
from rag.ingest import is_file_name
from rag.ingest.common_words import seeming_language
from rag.ingest.language import code_of
from rag.pipeline.as_json import (
    answer_json,
    citation_json,
    contents_json,
    hit_json,
    hits_json,
    near_json,
    outcome_json,
    position_json,
    ranking_json,
    read_json,
    verdict_json,
)
from rag.pipeline.facets import MOST_FIELDS, facets_json
from rag.pipeline.load import successor
from rag.pipeline.memory_plan import require_room_together
from rag.pipeline.plain_results import Wanted
from rag.pipeline.plain_results import told as reply_events
from rag.pipeline.snippets import terms_of
from rag.pipeline.streaming import AnswerStream
from rag.pipeline.turns import (
    LONGEST_TOKEN,
    answering_llm,
    count_tokens,
    history_budget,
    latest_turns,
    tokens_left,
)
from rag.stages.cite import claim_of, support

__all__ = [
    "CONTENTS",
    "LONGEST_TOKEN",
    "MOST_FIELDS",
    "AnswerStream",
    "DatabaseKeeper",
    "IndexReport",
    "Leaving",
    "Reader",
    "Registry",
    "Wanted",
    "answer_json",
    "answering_llm",
    "citation_json",
    "claim_of",
    "code_of",
    "content_of_request",
    "contents_json",
    "count_tokens",
    "disk_is_full",
    "facets_json",
    "graph_key",
    "history_budget",
    "hit_json",
    "hits_json",
    "in_words",
    "inside",
    "is_file_name",
    "latest_turns",
    "near_json",
    "outcome_json",
    "position_json",
    "ranking_json",
    "read_json",
    "reply_events",
    "require_room_together",
    "seeming_language",
    "socket_of",
    "successor",
    "support",
    "terms_of",
    "tokens_left",
    "verdict_json",
]
