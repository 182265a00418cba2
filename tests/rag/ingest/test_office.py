"""Files of office programs, put together part by part as those programs do, and hostile ones."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rag.core.errors import IngestError
from rag.ingest import ParsedDocument, Problem, Reader, SourceFile
from tests.rag.ingest.alone import read

At = Callable[..., SourceFile]
REL = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = f'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" {A} {REL}'
X = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" {REL}'


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def relations(**targets: str) -> str:
    items = "".join(f'<Relationship Id="{key}" Type="t" Target="{target}"/>' for key, target in targets.items())
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{items}</Relationships>'
    )


def outline(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(" > ".join(block.headings), document.text[block.start : block.end]) for block in document.blocks]


def deck() -> dict[str, str | bytes]:
    def shape(kind: str, *lines: str) -> str:
        text = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in lines)
        return f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{text}</p:txBody></p:sp>'

    def row(*cells: str) -> str:
        inner = "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:txBody></a:tc>" for cell in cells)
        return f"<a:tr>{inner}</a:tr>"

    table = f'<a:tbl><a:tblPr firstRow="1"/>{row("Part", "Price")}{row("Rim", "9")}{row("Hub", "7")}</a:tbl>'
    slide = f"<p:sld {P}>{{}}</p:sld>"
    return {
        "ppt/presentation.xml": f'<p:presentation {P}><p:sldIdLst><p:sldId id="256" r:id="rId2"/>'
        '<p:sldId id="257" r:id="rId1"/></p:sldIdLst></p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations(rId1="slides/slide1.xml", rId2="/ppt/slides/slide2.xml"),
        "ppt/slides/slide1.xml": slide.format(shape("body", "Alone.") + table),
        "ppt/slides/slide2.xml": slide.format(
            shape("body", "First", "Second") + shape("title", "Wheels") + shape("sldNum", "1")
        ),
        "ppt/slides/_rels/slide2.xml.rels": relations(rId1="../notesSlides/notesSlide1.xml"),
        "ppt/notesSlides/notesSlide1.xml": f"<p:notes {P}>{shape('body', 'Say hello.')}{shape('sldNum', '1')}</p:notes>",
        "docProps/core.xml": '<c xmlns:dc="urn:dc"><dc:title>The deck</dc:title></c>',
    }


def book(sheet: str) -> dict[str, str | bytes]:
    return {
        "xl/workbook.xml": f'<workbook {X}><sheets><sheet name="Shop" sheetId="1" r:id="rId1"/>'
        '<sheet name="Plot" sheetId="2" r:id="rId2"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(rId1="worksheets/sheet1.xml", rId2="chartsheets/sheet1.xml"),
        "xl/sharedStrings.xml": f"<sst {X}><si><t>Name</t></si><si><r><t>Be</t></r><r><t>ll</t></r></si></sst>",
        "xl/styles.xml": f'<styleSheet {X}><numFmts><numFmt numFmtId="164" formatCode="[Red]yyyy"/></numFmts><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f"<worksheet {X}><sheetData>{sheet}</sheetData></worksheet>",
    }


SHEET = """<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="inlineStr"><is><t>Since</t></is></c></row>
<row r="2"/>
<row r="3"><c r="A3" t="s"><v>1</v></c><c r="B3"><v>0.30000000000000004</v></c><c r="C3" s="1"><v>45000</v></c></row>
<row r="4"><c r="A4" t="b"><v>1</v></c><c r="C4" s="2"><v>45000.5</v></c><c r="XFD4" t="str"><v>far</v></c></row>
<row r="5"><c r="A5" t="s"><v>99</v></c><c r="C5" s="1"><v>1e300</v></c></row>"""

ODT = """<office:document-content xmlns:office="urn:o" xmlns:text="urn:t" xmlns:table="urn:b"><office:body><office:text>
<text:tracked-changes>never</text:tracked-changes>
<text:h text:outline-level="1">Wheels</text:h><text:p>Two<text:s text:c="2"/>spaces<text:tab/>tab<text:line-break/>line
<text:span>span <text:a>link</text:a></text:span> end<office:annotation>never</office:annotation>.</text:p>
<text:list><text:list-item><text:p>one</text:p></text:list-item><text:list-item><text:p>two</text:p></text:list-item>
</text:list><table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>Part</text:p>
</table:table-cell></table:table-row></table:table-header-rows><table:table-row><table:table-cell><text:p>Rim</text:p>
</table:table-cell></table:table-row></table:table></office:text></office:body></office:document-content>"""


def epub(*, pages: str = "") -> dict[str, str | bytes]:
    return {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OEBPS/b.opf"/></rootfiles></container>',
        "OEBPS/b.opf": '<package xmlns:dc="urn:dc"><metadata><dc:title>On wheels</dc:title><dc:creator>Ann</dc:creator>'
        '</metadata><manifest><item id="2" href="b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="1" href="text/a%20b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="3" href="../../../../etc/passwd" media-type="text/html"/></manifest><spine><itemref idref="1"/>'
        f'<itemref idref="2"/><itemref idref="3"/>{pages}</spine></package>',
        "OEBPS/text/a b.xhtml": "<html><body><h1>Rims</h1><p>Round.</p><aside><p>A note.</p></aside></body></html>",
        "OEBPS/b.xhtml": "<html><body><h1>Hubs</h1><p>Greased.</p></body></html>",
    }


@pytest.fixture
def parsed(tmp_path: Path, reader: Reader, at: At) -> Callable[[str, bytes], ParsedDocument]:
    def run(name: str, data: bytes) -> ParsedDocument:
        (tmp_path / name).write_bytes(data)
        (document,) = reader.read(at(tmp_path / name))
        return document

    return run


Parsed = Callable[[str, bytes], ParsedDocument]


def test_powerpoint(parsed: Parsed) -> None:
    document = parsed("a.pptx", packed(deck()))
    assert document.title == "The deck"
    assert outline(document) == [
        ("Wheels", "Wheels"),
        ("Wheels", "- First"),
        ("Wheels", "- Second"),
        ("Wheels", "Say hello."),
        ("Slide 2", "Alone."),
        ("Slide 2", "Part: Rim; Price: 9\nPart: Hub; Price: 7"),
    ]
    assert [block.page for block in document.blocks] == [1, 1, 1, 1, 2, 2]


def test_excel(parsed: Parsed) -> None:
    document = parsed("shop.xlsx", packed(book(SHEET)))
    assert document.title == "Shop"
    (_, (section, rows)) = outline(document)
    assert section == "Shop"
    assert rows.split("\n") == [
        "Name: Bell; 0.3; Since: 2023-03-15",
        "Name: TRUE; Since: 2023-03-15 12:00:00; far",
        "Since: 1e300",
    ]


def test_a_sheet_without_names_or_with_names_alone_is_kept(parsed: Parsed) -> None:
    numbers = '<row r="1"><c r="A1"><v>1</v></c><c r="B1"><v>2</v></c></row>'
    assert parsed("a.xlsx", packed(book(numbers))).text == "Shop\n\n1 | 2"
    texts = '<row r="1"><c t="inlineStr"><is><t>a</t></is></c><c t="inlineStr"><is><t>b</t></is></c></row>'
    assert parsed("a.xlsx", packed(book(texts))).text == "Shop\n\na | b"


def test_opendocument(parsed: Parsed) -> None:
    parts = {"content.xml": ODT, "meta.xml": "<m><title>Book</title></m>"}
    document = parsed("a.odt", packed(parts))
    assert document.title == "Book"
    assert outline(document) == [
        ("Wheels", "Wheels"),
        ("Wheels", "Two  spaces\ttab\nline\nspan link end."),
        ("Wheels", "- one"),
        ("Wheels", "- two"),
        ("Wheels", "Part: Rim"),
    ]


TITLE = ' presentation:class="title"'


def test_slides_of_opendocument(parsed: Parsed) -> None:
    def slide(title: str, text: str) -> str:
        box = "<draw:frame{}><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"
        return f"<draw:page>{box.format(TITLE, title)}{box.format('', text)}</draw:page>"

    names = " ".join(f'xmlns:{name}="{name}"' for name in ("office", "draw", "text", "presentation"))
    slides = slide("Wheels", "Rims are round.") + slide("Hubs", "Grease them.")
    shown = f"<office:body><office:presentation>{slides}</office:presentation></office:body>"
    document = parsed(
        "a.odp", packed({"content.xml": f"<office:document-content {names}>{shown}</office:document-content>"})
    )
    assert outline(document) == [
        ("Wheels", "Wheels"),
        ("Wheels", "Rims are round."),
        ("Hubs", "Hubs"),
        ("Hubs", "Grease them."),
    ]
    assert [block.page for block in document.blocks] == [1, 1, 2, 2]


def test_epub_chapters_come_in_the_order_of_reading(tmp_path: Path, at: At) -> None:
    (tmp_path / "a.epub").write_bytes(packed(epub(pages='<itemref idref="1"/>' * 1000)))
    told: list[Problem] = []
    (document,) = read(at(tmp_path / "a.epub"), report=told.append)
    assert (document.title, document.metadata["creator"]) == ("On wheels", "Ann")
    assert document.text == "Rims\n\nRound.\n\nA note.\n\nHubs\n\nGreased."
    assert [problem.reason for problem in told] == ["1 chapters are not in it; first: '../../../etc/passwd'"]


def test_rich_text(parsed: Parsed) -> None:
    data = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Times;}}{\info{\title never}}{\*\generator never;}\uc1"
        rb"\pard Gr\'fc\u223?e \b bold\b0\~and \{braces\}\par {\field{\*\fldinst HYPERLINK x}{\fldrslt link}}"
        rb"\u55357?\u56842?\par a\cell b\cell\row{\pict\bin4 }}}}}tail\par}"
    )
    assert parsed("a.rtf", data).text == "Grüße bold and {braces}\n\nlink😊\n\na | b\n\ntail"
    japanese = rb"{\rtf1\ansi\ansicpg932 \'93\'fa\'96\'7b\par}"
    assert parsed("b.rtf", japanese).text == "日本"


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file, as Outlook writes: storages and streams in sectors of 512 bytes. Each is padded to 4,096 bytes,
    as smaller ones would be packed together."""
    end, free, n_tables = 0xFFFFFFFE, 0xFFFFFFFF, 4
    streams = {
        path: content.ljust(4096, b" " if path.endswith("10130102") else b"\0") for path, content in streams.items()
    }
    entries: list[tuple[str, int, bytes, int]] = [("Root Entry", 5, b"", -1)]
    place: dict[str, int] = {"": 0}
    for path, content in streams.items():
        *folders, name = path.split("/")
        for depth in range(1, len(folders) + 1):
            folder = "/".join(folders[:depth])
            if folder not in place:
                place[folder] = len(entries)
                entries.append((folders[depth - 1], 1, b"", place["/".join(folders[: depth - 1])]))
        entries.append((name, 2, content, place["/".join(folders)]))
    fat, body, starts = [0xFFFFFFFD] * n_tables, b"", list[int]()
    for _, _, content, _ in entries:
        n = -(-len(content) // 512)
        starts.append(len(fat) if n else end)
        fat += [*range(len(fat) + 1, len(fat) + n), end][:n]
        body += content.ljust(512 * n, b"\0")
    listing = b""
    for number, (name, kind, content, parent) in enumerate(entries):
        siblings = [i for i, each in enumerate(entries) if each[3] == parent and i > number] if number else []
        children = [i for i, each in enumerate(entries) if each[3] == number]
        wide = name.encode("utf-16-le") + b"\0\0"
        listing += wide.ljust(64, b"\0") + struct.pack("<HBB", len(wide), kind, 1)
        listing += struct.pack("<3I", free, siblings[0] if siblings else free, children[0] if children else free)
        listing += bytes(36) + struct.pack("<IQ", starts[number], len(content))
    n = -(-len(listing) // 512)
    first = len(fat)
    fat += [*range(first + 1, first + n), end]
    assert len(fat) <= 128 * n_tables
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<9I", 0, n_tables, first, 0, 4096, end, 0, end, 0)
    head += struct.pack("<109I", *range(n_tables), *[free] * (109 - n_tables))
    table = b"".join(struct.pack("<I", each) for each in [*fat, *[free] * (128 * n_tables - len(fat))])
    return head + table + body + listing.ljust(512 * n, b"\0")


def properties(head: int, **values: int) -> bytes:
    entries = (struct.pack("<HHIQ", 0x40, int(key[1:], 16), 6, value) for key, value in values.items())
    return bytes(head) + b"".join(entries)


def outlook(deep: int = 0) -> bytes:
    sent = (13_400_000_000 * 10_000_000) + 0
    streams = {
        "__properties_version1.0": properties(32, _0039=sent),
        "__substg1.0_0037001F": "Grüße".encode("utf-16-le"),
        "__substg1.0_1000001F": "Hello Bob,\r\n\r\nit is true.".encode("utf-16-le"),
        "__substg1.0_0C1A001F": "Ann".encode("utf-16-le"),
        "__substg1.0_5D01001F": "ann@x.org".encode("utf-16-le"),
        "__substg1.0_0E04001E": b"Bob",
        "__attach_version1.0_#00000000/__substg1.0_3707001F": "wheel.pdf".encode("utf-16-le"),
    }
    inner = "__attach_version1.0_#00000001/__substg1.0_3701000D"
    for level in range(deep + 1):
        streams[f"{inner}/__properties_version1.0"] = properties(24, _0039=sent)
        streams[f"{inner}/__substg1.0_0037001F"] = f"Inner {level}".encode("utf-16-le")
        streams[f"{inner}/__substg1.0_10130102"] = b"<p>Forwarded <b>words</b>.</p>"
        inner += "/__attach_version1.0_#00000000/__substg1.0_3701000D"
    return compound(streams)


def test_outlook(parsed: Parsed) -> None:
    document = parsed("a.msg", outlook())
    assert document.title == "Grüße"
    assert document.metadata == {
        "from": "Ann <ann@x.org>",
        "to": "Bob",
        "date": "2025-08-18T14:13:20+00:00",
        "source": "a.msg",
    }
    assert [text for _, text in outline(document)] == [
        "Subject: Grüße",
        "From: Ann <ann@x.org>",
        "To: Bob",
        "Date: 2025-08-18T14:13:20+00:00",
        "Hello Bob,",
        "it is true.",
        "Attachment: wheel.pdf",
        "Inner 0",
        "Forwarded words.",
    ]


def test_outlook_mails_within_mails_end(tmp_path: Path, at: At) -> None:
    (tmp_path / "a.msg").write_bytes(outlook(deep=12))
    told: list[Problem] = []
    (document,) = read(at(tmp_path / "a.msg"), report=told.append)
    assert "Inner 7" in document.text
    assert "Inner 8" not in document.text
    assert [problem.reason for problem in told] == ["mails within more than 8 mails left out"]


PARTS = {"pptx": deck, "xlsx": lambda: book(SHEET), "odt": lambda: {"content.xml": ODT}, "epub": epub}
MAIN = {
    "pptx": "ppt/slides/slide1.xml",
    "xlsx": "xl/worksheets/sheet1.xml",
    "odt": "content.xml",
    "epub": "OEBPS/b.opf",
}
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>'
)


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("attack", ["bomb", "entities", "outside", "cut", "deep", "absent", "locked", "old"])
def test_hostile_files_are_refused_in_words(parsed: Parsed, tmp_path: Path, kind: str, attack: str) -> None:
    parts = PARTS[kind]()
    main = str(parts[MAIN[kind]])
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    name, reason = f"a.{kind}", ""
    if attack == "bomb":
        parts["media/large.bin"], reason = b"0" * 310_000_000, "a zip bomb"
    elif attack == "entities":
        parts[MAIN[kind]], reason = LAUGHS + main, "declares entities|document type declaration"
    elif attack == "outside":
        inside = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]>{main}'
        parts[MAIN[kind]], reason = inside, "declares entities|document type declaration"
    elif attack == "cut":
        parts[MAIN[kind]], reason = main[: len(main) // 2], "not well-formed"
    elif attack == "deep":
        parts[MAIN[kind]], reason = "<a>" * 100_000, "not well-formed"
    elif attack == "absent":
        del parts[MAIN[kind]]
        reason = "it has no "
    elif attack == "old":
        with pytest.raises(IngestError, match="of before 2007"):
            parsed(name, bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
        return
    data = packed(parts)
    if attack == "locked":  # each member says that it has a password
        data, reason = (
            data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
            "encrypted",
        )
    with pytest.raises(IngestError, match=reason) as error:
        parsed(name, data)
    assert "TOPSECRET" not in str(error.value)


@pytest.mark.parametrize("suffix", ["pptx", "xlsx", "odt", "epub", "rtf", "msg"])
def test_what_is_another_format_inside_says_so(parsed: Parsed, suffix: str) -> None:
    for data in (b"hello", packed({"a.txt": "hello"})):
        with pytest.raises(IngestError, match=r"not |no "):
            parsed(f"a.{suffix}", data)


@pytest.mark.parametrize("kind", [*PARTS, "msg"])
def test_behind_gz_each_reads_as_it_does_without(parsed: Parsed, kind: str) -> None:
    data = outlook() if kind == "msg" else packed(PARTS[kind]())
    plain, behind = parsed(f"a.{kind}", data), parsed(f"a.{kind}.gz", gzip.compress(data))
    assert (behind.title, behind.text, behind.blocks) == (plain.title, plain.text, plain.blocks)
    assert behind.doc_id == f"a.{kind}.gz"


def test_an_archive_in_a_packed_file_is_held_to_the_ratio_by_what_lies_on_the_disk(parsed: Parsed) -> None:
    stored, bomb = io.BytesIO(), packed(epub() | {"large.bin": b"0" * 100_000_000})
    with zipfile.ZipFile(stored, "w") as archive:
        for name, part in (epub() | {"large.bin": b"0" * 30_000_000}).items():
            archive.writestr(name, part)
    for data in (bomb, stored.getvalue()):
        with pytest.raises(IngestError, match=r"a.epub.gz: unpacks to more than 200 times its \d+,\d+ bytes; a bomb"):
            parsed("a.epub.gz", gzip.compress(data))
    # 16 MiB of repetition pack to 16 KB, and within them lies an archive that may unpack to 200 times its own size.
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("padding", bytes(15_000_000))
        for name, part in epub().items():
            archive.writestr(name, part)
        archive.writestr("large.bin", bytes(200_000_000), zipfile.ZIP_DEFLATED)
    assert len(gzip.compress(inner.getvalue())) < 300_000
    with pytest.raises(IngestError, match="unpacks to more than 200 times"):
        parsed("a.epub.gz", gzip.compress(inner.getvalue()))


def test_rich_text_nested_without_end_is_refused(parsed: Parsed) -> None:
    with pytest.raises(IngestError, match="nested more than 1,000 deep"):
        parsed("a.rtf", b"{\\rtf1" + b"{" * 100_000)


def test_a_table_of_many_empty_cells_takes_no_room(parsed: Parsed) -> None:
    cells = "".join(f'<row r="{i}"><c r="XFD{i}"><v>{i}</v></c></row>' for i in range(1, 20_000))
    assert len(parsed("a.xlsx", packed(book(cells))).text) < 150_000
