"""For whoever keeps files: written whole or not at all, held by one process, lines that survive a kill, and digests."""

from rag.asked import LONGEST_COMMENT, Entry, QuestionLog, UnknownEntry
from rag.core.database import Database, Form, storable
from rag.core.digests import data_sha256, file_sha256, text_sha256
from rag.core.files import write_atomically, write_pieces_atomically
from rag.core.held_folder import held, require_writable, unwritable
from rag.core.lines import numbered, records
from rag.core.progress import Progress, silent
from rag.core.yaml_source import Source, parse_yaml
from rag.models import home
from rag.pipeline.commit_log import CommitLog

__all__ = [
    "LONGEST_COMMENT",
    "CommitLog",
    "Database",
    "Entry",
    "Form",
    "Progress",
    "QuestionLog",
    "Source",
    "UnknownEntry",
    "data_sha256",
    "file_sha256",
    "held",
    "home",
    "numbered",
    "parse_yaml",
    "records",
    "require_writable",
    "silent",
    "storable",
    "text_sha256",
    "unwritable",
    "write_atomically",
    "write_pieces_atomically",
]
