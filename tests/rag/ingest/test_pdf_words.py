"""Words of a PDF that stand apart by distances alone, as TeX sets them, are words."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

from rag.ingest import pdf

PROSE = [
    "Paid leave is thirty days a year for all who work in this house, and may be",
    "taken in parts. Whoever is ill at that time keeps the days, if a doctor says so.",
    "Leave that was not taken by March is lost, but for what was forbidden to be ta-",
    "ken before. Ask for it early, for two of a room cannot be away at the same time.",
]
CODE = "scp -r /usr/share/school-edu-tools/create-school-edu-keys admin@main-server"
_CHARACTERS = "".join(f"<{code:04X}> <{code:04X}>\n" for code in range(32, 127))
_TO_UNICODE = f"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapType 2 def
1 begincodespacerange <0000> <FFFF> endcodespacerange
95 beginbfchar
{_CHARACTERS}endbfchar endcmap CMapName currentdict /CMap defineresource pop end end""".encode()


def names(**said: object) -> DictionaryObject:
    return DictionaryObject({NameObject(f"/{key}"): value for key, value in said.items()})


def set_as_by_tex(pages: Sequence[Sequence[str]], apart: int = 300) -> bytes:
    """Lines in a font of 16 bits whose blank is twice as wide as a letter and never drawn: words stand `apart` thousandths."""
    writer = PdfWriter()
    unicode = DecodedStreamObject()
    unicode.set_data(_TO_UNICODE)
    system = names(
        Registry=TextStringObject("Adobe"), Ordering=TextStringObject("Identity"), Supplement=NumberObject(0)
    )
    letters = ArrayObject([NumberObject(32), ArrayObject([NumberObject(1000), *[NumberObject(500)] * 94])])
    inner = names(
        Type=NameObject("/Font"),
        Subtype=NameObject("/CIDFontType2"),
        BaseFont=NameObject("/Helvetica"),
        CIDSystemInfo=system,
        W=letters,
    )
    font = names(
        Type=NameObject("/Font"),
        Subtype=NameObject("/Type0"),
        BaseFont=NameObject("/Helvetica"),
        Encoding=NameObject("/Identity-H"),
        DescendantFonts=ArrayObject([writer._add_object(inner)]),
        ToUnicode=writer._add_object(unicode),
    )
    for lines in pages:
        page = writer.add_blank_page(width=595, height=842)
        page[NameObject("/Resources")] = names(Font=names(F1=font))
        drawn = DecodedStreamObject()
        drawn.set_data(f"BT /F1 11 Tf 14 TL 60 780 Td {''.join(_line(line, apart) for line in lines)}ET".encode())
        page[NameObject("/Contents")] = writer._add_object(drawn)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def _line(line: str, apart: int) -> str:
    words = (f"<{''.join(f'{ord(letter):04X}' for letter in word)}>" for word in line.split())
    return f"[{f' -{apart} '.join(words)}] TJ T* "


def text_of(data: bytes) -> str:
    return "".join(document.text for document in pdf.parse(data, "a.pdf", lambda *_, **__: None))


def test_words_that_pypdf_runs_together_are_parted_and_lines_are_joined() -> None:
    data = set_as_by_tex([PROSE])
    assert "Paidleaveisthirtydays" in PdfReader(io.BytesIO(data)).pages[0].extract_text()
    assert text_of(data) == " ".join(PROSE).replace("ta- ken", "taken")


def test_a_single_line_that_runs_together_is_parted_where_the_rest_of_the_page_is_well() -> None:
    drawn = "\n".join([*PROSE * 4, "Thislineofthepageissetwithoutanyblanks", CODE])
    seen = "\n".join([*PROSE * 4, "This line of the page is set without any blanks", CODE.replace("-", " -")])
    parted = pdf._parted(drawn, seen).split("\n")
    assert parted[-2] == "This line of the page is set without any blanks"
    assert parted[-1] == CODE, "pdfium parts what hangs together where a font is narrow"
    assert parted[:-2] == PROSE * 4


def test_other_letters_are_no_better_sight_of_the_same_page() -> None:
    assert pdf._parted("Paid leave", "P a i d l e a v e of more letters") == "Paid leave"
    assert pdf._parted("Paid leave", "") == "Paid leave"


def test_a_page_with_a_font_that_pypdf_refuses_is_as_it_is_seen_and_that_is_told() -> None:
    writer, told = PdfWriter(), list[str]()
    for n_widths, line in ((256, "The ship sails at seven."), (257, "Above warp six the engines may be damaged.")):
        page = writer.add_blank_page(width=595, height=842)
        widths = ArrayObject([NumberObject(500)] * n_widths)
        font = names(
            Type=NameObject("/Font"),
            Subtype=NameObject("/Type1"),
            BaseFont=NameObject("/Helvetica"),
            FirstChar=NumberObject(0),
            LastChar=NumberObject(n_widths - 1),
            Widths=widths,
        )
        page[NameObject("/Resources")] = names(Font=names(F1=font))
        drawn = DecodedStreamObject()
        drawn.set_data(f"BT /F1 11 Tf 60 780 Td ({line}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(drawn)
    file = io.BytesIO()
    writer.write(file)
    texts = [each.text for each in pdf.parse(file.getvalue(), "a.pdf", lambda said, **_: told.append(said))]
    assert "sails at seven" in "".join(texts)
    assert "Above warp six the engines may be damaged." in "".join(texts)
    [note] = told
    assert note.startswith("pages as pdfium sees them, as pypdf gives up: 1, first page 2: LimitReachedError")


def test_accents_that_stand_before_their_letters_are_put_on_them() -> None:
    old = "amplifi´ee 51 fois, int´egr´e pr`es de `a Fran¸cais, o`u na¨ıve r´eseau, `foo`"
    assert pdf._composed(old) == "amplifiée 51 fois, intégré près de à Français, où naïve réseau, `foo`"
    for kept in ("run `echo a` and a`b, x´y", "a´b c´d", "5´ and 6´"):
        assert pdf._composed(kept) == kept
