"""Long documents come in stretches, and make the chunks that they would make at once."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.types import Document
from rag.indexing import build_index
from rag.ingest import Block, ParsedDocument, Reader, SourceFile, chunk, clean, markdown, sandbox, stretches, word_spans
from rag.ingest.clean import Cleaner
from rag.ingest.settings import ChunkSettings
from rag.ingest.types import DistinctNames, distinct
from retrievers.index.directory import LocalIndex
from tests.rag.ingest.conftest import Noted

At = Callable[..., SourceFile]
ROOT = Path(__file__).parents[3]


def chunks(parts: list[ParsedDocument]) -> list[Document]:
    units: list[Document] = []
    line = 1
    for part in parts:
        settings = ChunkSettings(tokens=16, overlap=0)
        units += chunk(part, settings=settings, spans=word_spans, number=len(units) + 1, line=line)
        line += part.text.count("\n")
    return units


@st.composite
def _documents(draw: st.DrawFn) -> ParsedDocument:
    text, blocks = "", list[Block]()
    for piece in draw(st.lists(st.text("ab \n", max_size=60).map(lambda inner: f"x{inner}y"), min_size=1, max_size=8)):
        blocks.append(Block(start=len(text), end=len(text) + len(piece), headings=(str(len(blocks)),)))
        text += piece + "\n\n"
    return ParsedDocument(doc_id="a", title="", text=text, blocks=tuple(blocks), metadata={"code_language": "c"})


@given(_documents())
def test_stretches_put_together_are_the_document(document: ParsedDocument) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "LENGTH", 20)
        parts = list(stretches.stretched([document, replace(document, whole=True)]))
    *cut, whole = parts
    assert whole.text == document.text
    assert "".join(part.text for part in cut) == document.text
    assert len(cut) > 1 or len(document.text) <= 40
    for part in cut:
        assert document.text[part.offset :].startswith(part.text)
        assert all(block.end - block.start <= 20 for block in part.blocks) or len(cut) == 1
    (joined,) = stretches.joined(cut)
    assert joined.text == document.text
    assert "".join(joined.text[block.start : block.end] for block in joined.blocks) == "".join(
        document.text[block.start : block.end] for block in document.blocks
    )
    for unit in chunks(cut):
        place = unit.metadata
        assert document.text[place["start"] : place["end"]] == unit.text
        assert place["line"] == document.text.count("\n", 0, place["start"]) + 1
    assert [unit.doc_id for unit in chunks(cut)] == [f"a#{i}" for i in range(1, len(chunks(cut)) + 1)]


def test_many_small_paragraphs_are_stretches_too(tmp_path: Path, reader: Reader, at: At) -> None:
    path = tmp_path / "many.txt"
    path.write_text("a\n\n" * 150_000)
    parts = list(reader.stream(at(path)))
    assert [len(part.blocks) for part in parts] == [65_536, 65_536, 150_000 - 2 * 65_536]
    assert "".join(part.text for part in parts).split() == ["a"] * 150_000


@given(st.lists(st.sampled_from(["a", "é", "\r", "\n", "\r\n", " ", "\u2028", "世"])), st.integers(1, 5))
def test_text_that_is_decoded_in_pieces_is_the_text(letters: list[str], size: int) -> None:
    text = "".join(letters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clean, "_PIECE", size)
        notes = Noted()
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            pieces = clean.decoded(text.encode(encoding), notes)
            assert "".join(map(Cleaner(), pieces)) == Cleaner()(text)
        assert notes == []


def test_where_the_text_is_not_in_its_encoding_is_told_from_the_beginning(notes: Noted) -> None:
    data = b"\xef\xbb\xbf" + b"a" * (3 << 20) + b"\xff" + b"a" * 100
    with pytest.raises(clean.ReadError, match=f"starts as utf-8-sig but is not: .* at byte {3 << 20}"):
        list(clean.decoded(data, notes))


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_a_long_page_is_cut_at_a_heading_outside_of_listings(
    monkeypatch: pytest.MonkeyPatch, notes: Noted, fence: str
) -> None:
    for module in (stretches, markdown, sys.modules["rag.ingest.layout"]):
        monkeypatch.setattr(module, "LENGTH", 200)
    listing = f"{fence}\n# no heading\n\n{'x = 1 ' * 8}\n{fence}\n"
    page = "---\nteam: blue\n---\n# Top\n\n" + "".join(
        f"## Part {i}\n\nWords of part {i}.\n\n{listing}\n" for i in range(40)
    )
    parts = list(markdown.parse(page.encode(), "a.md", notes))
    assert len(parts) > 3
    monkeypatch.setattr(stretches, "LENGTH", 1 << 20)
    (whole,) = markdown.parse(page.encode(), "a.md", notes)
    (joined,) = stretches.joined(parts)
    assert joined == replace(whole, blocks=joined.blocks)
    assert [block.headings for block in joined.blocks] == [block.headings for block in whole.blocks]
    assert {part.metadata["team"] for part in parts} == {"blue"}
    assert {part.title for part in parts} == {"Top"}


@pytest.mark.parametrize("suffix", ["txt", "md", "log", "html", "py", "csv", "jsonl"])
def test_a_long_file_is_wholly_in_the_index(tmp_path: Path, reader: Reader, at: At, suffix: str) -> None:
    """2.6 million characters, numbered so that a gap or a repetition shows."""
    path, sentences = (
        tmp_path / f"long.{suffix}",
        [f"Sentence {'word ' * 25}number {i} ends here." for i in range(16_000)],
    )
    joint = {"log": "\n", "md": "\n\n", "txt": "\n\n"}.get(suffix, "\n")
    if suffix == "csv":
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([["id", "text"], ["1", joint.join(sentences)]])
    elif suffix == "jsonl":
        path.write_text(json.dumps({"id": "1", "text": joint.join(sentences)}) + "\n")
    elif suffix == "html":
        path.write_text("".join(f"<p>{sentence}</p>" for sentence in sentences))
    else:
        path.write_text(joint.join(sentences) + "\n")
    parts = list(reader.stream(at(path)))
    assert len(parts) >= 2
    assert max(len(part.text) for part in parts) <= 2 * stretches.LENGTH + 2
    report = build_index(path, tmp_path / "index", legs=["lexical"])
    assert report.n_documents == 1
    (whole,) = reader.read(at(path))
    with LocalIndex.open(tmp_path / "index") as index:
        units = list(index.documents)
    for unit in units:
        assert whole.text[unit.metadata["start"] : unit.metadata["end"]] == unit.text
    assert units[-1].text.endswith("number 15999 ends here.")
    assert "number 8000 ends here." in whole.text


def test_a_name_that_comes_very_often_is_numbered_as_ever() -> None:
    names = ["a", "a", "a~2", "b", "a", "a~2", "a~3", "a"] * 3
    taken, many = set[str](), DistinctNames()
    assert [many(name) for name in names] == [distinct(name, taken) for name in names]
    often = DistinctNames()  # trying each number for each name would be 5e9 steps
    assert [often("x") for _ in range(100_000)][-1] == "x~100000"


def test_a_reader_that_stops_in_the_middle_of_a_file_reads_the_next(tmp_path: Path, at: At) -> None:
    path = tmp_path / "long.txt"
    path.write_text("One line of text.\n" * 300_000)
    with Reader() as reader:
        assert next(reader.stream(at(path))).offset == 0
        assert len(reader.read(at(path))) == 1
        half: Iterator[ParsedDocument] = reader.stream(at(path))
        next(half)
        half.close()  # type: ignore[attr-defined]
        assert reader.read(at(path))[0].text.count("One line of text.") == 300_000


def test_time_counts_only_while_the_parser_is_waited_for(
    tmp_path: Path, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("One line of text.\n" * 300_000)
    clock, passed = time.monotonic, [0.0]
    monkeypatch.setattr(sandbox.time, "monotonic", lambda: clock() + passed[0])
    with Reader() as reader:
        n = 0
        for _ in reader.stream(at(path)):
            n, passed[0] = n + 1, passed[0] + 1_000.0  # the one who reads takes its time
        assert n > 2
        (worker,) = reader._idle
        request = {"parser": "plain", "path": str(path), "name": "a", "layout": "file", "limits": {}}
        with pytest.raises(clean.ReadError, match=r"not parsed within 0.001 s|no answer from its parser"):
            list(worker.ask(request, seconds=0.001))
        assert not worker.alive


@pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc: elsewhere a peak may be that of the process that started this"
)
@pytest.mark.parametrize("kind", ["txt", "log", "md", "csv"])
def test_memory_of_either_process_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    """15 MB, of which the asking process once held two to five times the size."""
    path = tmp_path / f"large.{kind}"
    paragraph = " ".join(f"Word{i}" for i in range(60)) + "."
    n = 15_000_000 // len(paragraph)
    with path.open("w") as stream:
        for i in range(n):
            form = {"txt": "{1}\n\n", "log": "{1}\n", "md": "## Part {0}\n\n{1}\n\n", "csv": "{0},{1}\n"}[kind]
            stream.write(("id,text\n" if kind == "csv" and not i else "") + form.format(i, paragraph))
    program = """
        import resource, sys
        from pathlib import Path
        from benchmarks.memory import memory_of
        from rag.ingest import Reader, SourceFile
        path = Path(sys.argv[1])
        before = memory_of().peak
        with Reader() as reader:
            n = sum(len(d.text) for d in reader.stream(SourceFile(path=path, name=path.name, size=0)))
        print(n, memory_of().peak - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    n_read, grown, worker = map(int, done.stdout.split())
    assert n_read > 14_000_000
    assert grown < 40 * 2**20
    assert worker < 120 * 2**20
