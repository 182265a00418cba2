"""A small file gives no more text than a multiple of its size, and tells what was left out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import docx
import pytest

from rag.cli import main
from rag.indexing import build_index
from rag.ingest import Limits, ParsedDocument, Reader, SourceFile, chunk, word_spans
from rag.ingest.bounds import ANY_TEXT
from rag.ingest.settings import ChunkSettings

NAMES = [f"name {i} {'x' * 180}" for i in range(2_000)]
N_ROWS = 30
Told = list[str]


def packed(parts: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def sheet(rows: str, shared: str = "") -> bytes:
    pointed = '<Relationships><Relationship Id="r1" Target="worksheets/sheet1.xml"/></Relationships>'
    book = '<workbook xmlns:r="u/relationships"><sheets><sheet name="S" r:id="r1"/></sheets></workbook>'
    texts = {"xl/sharedStrings.xml": f"<sst><si><t>{shared}</t></si></sst>"} if shared else {}
    worksheet = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
    return packed(
        {
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": pointed,
            "xl/worksheets/sheet1.xml": worksheet,
            **texts,
        }
    )


def text_of(body: str) -> bytes:
    spaces = 'xmlns:office="urn:o" xmlns:text="urn:t" xmlns:table="urn:b"'
    inside = f"<office:body><office:text>{body}</office:text></office:body>"
    return packed({"content.xml": f"<office:document-content {spaces}>{inside}</office:document-content>"})


def wide_sheet() -> bytes:
    head = "".join(f'<c t="inlineStr"><is><t>{f"name{i} " * 3}</t></is></c>' for i in range(300))
    return sheet(f"<row>{head}</row>" + ("<row>" + "<c><v>1</v></c>" * 300 + "</row>") * 1_000)


def separated(mark: str) -> bytes:
    return (mark.join(NAMES) + "\n" + (mark.join("1" * 2_000) + "\n") * N_ROWS).encode()


def markdown() -> bytes:
    return ("|" + "|".join(NAMES) + "|\n|" + "-|" * 2_000 + "\n" + ("|" + "1|" * 2_000 + "\n") * N_ROWS).encode()


def page() -> bytes:
    head = "".join(f"<th>{name}" for name in NAMES)
    return (f"<table><tr>{head}</tr>" + ("<tr>" + "<td>1" * 2_000 + "</tr>") * N_ROWS + "</table>").encode()


def nested_text() -> bytes:
    before, behind = (
        "<table:table><table:table-row><table:table-cell>",
        "</table:table-cell></table:table-row></table:table>",
    )
    return text_of(before * 60 + f"<text:p>{'word ' * 20_000}</text:p>" + behind * 60)


def nested_slide() -> bytes:
    shape = f"<p:txBody><a:p><a:r><a:t>{'word ' * 20_000}</a:t></a:r></a:p></p:txBody>"
    tree = f"<p:cSld><p:spTree>{'<p:sp>' * 200}{shape}{'</p:sp>' * 200}</p:spTree></p:cSld>"
    listed = '<p:sldIdLst xmlns:r="u/relationships">' + '<p:sldId r:id="r1"/>' * 10_000 + "</p:sldIdLst>"
    return packed(
        {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="urn:p">{listed}</p:presentation>',
            "ppt/_rels/presentation.xml.rels": '<Relationships><Relationship Id="r1" Target="slides/s.xml"/></Relationships>',
            "ppt/slides/s.xml": f'<p:sld xmlns:p="urn:p" xmlns:a="urn:a">{tree}</p:sld>',
        }
    )


def merged(n_rows: int) -> bytes:
    document = docx.Document()
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).merge(table.cell(1, 0)).text = "word " * 20_000
    table.cell(0, 1).text, table.cell(1, 1).text = "first", "below"
    for _ in range(n_rows):
        table._tbl.append(deepcopy(table._tbl.tr_lst[1]))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


MADE: dict[str, Callable[[], bytes]] = {
    "wide.xlsx": wide_sheet,
    "shared.xlsx": lambda: sheet('<row><c t="s"><v>0</v></c></row>' * 4_000, "word " * 400),
    "wide.csv": lambda: separated(","),
    "wide.md": markdown,
    "wide.html": page,
    "nested.html": lambda: ("<table><tr>" + "<td><div>word" * 5_000).encode(),
    "nested.odt": nested_text,
    "nested.pptx": nested_slide,
    "merged.docx": lambda: merged(1_200),
    "name.1": lambda: (f".TH a 1\n.SH x\n.Nm {'n' * 100_000}\n" + ".Nm\n" * 20_000).encode(),
}


@pytest.mark.parametrize("name", MADE)
def test_text_of_a_file_is_bounded_by_its_size(tmp_path: Path, at: Callable[..., SourceFile], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(MADE[name]())
    told = Told()
    with Reader(report=lambda problem: told.append(str(problem))) as reader:
        stretches = list(reader.stream(at(path)))
    n_chars = sum(len(each.text) for each in stretches)
    assert 0 < n_chars <= max(ANY_TEXT, Limits().text_ratio * path.stat().st_size)
    assert n_chars < (120_000 if name.startswith("nested") else 10_000_000), "what is nested is there once"
    units = [unit for each in stretches for unit in chunk(each, settings=ChunkSettings(), spans=word_spans)]
    assert len(units) < 12_000
    assert all(len(unit.title) <= 2_100 for unit in units)
    if name in ("wide.xlsx", "wide.md", "wide.html"):  # the header is most of the text, and stands once a passage
        assert "name" in units[-1].title
        assert set(units[-1].text) <= set("1| \n")
        (line,) = [each for each in told if "without the names of their columns" in each]
        assert line.startswith(f"{name}: ")


@pytest.mark.parametrize("mark", [",", "\t"])
def test_long_names_of_columns_are_cut_and_counted(tmp_path: Path, at: Callable[..., SourceFile], mark: str) -> None:
    path, told = tmp_path / ("a.tsv" if mark == "\t" else "a.csv"), Told()
    path.write_text(f"{'a' * 50_000}{mark}short\n1{mark}2\n3{mark}4\n")
    with Reader(report=lambda problem: told.append(str(problem))) as reader:
        first, second = reader.read(at(path))
    assert first.text == f"{'a' * 80}…: 1\nshort: 2"
    assert second.metadata["short"] == "4"
    assert told == [f"{path.name}: 1 names of columns cut after 80 characters"]


def test_what_is_left_out_is_counted_and_named_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shared.xlsx"
    path.write_bytes(MADE["shared.xlsx"]())
    main(["index", str(path), "--index", str(tmp_path / "index"), "--graph", "bm25"])
    said = " ".join(capsys.readouterr().err.split())
    assert "characters left out in 1 documents, from 'shared.xlsx' under 'S' on" in said
    assert f"a file of {path.stat().st_size:,} bytes may give 1," in said


def survey(n_rows: int) -> list[list[str]]:
    names = [f"Question {i}: how content are you with part {i} of the service, from 1 to 5?" for i in range(50)]
    return [names, *([str((i + row) % 5 + 1) for i in range(50)] for row in range(n_rows))]


def test_an_honest_wide_table_keeps_every_name_in_every_row(tmp_path: Path, at: Callable[..., SourceFile]) -> None:
    """As many columns, as long names and as short values as a survey has."""
    rows = survey(1_000)
    (tmp_path / "a.csv").write_text("".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    (tmp_path / "a.md").write_text(
        "".join("|" + "|".join(row) + "|\n" for row in [rows[0], ["-"] * 50, *rows[1:200]]),
    )
    told = Told()
    with Reader(report=lambda problem: told.append(str(problem))) as reader:
        documents: list[ParsedDocument] = reader.read(at(tmp_path / "a.csv"))
        (table,) = reader.read(at(tmp_path / "a.md"))
    assert len(documents) == 1_000
    assert all(each.text.count("Question") == 50 for each in documents)
    assert table.text.count("Question 49: ") == 199
    assert told == []


def test_headings_of_a_path_are_short_together(tmp_path: Path, at: Callable[..., SourceFile]) -> None:
    (tmp_path / "a.md").write_text("".join(f"{'#' * i} {str(i) * 990}\n\n" for i in range(1, 7)) + "Words.\n")
    with Reader() as reader:
        (document,) = reader.read(at(tmp_path / "a.md"))
    assert [len(heading) for heading in document.blocks[-1].headings] == [166] * 6
    assert document.text.count("6") == 990


def test_a_corpus_is_bounded_too_and_its_records_are_whole(tmp_path: Path) -> None:
    path, told = tmp_path / "corpus.jsonl", Told()
    path.write_text("".join(f'{{"_id": "{i}", "text": "{"word " * 1_000}"}}\n' for i in range(300)))
    with Reader(limits=Limits(text_ratio=1), report=lambda problem: told.append(str(problem))) as reader:
        file = SourceFile(path=path, name=path.name, size=0, layout="corpus")
        assert len(reader.read(file)) == 300, "text is not more than the file"
    report = build_index(path, tmp_path / "index", legs=["lexical"])
    assert report.n_documents == 300
    assert told == []
