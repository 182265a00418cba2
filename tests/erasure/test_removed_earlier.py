"""What was removed earlier can be erased afterwards, whether its bytes are still there or its name alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import main
from rag.erasure import erase_from_index
from rag.indexing import add_documents, build_index, merge_index, remove_from_index, update_documents
from ragline_serve.http.sessions import Sessions
from retrievers.index.directory import LocalIndex
from retrievers.index.sources import digested
from tests.erasure.test_erase import files_with, home, made_index, planted, text_of  # noqa: F401

pytestmark = pytest.mark.usefixtures("home")


def quoting(folder: Path, *texts: str) -> Path:
    sessions = Sessions(folder / "sessions.db")
    for text in texts:
        sessions.add(sessions.start("a" * 64), "a" * 64, "Who is that?", text)
    sessions.close()
    return folder / "sessions.db"


def roots(index: Path) -> str:
    with LocalIndex.open(index) as opened:
        return opened.file("roots.json").read_text()


def test_a_removed_document_is_erased_with_what_was_made_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = made_index(tmp_path, 20)
    assert main(["remove", "person-4", "--index", str(index)]) == 0
    assert files_with(planted(4).encode(), index / "parts"), "its bytes stay until its part is merged"
    kept = quoting(tmp_path, text_of(4), text_of(5))
    receipt = tmp_path / "receipt.json"
    command = ["remove", "person-4", "--index", str(index), "--receipt", str(receipt), "--also", str(kept)]
    assert main(command) == 0, capsys.readouterr()
    assert files_with(planted(4).encode(), index) == []
    assert planted(4).encode() not in kept.read_bytes()
    assert planted(5).encode() in kept.read_bytes()
    told = json.loads(receipt.read_text())
    assert [(each["doc_id"], each["n_passages"]) for each in told["documents"]] == [("person-4", 1)]
    assert (told["clean"], told["gone_before"], told["unmarked"]) == (True, [], [])
    assert "person-4" not in roots(index)
    assert digested("person-4") in roots(index)


def test_it_stays_out_when_its_file_is_read_again_and_nothing_is_read_for_it(tmp_path: Path) -> None:
    index = made_index(tmp_path, 20)
    remove_from_index(["person-4"], index)
    assert erase_from_index(["person-4", "person-5"], index).clean
    report = build_index([], index)
    with LocalIndex.open(index) as opened:
        ids = {document.doc_id for document in opened.documents}
    assert ids == {f"person-{i}" for i in range(20)} - {"person-4", "person-5"}
    assert report.n_documents == 18
    assert build_index([], index).unchanged
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(corpus.read_text() + json.dumps({"_id": "person-20", "text": text_of(20)}) + "\n")
    assert build_index([], index).n_documents == 19
    assert not files_with(planted(4).encode(), index)


def test_a_document_that_was_handed_over_and_removed_is_erased(tmp_path: Path) -> None:
    index = made_index(tmp_path, 20)
    add_documents([{"doc_id": "more", "text": text_of(100)}, {"doc_id": "last", "text": text_of(101)}], index)
    remove_from_index(["more"], index)
    assert files_with(planted(100).encode(), index)
    receipt = erase_from_index(["more"], index, also=[quoting(tmp_path, text_of(100))])
    assert receipt.clean
    assert [each.doc_id for each in receipt.documents] == ["more"]
    assert not files_with(planted(100).encode(), tmp_path)


def test_what_a_document_said_before_it_was_replaced_is_erased_too(tmp_path: Path) -> None:
    index = made_index(tmp_path, 20)
    update_documents([{"doc_id": "person-4", "text": text_of(100)}], index)
    kept = quoting(tmp_path, text_of(4), text_of(100), text_of(5))
    assert erase_from_index(["person-4"], index, also=[kept]).clean
    (tmp_path / "corpus.jsonl").unlink()
    for number, there in ((4, False), (100, False), (5, True)):
        assert bool(files_with(planted(number).encode(), tmp_path)) is there


def test_what_is_known_by_its_name_alone_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    for number in range(4):
        (folder / f"person-{number}.md").write_text(text_of(number))
    index = tmp_path / "idx"
    build_index(folder, index, legs=("lexical",))
    remove_from_index(["people/person-1.md"], index)  # a file goes with its bytes
    assert "people/person-1.md" in roots(index)
    traces = tmp_path / "traces.jsonl"
    lines = [{"trace_id": str(i), "hits": [{"doc_id": f"people/person-{i}.md"}]} for i in (1, 2)]
    traces.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["remove", "people/person-1.md", "--index", str(index), "--receipt", str(tmp_path / "r.json")]
    for _ in range(2):  # again it finds what is done
        assert main([*command, "--also", str(traces)]) == 0
        assert "they are looked for by their ids alone" in capsys.readouterr().out
        assert json.loads((tmp_path / "r.json").read_text())["gone_before"] == ["people/person-1.md"]
        assert files_with(b"person-1.md", index) == []
    assert traces.read_text() == json.dumps(lines[1]) + "\n"
    assert build_index([], index).n_documents == 3
    assert main([*command[:1], "people/person-9.md", *command[2:]]) == 4
    assert "has no source, file or document 'people/person-9.md'" in capsys.readouterr().err


def test_merged_parts_leave_the_name_of_what_was_removed(tmp_path: Path) -> None:
    index = made_index(tmp_path, 20)
    remove_from_index(["person-4"], index)
    merge_index(index)
    receipt = erase_from_index(["person-4"], index)
    assert (receipt.documents, receipt.gone_before) == ((), ("person-4",))
    assert "person-4" not in roots(index)


def test_a_name_that_looks_like_a_digest_keeps_out_nobody_else(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    ids = ["ada", digested("ada"), "bob", "cy"]
    corpus.write_text("".join(json.dumps({"_id": i, "text": f"{text_of(n)}"}) + "\n" for n, i in enumerate(ids)))
    index = tmp_path / "idx"
    build_index(corpus, index, legs=("lexical",))
    remove_from_index([digested("ada")], index)
    corpus.write_text(corpus.read_text() + json.dumps({"_id": "dee", "text": text_of(9)}) + "\n")
    assert build_index([], index).n_documents == 4
    assert erase_from_index(["ada"], index).clean
    with LocalIndex.open(index) as opened:
        assert {document.doc_id for document in opened.documents} == {"bob", "cy", "dee"}
