"""For authors of readers of formats: what `parse` is given and gives, in the process that parses."""

from rag.core.contents import Content
from rag.ingest.types import Block, Kept, Note, ParsedDocument, ReadError

__all__ = ["Block", "Content", "Kept", "Note", "ParsedDocument", "ReadError"]
