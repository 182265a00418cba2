"""What the formats of office programs share: a zip of XML parts that point to each other."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from rag.ingest.types import DEFAULT_LIMITS, ReadError
from rag.ingest.unpack import opened_zip
from rag.ingest.xml_tree import local, tree_of

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

COMPOUND = bytes.fromhex("d0cf11e0")  # what files of before 2007 and encrypted ones begin with


class Package:
    """The parts of one file.

    Raises:
        ReadError: not such a file, encrypted, or a bomb.
    """

    def __init__(self, data: bytes) -> None:
        if data.startswith(COMPOUND):
            raise ReadError("encrypted, or of before 2007; save it in the format of its suffix, without a password")
        self._archive = opened_zip(data, DEFAULT_LIMITS)
        self.names = frozenset(self._archive.namelist())

    def read(self, name: str) -> bytes:
        """A part's bytes.

        Raises:
            ReadError: it is absent, damaged or encrypted.
        """
        if name not in self.names:
            raise ReadError(f"not what its name says, or damaged: it has no {name[:80]}")
        try:
            return self._archive.read(name)
        except (BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError, ValueError) as cause:
            raise ReadError(f"{name[:80]} in it cannot be unpacked: {str(cause)[:120]}") from None

    def tree(self, name: str, *, doctype: bool = False) -> Element:
        """A part's XML."""
        return tree_of(self.read(name), doctype=doctype)

    def targets(self, name: str) -> dict[str, str]:
        """Id -> part, of what a part of an OOXML file points to inside the package."""
        folder, file = posixpath.split(name)
        listing = f"{folder}/_rels/{file}.rels"
        if listing not in self.names:
            return {}
        return {
            each.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/")
            for each in self.tree(listing)
            if each.get("TargetMode") != "External"
        }


def below(element: Element, *names: str) -> Iterator[Element]:
    """Elements of these names anywhere below, in order."""
    return (each for each in element.iterdescendants() if local(each) in names)


def outermost(element: Element, *names: str) -> Iterator[Element]:
    """The same without those that stand within another of them, so that no text is met twice."""
    todo = [*reversed(element)]
    while todo:
        each = todo.pop()
        if local(each) in names:
            yield each
        else:
            todo.extend(reversed(each))


def first(element: Element, name: str) -> Element | None:
    """The first one below."""
    return next(below(element, name), None)


def attribute(element: Element, name: str) -> str:
    """An attribute by its name without the namespace; empty where it is absent."""
    return next((str(value) for key, value in element.attrib.items() if str(key).rpartition("}")[2] == name), "")


def relation(element: Element) -> str:
    """The id by which an element of an OOXML file points to another part."""
    return next((str(value) for key, value in element.attrib.items() if str(key).endswith("relationships}id")), "")
