"""XML through lxml, hardened: no entity is put in, no document type is loaded, nothing is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.ingest.types import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_ENTITIES = "declares entities, which can hide other files or billions of characters"


def tree_of(data: bytes, *, doctype: bool = False) -> Element:
    """The root element.

    Args:
        doctype: whether a document type declaration may stand there, without entities in it.
    Raises:
        ReadError: not well-formed, too deep, or with a declaration that may not be there.
    """
    from lxml import etree

    if b"<!ENTITY" in data:  # before the parser sees them; in other encodings, after it
        raise ReadError(_ENTITIES)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as cause:
        raise ReadError(f"not well-formed XML: {str(cause)[:200]}") from None
    declared = root.getroottree().docinfo
    if declared.doctype and not doctype:
        raise ReadError("contains a document type declaration, which such files must not have")
    if declared.internalDTD is not None and next(iter(declared.internalDTD.iterentities()), None) is not None:
        raise ReadError(_ENTITIES)
    return root


def local(element: Element) -> str:
    """The name of an element without its namespace; empty for comments and instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
