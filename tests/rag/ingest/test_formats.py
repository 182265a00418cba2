"""Formats that are text: what becomes a heading, a paragraph or a listing, and which file is of which format."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import docx
import pytest

from rag.core.errors import IngestError
from rag.ingest import ParsedDocument, Problem, Reader, SourceFile, discover
from rag.ingest.formats import NAMES, PARSERS, parser_of
from rag.ingest.parsers import MODULES, STREAMS
from tests.rag.ingest.alone import read as read_alone

At = Callable[..., SourceFile]
Read = Callable[[str, "str | bytes"], list[ParsedDocument]]


@pytest.fixture
def read(tmp_path: Path, reader: Reader, at: At) -> Read:
    def run(name: str, content: str | bytes) -> list[ParsedDocument]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return reader.read(at(path))

    return run


def outline(document: ParsedDocument) -> list[tuple[Sequence[str], str]]:
    return [(block.headings, document.text[block.start : block.end]) for block in document.blocks]


@pytest.mark.parametrize(
    ("name", "parser"),
    [
        ("README", "plain"), ("docs/readme", "plain"), ("Makefile", "code"), ("GNUmakefile", "code"),
        ("README.Debian", "plain"), ("changelog.gz", "plain"), ("changelog.Debian.gz", "plain"), ("notes.TXT.GZ", "plain"),
        ("page.html.gz", "html"), ("tar.1", "man"), ("tar.1.gz", "man"), ("fs.8", "man"), ("rows.csv.gz", "csv"),
        ("rows.jsonl.gz", "jsonl"), ("setup.py.gz", "code"), ("deck.pptx", "pptx"), ("a.json", "json"), ("my.cfg", "ini"),
        ("ld.so.8.gz", "man"), ("LD.SO.8.GZ", "man"), ("ld.so.conf.5", "man"), ("libfoo.so.6-gdb.py", "code"),
        ("libfoo.so", None), ("ld.so.8", None),
        ("a.pdf.gz", "pdf"), ("a.DOCX.gz", "docx"), ("a.tar.gz", None), ("photo.psd", None), ("binary", None),
        ("libfoo.so.6", None), ("libfoo.so.6.1", None), (".gz", None), ("a.0", None), ("makefile.psd", None), ("gz", None),
    ],
)  # fmt: skip
def test_the_name_decides_who_reads(name: str, parser: str | None) -> None:
    assert parser_of(name) == parser


def test_every_parser_has_its_module() -> None:
    assert {*PARSERS.values(), *NAMES.values()} <= {*MODULES, *STREAMS}


def test_files_without_a_suffix_are_found(tmp_path: Path) -> None:
    for name in ("README", "Makefile", "a.txt.gz"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "photo").write_bytes(b"\x89PNG\0")
    discovery = discover(tmp_path)
    assert [file.name for file in discovery.files] == ["Makefile", "README", "a.txt.gz"]
    assert discovery.ignored == ("photo",)


def test_a_packed_file_is_read_as_what_it_holds(read: Read) -> None:
    (page,) = read("guide.md.gz", gzip.compress(b"# Leave\n\nThirty days."))
    assert (page.doc_id, page.title, page.text) == ("guide.md.gz", "Leave", "Leave\n\nThirty days.")
    (program,) = read("wheel.py.gz", gzip.compress(b"def true():\n    return 1\n"))
    assert program.metadata["code_language"] == "python"
    (row,) = read("rows.tsv.gz", gzip.compress(b"id\ttext\n7\tA wheel.\n"))
    assert row.text == "A wheel."
    (notes,) = read("on-call.txt.gz", gzip.compress(b"x"))
    assert notes.title == "on call"


def test_a_manual_page_about_a_library_is_read_and_a_library_of_such_a_name_is_not(read: Read) -> None:
    (page,) = read("ld.so.8.gz", gzip.compress(b".TH ld.so 8\n.SH NAME\nld.so \\- dynamic linker\n"))
    assert (page.title, page.text) == ("ld.so(8)", "NAME\n\nld.so - dynamic linker")
    with pytest.raises(IngestError, match=r"libfoo.so.6.gz: binary, not text"):
        read("libfoo.so.6.gz", gzip.compress(b"\x7fELF" + bytes(1000)))


def test_a_packed_file_that_is_none_says_so(read: Read) -> None:
    with pytest.raises(IngestError, match=r"a.txt.gz: its compression is damaged"):
        read("a.txt.gz", b"hello")


def test_packed_pdf_and_word(read: Read, pdf: Callable[..., bytes]) -> None:
    (document,) = read("guide.pdf.gz", gzip.compress(pdf([["First page."], ["Second page."]])))
    assert (document.doc_id, document.title) == ("guide.pdf.gz", "guide")
    assert [block.page for block in document.blocks] == [1, 2]
    file = io.BytesIO()
    word = docx.Document()
    word.add_paragraph("A wheel is round.")
    word.save(file)
    assert read("wheel.docx.gz", gzip.compress(file.getvalue()))[0].text == "A wheel is round."
    with pytest.raises(IngestError, match=r"bomb.pdf.gz: unpacks to more than 200 times"):
        read("bomb.pdf.gz", gzip.compress(b"%PDF-1.7\n" + bytes(40_000_000)))


@pytest.mark.parametrize(
    ("line", "headings"),
    [
        ("Version 2.23 - 18 February 2024", ("Version 2.23 - 18 February 2024",)),
        ("** Version 4.5.2a (Winboard only)**", ("Version 4.5.2a (Winboard only)",)),
        ("* Changes in release 9.4 (2023-08-29) [stable]", ("Changes in release 9.4 (2023-08-29) [stable]",)),
        ("1.4.2 (2024-05-01)", ("1.4.2 (2024-05-01)",)),
        ("units (2.23-1) unstable; urgency=medium", ("units (2.23-1) unstable; urgency=medium",)),
        ("Version 3.2 marked the tenth year of", ()),
        ("127.0.0.1 localhost", ()),
        ("12.5 13.7", ()),
        ("See version 2.1.", ()),
    ],
)
@pytest.mark.parametrize("below", ["* Units of 2022.\n* More.", "\n  Units of 2022."])
def test_what_a_release_brought_stands_under_it(read: Read, line: str, headings: tuple[str, ...], below: str) -> None:
    (notes,) = read("NEWS", f"News of units.\n\n{line}\n{below}\n".encode())
    assert [block.headings for block in notes.blocks] == [(), *[headings] * (len(notes.blocks) - 1)]
    assert line in notes.text


def test_a_release_that_a_sentence_begins_with_is_no_heading(read: Read) -> None:
    (notes,) = read("notes.txt", b"Since version 2.1 (2024)\nthe units are others.\n")
    assert [block.headings for block in notes.blocks] == [()]


def test_restructured_text(read: Read) -> None:
    page = """
=====
Guide
=====
:Author: Ann

Text with ``code``, *stress*, **more**, a `link <https://x.org>`_, :func:`~a.b.run` and `ref`_ or name_.

Install
-------
.. _target:
.. note:: Read *this*.

   And this.

.. code-block:: python
   :linenos:

   # no heading
   ========
   run()

Run it like this::

    $ run --all

    $ stop

.. image:: secret.png
   :alt: nothing
.. include:: /etc/passwd

- one
- two

Deeper
~~~~~~
+------+-----+
| a    | b   |
+------+-----+

Usage
-----
Go. [1]_

.. [1] The footnote.
"""
    (document,) = read("guide.rst", page)
    assert document.title == "Guide"
    assert outline(document) == [
        (("Guide",), "Guide"),
        (("Guide",), ":Author: Ann"),
        (("Guide",), "Text with code, stress, more, a link, a.b.run and ref or name."),
        (("Guide", "Install"), "Install"),
        (("Guide", "Install"), "Read this."),
        (("Guide", "Install"), "And this."),
        (("Guide", "Install"), "# no heading\n========\nrun()"),
        (("Guide", "Install"), "Run it like this:"),
        (("Guide", "Install"), "$ run --all\n\n$ stop"),
        (("Guide", "Install"), "- one\n- two"),
        (("Guide", "Install", "Deeper"), "Deeper"),
        (("Guide", "Install", "Deeper"), "+------+-----+\n| a    | b   |\n+------+-----+"),
        (("Guide", "Usage"), "Usage"),
        (("Guide", "Usage"), "Go. [1]_"),
        (("Guide", "Usage"), "[1] The footnote."),
    ]


def test_latex(read: Read) -> None:
    page = r"""\documentclass{article}
\usepackage{secret}
\title{On \emph{wheels}}
\begin{document}
\maketitle
\section{Frames} % a remark
Tubes are \textbf{brazed}~at 100\% heat \cite{a}. See Section~\ref{b}.

\begin{itemize}
\item first \item second
\end{itemize}
\begin{verbatim}
\section{no heading} % kept
\end{verbatim}
\subsection*{Steel}
Area $a_1^2$.
\end{document}
"""
    (document,) = read("paper.tex", page)
    assert document.title == "On wheels"
    assert outline(document) == [
        (("Frames",), "Frames"),
        (("Frames",), "Tubes are brazed at 100% heat . See Section ."),
        (("Frames",), "- first\n"[:-1]),
        (("Frames",), "- second"),
        (("Frames",), r"\section{no heading} % kept"),
        (("Frames", "Steel"), "Steel"),
        (("Frames", "Steel"), "Area $a_1^2$."),
    ]


MAN = r""".\" A comment
.TH WHEEL 1 "2026" "Tools"
.de XX
never shown
..
.if n \{\
.ad l
.\}
.SH NAME
wheel \- true a \fBwheel\fR
.SH SYNOPSIS
.B wheel
.RI [ options ]
.SH OPTIONS
.TP
.BR \-q ", " \-\-quiet
Say \(lqnothing\(rq at \e all.
.nf
  $ wheel \-q \
--fast
.fi
.SS Deeper
.IP * 2
One.
"""


@pytest.mark.parametrize("name", ["wheel.1", "wheel.1.gz"])
def test_manual_pages(read: Read, name: str) -> None:
    (document,) = read(name, gzip.compress(MAN.encode()) if name.endswith("gz") else MAN)
    assert document.title == "WHEEL(1)"
    assert outline(document) == [
        (("NAME",), "NAME"),
        (("NAME",), "wheel - true a wheel"),
        (("SYNOPSIS",), "SYNOPSIS"),
        (("SYNOPSIS",), "wheel\n[options]"),
        (("OPTIONS",), "OPTIONS"),
        (("OPTIONS",), "-q, --quiet\nSay “nothing” at \\ all."),
        (("OPTIONS",), "  $ wheel -q --fast"),
        (("OPTIONS", "Deeper"), "Deeper"),
        (("OPTIONS", "Deeper"), "*\nOne."),
    ]


def test_manual_pages_in_mdoc(read: Read) -> None:
    page = ".Dd January 1, 2026\n.Dt WHEEL 8\n.Os\n.Sh NAME\n.Nm wheel\n.Nd true a wheel\n.Sh SYNOPSIS\n.Nm\n.Op Fl q\n"
    page += ".Op Fl s Ar speed\n.Sh SEE ALSO\n.Xr frame 5 ,\n.Xr tube 1\n.Bl -tag\n.It Fl q\nQuiet.\n.El\n"
    (document,) = read("wheel.8", page)
    assert document.title == "WHEEL(8)"
    assert [text for _, text in outline(document)] == [
        "NAME",
        "wheel\n— true a wheel",
        "SYNOPSIS",
        "wheel\n[-q]\n[-s speed]",
        "SEE ALSO",
        "frame(5),\ntube(1)",
        "-q\nQuiet.",
    ]


def test_a_log_that_is_called_as_a_manual_page_is_text(read: Read) -> None:
    (document,) = read(
        "syslog.1", "Jan 1 start\n.TH is not at the beginning of a page here\n"[:12] + "\n\nJan 2 stop\n"
    )
    assert [text for _, text in outline(document)] == ["Jan 1 start", "Jan 2 stop"]


def test_notebooks(read: Read) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Wheels\n", "\n", "Round *things*."]},
        {"cell_type": "code", "source": "spin(3)", "outputs": [
            {"output_type": "stream", "text": ["3\n", "turns"]},
            {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}},
            {"output_type": "stream", "text": "x" * 9_000},
        ]},
        {"cell_type": "raw", "source": "as it is"},
        "no cell",
    ]  # fmt: skip
    (document,) = read("a.ipynb", json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    assert document.title == "Wheels"
    assert outline(document) == [
        (("Wheels",), "Wheels"),
        (("Wheels",), "Round things."),
        (("Wheels",), "spin(3)"),
        (("Wheels",), "3\nturns"),
        (("Wheels",), "<Figure>"),
        (("Wheels",), "x" * 4_000),
        (("Wheels",), "as it is"),
    ]
    (old,) = read("old.ipynb", json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": "a\nb"}]}]}))
    assert old.text == "a\nb"


@pytest.mark.parametrize("content", ["[1]", "{}", "nothing", "[" * 100_000])
def test_what_is_no_notebook_says_so(read: Read, content: str) -> None:
    with pytest.raises(IngestError, match="notebook"):
        read("a.ipynb", content)


MAIL = """From: Ann <ann@x.org>
To: Bob <bob@x.org>
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Date: Thu, 1 Jan 2026 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=A

--A
Content-Type: multipart/alternative; boundary=B

--B
Content-Type: text/html

<p>never</p>
--B
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

SGVsbG8gQm9iLAoKdGhlIHdoZWVsIGlzIHRydWUu
--B--
--A
Content-Type: application/pdf; name=wheel.pdf
Content-Disposition: attachment; filename=wheel.pdf

AAAA
--A
Content-Type: message/rfc822

Subject: Inner
Content-Type: text/html

<p>Forwarded <b>words</b>.</p>
--A--
"""


def test_mails(read: Read) -> None:
    (document,) = read("a.eml", MAIL)
    assert document.title == "Grüße"
    assert {"from": "Ann <ann@x.org>", "date": "2026-01-01T10:00:00+00:00"}.items() <= document.metadata.items()
    assert [text for _, text in outline(document)][4:] == [
        "Hello Bob,",
        "the wheel is true.",
        "Attachment: wheel.pdf",
        "Inner",
        "Forwarded words.",
    ]
    with pytest.raises(IngestError, match="not a mail"):
        read("b.eml", "Hello\nworld")


def test_mails_within_mails_end(read: Read) -> None:
    mail = "Subject: 40\n\nThe innermost.\n"
    for i in range(39, -1, -1):
        mail = f"Subject: {i}\nContent-Type: message/rfc822\n\n{mail}"
    (document,) = read("deep.eml", mail)
    assert "innermost" not in document.text
    assert document.title == "0"


def test_settings_files(read: Read) -> None:
    (document,) = read("app.ini", "; first\nroot = 1\n[server]\nport = 80\n\nhost = x\n[empty]\n")
    assert outline(document) == [
        ((), "; first\nroot = 1"),
        (("server",), "[server]\nport = 80\n\nhost = x"),
        (("empty",), "[empty]"),
    ]


def test_an_array_of_objects_is_a_table_and_other_json_is_code(read: Read) -> None:
    first, second = read("shop.json", json.dumps([{"id": "A", "name": "Bell"}, {"name": "Lamp"}]))
    assert [first.doc_id, second.doc_id] == ["shop.json:A", "shop.json:2"]
    assert first.text == "id: A\nname: Bell"
    for content in ('{"a": [1, 2]}', "[1, 2]", '{"with": 1, // remarks\n}', "[" * 50_000):
        (document,) = read("other.json", content)
        assert (document.text, document.metadata["code_language"]) == (content, "json")


def test_xml(read: Read) -> None:
    page = """<?xml version="1.0"?><!DOCTYPE book PUBLIC "-//X//EN" "http://x.invalid/b.dtd">
<book xmlns="urn:b"><!-- never --><title>Wheels</title><chapter><title>Rims</title>
<para>A <emphasis>round</emphasis> thing.</para></chapter>
<settings><port kind="a">80</port><dependency name="x" version="1"/></settings></book>"""
    (document,) = read("a.xml", page)
    assert document.title == "Wheels"
    assert outline(document) == [
        (("Wheels",), "Wheels"),
        (("Wheels", "Rims"), "Rims"),
        (("Wheels", "Rims"), "A round thing."),
        (("Wheels", "Rims"), "port kind=a: 80"),
        (("Wheels", "Rims"), "dependency name=x version=1"),
    ]
    (broken,) = read("b.xml", "<a>not closed")
    assert broken.text == "<a>not closed"


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_entities_of_xml_are_not_put_in(tmp_path: Path, at: At) -> None:
    secret, path = tmp_path / "secret.txt", tmp_path / "a.xml"
    secret.write_text("TOPSECRET")
    inside = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{secret.as_uri()}">]><a>&e;</a>'
    for content in (LAUGHS + "]><a>&i;</a>", LAUGHS + ']><a b="&i;"/>', inside, inside.encode("utf-16")):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        told: list[Problem] = []
        (document,) = read_alone(at(path), report=told.append)
        assert document.text == (content if isinstance(content, str) else inside)
        assert "declares entities" in told[0].reason


def test_xml_without_end_is_read_as_text(read: Read) -> None:
    (document,) = read("deep.xml", "<a>" * 50_000 + "x" + "</a>" * 50_000)
    assert document.text.startswith("<a><a>")
