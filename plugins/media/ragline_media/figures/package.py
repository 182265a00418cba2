"""Parts of a file of an office program: a zip of XML that points to pictures."""

from __future__ import annotations

import io
import posixpath
from zipfile import BadZipFile, ZipFile

from lxml import etree

from rag.reading import ReadError

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


class Parts:
    """The parts of one file. Its text was read before, within bounds on what is unpacked; nothing of it is fetched.

    Raises:
        ReadError: it is no such file.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = ZipFile(io.BytesIO(data))
        except BadZipFile as cause:
            raise ReadError(f"no file of an office program: {cause}") from None

    def read(self, name: str) -> bytes:
        """The bytes of a part; none where it is absent or damaged."""
        try:
            return self._zip.read(name)
        except (KeyError, BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError, EOFError):
            return b""

    def tree(self, name: str) -> etree._Element:
        """A part as XML; an empty element where it is none."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
        try:
            return etree.fromstring(self.read(name), parser)
        except etree.XMLSyntaxError:
            return etree.Element("nothing")

    def targets(self, name: str) -> dict[str, str]:
        """Id -> name of each part inside the file that a part points to."""
        folder, file = posixpath.split(name)
        return {
            each.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/")
            for each in self.tree(f"{folder}/_rels/{file}.rels")
            if each.get("TargetMode") != "External"
        }


def text_of(element: etree._Element) -> str:
    """The words of a paragraph or a shape, of all runs below it; paragraphs as words apart."""
    paragraphs = (
        [element] if element.tag.endswith("}p") else [each for each in element.iter() if str(each.tag).endswith("}p")]
    )
    return " ".join(
        "".join(run.text or "" for run in each.iter() if str(run.tag).endswith("}t")) for each in paragraphs
    )


def alt_of(element: etree._Element) -> str:
    """What somebody wrote for those who do not see the picture."""
    return next((each.get("descr", "") for each in element.iter() if str(each.tag).endswith(("}docPr", "}cNvPr"))), "")
