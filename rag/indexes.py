"""For whoever opens an index by its address, adds a kind of leg, or keeps an index elsewhere than in a directory."""

from generators.llm.server_keys import key_for
from rag.core.vectors import unit
from retrievers.by_filter import by_filter
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.transformer import EncoderFolder
from retrievers.index import SERVERS
from retrievers.index.built import IndexServer, IndexWriter
from retrievers.index.directory import LocalIndex
from retrievers.index.documents import StoredDocuments, read_documents
from retrievers.index.fields import Field, fields_of
from retrievers.index.opened import OpenedIndex
from retrievers.index.opening import encoder_of, is_index, open_index
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import Index, is_labelled
from retrievers.legs import LEGS
from retrievers.legs.protocol import (
    AsVectors,
    Built,
    Job,
    LegKind,
    LegMaker,
    LegVectors,
    Opening,
    Sections,
    Sparse,
    VectorsElsewhere,
)

__all__ = [
    "LEGS",
    "SERVERS",
    "AsVectors",
    "Built",
    "EncoderFolder",
    "Field",
    "Index",
    "IndexServer",
    "IndexSettings",
    "IndexWriter",
    "Job",
    "LegKind",
    "LegMaker",
    "LegVectors",
    "LocalIndex",
    "OpenedIndex",
    "Opening",
    "Sections",
    "SentenceEncoder",
    "Sparse",
    "StoredDocuments",
    "VectorsElsewhere",
    "by_filter",
    "encoder_of",
    "fields_of",
    "is_index",
    "is_labelled",
    "key_for",
    "open_index",
    "read_documents",
    "unit",
]
