"""For whoever opens an index by its address, adds a kind of leg, or keeps an index elsewhere than in a directory."""

from generators.llm.server_keys import key_for
from rag.models.packaged import PackagedModel
from rag.models.store import resolve
from rag.models.wheels import Wheel
from retrievers.analysis.multilingual import untagged
from retrievers.by_filter import by_filter
from retrievers.encoders.batches import of_like_length, unit
from retrievers.encoders.descriptions import folder_facts, require_same
from retrievers.encoders.sentence_encoder import SentenceEncoder
from retrievers.encoders.transformer import EncoderFolder
from retrievers.index import SERVERS
from retrievers.index.built import IndexServer, IndexWriter
from retrievers.index.contents import contents_of
from retrievers.index.directory import LocalIndex
from retrievers.index.documents import StoredDocuments, read_documents
from retrievers.index.fields import OF_CHUNKS, Field, fields_of
from retrievers.index.generations import newest_stamp
from retrievers.index.opened import OpenedIndex
from retrievers.index.opening import encoder_of, is_index, open_index
from retrievers.index.settings import IndexSettings
from retrievers.index_protocol import (
    ContentStore,
    HasGenerations,
    HasParts,
    Index,
    KeepsContents,
    is_labelled,
    let_through,
)
from retrievers.legs import LEGS
from retrievers.legs.best_documents import best_documents
from retrievers.legs.model_leg import ModelLeg, ModelLegKind
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
from retrievers.legs.rows_of_texts import RowsBefore, rows_of_texts
from retrievers.stores.arrays import load_array
from retrievers.stores.computed import Ragged
from retrievers.stores.hits import tied
from retrievers.stores.population import population_of
from retrievers.stores.reserved import reserved_array
from retrievers.stores.sparse_rows import SparseRows, SparseWriter
from retrievers.stores.sums import Sums

__all__ = [
    "LEGS",
    "OF_CHUNKS",
    "SERVERS",
    "AsVectors",
    "Built",
    "ContentStore",
    "EncoderFolder",
    "Field",
    "HasGenerations",
    "HasParts",
    "Index",
    "IndexServer",
    "IndexSettings",
    "IndexWriter",
    "Job",
    "KeepsContents",
    "LegKind",
    "LegMaker",
    "LegVectors",
    "LocalIndex",
    "ModelLeg",
    "ModelLegKind",
    "OpenedIndex",
    "Opening",
    "PackagedModel",
    "Ragged",
    "RowsBefore",
    "Sections",
    "SentenceEncoder",
    "Sparse",
    "SparseRows",
    "SparseWriter",
    "StoredDocuments",
    "Sums",
    "VectorsElsewhere",
    "Wheel",
    "best_documents",
    "by_filter",
    "contents_of",
    "encoder_of",
    "fields_of",
    "folder_facts",
    "is_index",
    "is_labelled",
    "key_for",
    "let_through",
    "load_array",
    "newest_stamp",
    "of_like_length",
    "open_index",
    "population_of",
    "read_documents",
    "require_same",
    "reserved_array",
    "resolve",
    "rows_of_texts",
    "tied",
    "unit",
    "untagged",
]
