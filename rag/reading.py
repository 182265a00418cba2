"""For authors of readers of formats: what `parse` is given and gives, in the process that parses."""

from rag.core.contents import Content
from rag.ingest.office import Package, attribute, relation
from rag.ingest.read import Reader
from rag.ingest.types import Beside, Block, ContentReader, Kept, Note, ParsedDocument, ReadError
from rag.ingest.xml_tree import local

__all__ = [
    "Beside",
    "Block",
    "Content",
    "ContentReader",
    "Kept",
    "Note",
    "Package",
    "ParsedDocument",
    "ReadError",
    "Reader",
    "attribute",
    "local",
    "relation",
]
