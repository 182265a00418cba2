"""Whole builds from files on disk: what is read again, what stops a build, and what is left after it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import ContractError, IndexMismatch, IndexProblem, SpecError, UnknownComponent
from rag.core.types import Document
from rag.indexing import IndexReport, build_index, index_key
from rag.stages import TRANSFORMS
from retrievers.index.directory import LocalIndex
from retrievers.index.settings import IndexSettings

PAGES = {
    "handbook/leave.md": "# Leave\n\nEveryone has thirty days of paid leave.\n\n## Sick days\n\nTell your team by nine.",
    "handbook/travel.txt": "Take the train for journeys under six hours.",
    "code/wheel.py": "def true_wheel(maxRunoutMm):\n    return maxRunoutMm < 0.5\n",
}
RECORDS = [
    {"_id": "r1", "title": "Frames", "text": "Frames are brazed from chromoly tubes."},
    {"_id": "r2", "title": "", "text": "A wheel is trued to half a millimetre."},
]


def write_pages(folder: Path, pages: dict[str, str] = PAGES) -> Path:
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def write_corpus(folder: Path, records: Sequence[dict[str, str]] = RECORDS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "corpus.jsonl").write_text(lines, encoding="utf-8")
    return folder


def build(path: Path, *sources: Path, **settings: Any) -> IndexReport:
    return build_index(sources, path, settings=IndexSettings.model_validate(settings), legs=["lexical"])


def search(index: LocalIndex, text: str, k: int = 3) -> list[str]:
    leg = index.leg("lexical")
    rows, _ = leg.search([dict.fromkeys(leg.analyzer.terms(text), 1.0)], k=k)
    return [document.doc_id for document in index.documents.many(rows[0][rows[0] >= 0])]


def content(path: Path) -> dict[str, str]:
    """Digest of every file of the current generation, without the times and rows that may differ."""
    with LocalIndex.open(path) as index:
        return {name: fact.sha256 for name, fact in index.manifest.files.items()}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    return write_pages(tmp_path / "pages")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_is_one_source(tmp_path: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read letter by letter. The first of an absolute one is the root of the disk, so here it is relative."""
    monkeypatch.chdir(write_pages(tmp_path / "notes").parent)
    report = build_index(kind("notes"), "idx", legs=["lexical"])
    assert report.n_files == 3
    assert index_key(kind("notes"), legs=["lexical"]) == index_key(["notes"], legs=["lexical"])


def test_files_and_corpora_become_one_searchable_index(tmp_path: Path, pages: Path, path: Path) -> None:
    report = build(path, pages, write_corpus(tmp_path / "beir"))
    assert (report.n_files, report.n_documents, report.n_reused_files, report.problems) == (4, 5, 0, ())
    assert set(report.seconds) == {"read", "near-duplicates", "lexical", "digests", "publish"}
    assert report.peak_memory_bytes > 10_000_000
    with LocalIndex.open(path) as index:
        assert len(index) == report.n_units == len(index.documents)
        assert search(index, "paid leave")[0].startswith("pages/handbook/leave.md")
        assert search(index, "chromoly") == ["r1"]
        assert search(index, "millimetre") == ["r2"]
        assert index.documents[index.documents.row("r1")].title == "Frames"
        index.verify()


def test_the_manifest_says_how_the_index_was_made(pages: Path, path: Path) -> None:
    build(path, pages, analyzer={"language": "de"}, bm25={"k1": 1.2})
    manifest = LocalIndex.open(path).manifest
    assert manifest.settings.bm25.k1 == 1.2
    assert manifest.ruler == {"kind": "words"}
    assert list(manifest.legs) == ["lexical"]
    assert isinstance(manifest.legs["lexical"]["analyzer"], dict)
    assert manifest.legs["lexical"]["analyzer"]["language"] == "de"
    assert (manifest.corpus.n_files, len(manifest.corpus.sha256)) == (3, 64)
    assert {"documents.jsonl", "sources.json", "lexical/vocabulary.json"} <= set(manifest.files)


def test_the_query_side_comes_from_the_manifest(pages: Path, path: Path) -> None:
    build(path, pages, analyzer={"stemmer": "none", "stop_words": "none"})
    with LocalIndex.open(path) as index:
        assert index.leg("lexical").analyzer.terms("The Trains") == ["the", "trains"]


def test_a_graph_that_asks_for_something_else_is_refused(pages: Path, path: Path) -> None:
    build(path, pages)
    with LocalIndex.open(path) as index:
        index.check(IndexSettings(), ["lexical"])
        with pytest.raises(IndexMismatch, match=r"built with analyzer.language 'en'; the graph asks for 'de'"):
            index.check(IndexSettings.model_validate({"analyzer": {"language": "de"}}), ["lexical"])
        with pytest.raises(IndexMismatch, match=r"no dense leg; built with legs lexical; run: rag index"):
            index.leg("dense")


def test_a_metadata_filter_is_a_mask_over_rows(pages: Path, path: Path) -> None:
    build(path, pages)
    with LocalIndex.open(path) as index:
        mask = index.mask({"source": "pages/handbook/travel.txt"})
        assert mask is not None
        assert [document.parent for document in index.documents.many(mask.nonzero()[0])] == [
            "pages/handbook/travel.txt"
        ]
        assert index.mask(None) is None


def test_a_second_build_of_the_same_writes_nothing(pages: Path, path: Path) -> None:
    build(path, pages)
    before = (path / "CURRENT").read_text()
    report = build(path, pages)
    assert (report.unchanged, report.n_reused_files, report.n_files) == (True, 3, 3)
    assert (path / "CURRENT").read_text() == before


@pytest.mark.parametrize("change", ["edit", "remove", "add", "rename"])
def test_only_what_changed_is_read_and_the_result_equals_a_fresh_build(
    tmp_path: Path, pages: Path, path: Path, change: str
) -> None:
    corpus = write_corpus(tmp_path / "beir")
    build(path, pages, corpus)
    travel = pages / "handbook" / "travel.txt"
    reused = 3
    if change == "edit":
        travel.write_text("Take the bus.")
    elif change == "remove":
        travel.unlink()
    elif change == "add":
        (pages / "handbook" / "aaa.txt").write_text("First of all.")
        reused = 4
    else:
        travel.rename(pages / "handbook" / "journeys.txt")
    report = build(path, pages, corpus)
    assert (report.n_reused_files, report.unchanged) == (reused, False)
    build(tmp_path / "fresh", pages, corpus)
    assert content(path) == content(tmp_path / "fresh")
    with LocalIndex.open(path) as index:
        assert bool(search(index, "train journeys")) == (change in ("add", "rename"))


def test_settings_invalidate_what_depends_on_them(tmp_path: Path, pages: Path, path: Path) -> None:
    corpus = write_corpus(tmp_path / "beir")

    def reused(**settings: Any) -> int:
        return build(path, pages, corpus, **settings).n_reused_files

    assert reused() == 0
    assert reused(analyzer={"stemmer": "none"}) == 4
    assert reused(bm25={"k1": 2.0}) == 4
    # Whole records do not depend on how files are cut.
    assert reused(chunking={"corpora": False}) == 3
    assert reused(chunking={"tokens": 16, "overlap": 0, "corpora": False}) == 1
    assert reused(chunking={"tokens": 16, "overlap": 0}) == 3
    assert reused(chunking={"tokens": 16, "overlap": 0, "corpora": True}) == 3
    assert reused(transforms=[{"use": "identifiers"}]) == 0


def test_a_transform_changes_what_is_found_and_not_what_is_read(pages: Path, path: Path) -> None:
    build(path, pages)
    with LocalIndex.open(path) as index:
        assert search(index, "runout") == []
    build(path, pages, transforms=[{"use": "identifiers"}])
    with LocalIndex.open(path) as index:
        (found,) = search(index, "runout")
        document = index.documents[index.documents.row(found)]
        assert "max Runout Mm" in document.index_text
        assert "max Runout Mm" not in document.full_text


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        ({"use": "identifier"}, UnknownComponent, "Did you mean 'identifiers'"),
        ({"use": "identifiers", "with": {"depth": 3}}, SpecError, r"transform\.identifiers has no parameter .depth."),
    ],
)
def test_a_wrong_transform_is_refused(
    pages: Path, path: Path, transform: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(path, pages, transforms=[transform])


class Forgetful:
    def transform(self, documents: Sequence[Document]) -> list[Document]:
        return list(documents)[1:]


def test_a_transform_that_loses_a_document_breaks_its_contract(
    pages: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRANSFORMS._table, "forgetful", Forgetful)
    with pytest.raises(ContractError, match=r"transform.forgetful was given 1 documents and returned 0"):
        build(path, pages, transforms=[{"use": "forgetful"}])


def test_an_unreadable_file_is_reported_and_the_rest_is_indexed(pages: Path, path: Path) -> None:
    (pages / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    (pages / "picture.txt").write_bytes(bytes(range(256)) * 40)
    (pages / "photo.psd").write_bytes(b"\xff\xd8")
    for _ in range(2):
        report = build(path, pages)
        assert {problem.name for problem in report.problems} == {"pages/broken.pdf", "pages/picture.txt"}
        assert report.n_files == 3
        assert report.ignored == ("pages/photo.psd",)
        assert [problem.reason for problem in report.problems if "broken.pdf" in problem.reason] == []


def test_what_a_reader_mended_is_told_again_when_its_file_is_reused(tmp_path: Path, path: Path) -> None:
    corpus = write_corpus(tmp_path / "beir")
    with (corpus / "corpus.jsonl").open("a") as stream:
        stream.write("this is no JSON\n")
    first = build(path, corpus)
    assert (len(first.problems), first.n_units) == (1, 2)
    again = build(path, corpus)
    assert (again.unchanged, again.problems) == (True, first.problems)


def test_a_file_that_fails_half_way_is_left_out_whole(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.indexing import units
    from rag.ingest import chunk as real

    def fail_on_second(document: Any, **options: Any) -> Any:
        if document.doc_id == "r2":
            raise RecursionError("too deep")
        return real(document, **options)

    monkeypatch.setattr(units, "chunk", fail_on_second)
    monkeypatch.setattr(units, "_BATCH", 1)
    report = build(path, write_corpus(tmp_path / "beir"), write_pages(tmp_path / "pages"))
    assert [(p.name, p.reason) for p in report.problems] == [
        ("beir/corpus.jsonl", "cannot be read: RecursionError: too deep")
    ]
    with LocalIndex.open(path) as index:
        assert {document.parent for document in index.documents} == {f"pages/{name}" for name in PAGES}


def test_nothing_to_index_is_said_and_the_old_index_stays(tmp_path: Path, pages: Path, path: Path) -> None:
    build(path, pages)
    before = content(path)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    for sources in ([empty], [tmp_path / "nowhere"]):
        with pytest.raises(SpecError, match="nothing to index in"):
            build(path, *sources)
    with pytest.raises(SpecError, match=r"broken\.pdf: "):
        build(path, empty)
    assert content(path) == before


def test_one_id_in_two_corpora_is_refused_with_both_places(tmp_path: Path, path: Path) -> None:
    one = write_corpus(tmp_path / "one")
    two = write_corpus(tmp_path / "two", [{"_id": "r9", "text": "x"}, {"_id": "r2", "text": "y"}])
    build(path, one)
    before = content(path)
    with pytest.raises(SpecError, match=r"doc_id 'r2' .*unit 2 of 'one/corpus.jsonl' and unit 2 of 'two/corpus.jsonl'"):
        build(path, one, two)
    assert content(path) == before


def test_the_index_is_not_indexed_when_it_lies_in_a_source(pages: Path) -> None:
    first = build(pages / "index", pages)
    second = build(pages / "index", pages)
    assert (second.unchanged, second.n_units) == (True, first.n_units)


def test_ids_with_spaces_and_odd_names_are_kept(tmp_path: Path, path: Path) -> None:
    ids = ["a b", "c\td", "é/../x", "[red]", "\x1b[31m"]
    build(path, write_corpus(tmp_path / "beir", [{"_id": name, "text": "word"} for name in ids]))
    with LocalIndex.open(path) as index:
        for document in index.documents:
            assert index.documents[index.documents.row(document.doc_id)] == document
        assert len(index.documents) == 5
        assert index.documents.row("a b") == 0


def test_an_open_index_stays_as_it_was_through_later_builds(pages: Path, path: Path) -> None:
    build(path, pages)
    reader = LocalIndex.open(path)  # nothing of it is loaded yet
    for text in ("Take the bus.", "Take the boat.", "Walk."):
        (pages / "handbook" / "travel.txt").write_text(text)
        build(path, pages)
    (found,) = search(reader, "train journeys")
    assert "Take the train" in reader.documents[reader.documents.row(found)].text
    with LocalIndex.open(path) as index:
        assert search(index, "train bus boat") == []
        assert len(list(path.glob("generation-*"))) == 2
    reader.close()
    (pages / "handbook" / "travel.txt").write_text("Fly.")
    build(path, pages)
    assert len(list(path.glob("generation-*"))) == 1


def test_threads_share_one_copy_of_each_part(pages: Path, path: Path) -> None:
    build(path, pages)
    with LocalIndex.open(path) as index:
        seen: list[tuple[int, int]] = []
        threads = [
            threading.Thread(target=lambda: seen.append((id(index.leg("lexical")), id(index.documents))))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(seen)) == 1
        assert len(seen) == 8


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "grow"])
def test_damage_to_any_file_is_found_at_open(tmp_path: Path, pages: Path, path: Path, damage: str) -> None:
    build(path, pages)
    for name in [*content(path), "manifest.json"]:
        copy = shutil.copytree(path, tmp_path / "copy")
        file = next(copy.glob("generation-*")) / name
        raw = file.read_bytes()
        if damage == "flip":
            half = len(raw) // 2
            file.write_bytes(raw[:half] + bytes([raw[half] ^ 1]) + raw[half + 1 :])
        elif damage == "truncate":
            file.write_bytes(raw[:-3])
        elif damage == "grow":
            file.write_bytes(raw + b"x")
        else:
            file.unlink()
        with pytest.raises(IndexProblem, match=f"(?s){copy}.*rag index --index {copy}"):
            LocalIndex.open(copy)
        shutil.rmtree(copy)


def test_no_bit_of_a_manifest_or_of_what_names_it_can_change_unseen(pages: Path, path: Path) -> None:
    build(path, pages)
    with LocalIndex.open(path) as index:
        identity = index.identity
    for file in (next(path.glob("generation-*")) / "manifest.json", path / "CURRENT"):
        raw = file.read_bytes()
        for place in range(len(raw)):
            file.write_bytes(raw[:place] + bytes([raw[place] ^ (1 << place % 8)]) + raw[place + 1 :])
            try:
                with LocalIndex.open(path) as index:  # white space around the name, say
                    assert index.identity == identity
            except IndexProblem:
                continue
        file.write_bytes(raw)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"files": {}}, r"documents.jsonl: not in the manifest; .*sources.json: not in the manifest"),
        ({"corpus": {"n_units": 2}}, r"3 documents, 2 by its manifest"),
    ],
)
def test_a_manifest_of_an_older_version_has_to_fit_its_files(
    pages: Path, path: Path, change: dict[str, dict[str, int]], says: str
) -> None:
    """Those have no digest of it in CURRENT."""
    build(path, pages)
    file = next(path.glob("generation-*")) / "manifest.json"
    said = json.loads(file.read_text())
    for part, values in change.items():
        said[part] = {**said[part], **values} if values else {}
    file.write_text(json.dumps(said))
    (path / "CURRENT").write_text(f"{file.parent.name}\n")
    with pytest.raises(IndexProblem, match=says):
        _ = LocalIndex.open(path).documents


def test_a_large_index_opens_and_refuses_the_damaged_part_when_it_is_used(
    pages: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(path, pages)
    monkeypatch.setattr("retrievers.index.digests.CHECKED_AT_OPEN_BYTES", 100)
    vocabulary = next(path.glob("generation-*")) / "lexical" / "vocabulary.json"
    vocabulary.write_bytes(vocabulary.read_bytes().replace(b"train", b"brain"))
    with LocalIndex.open(path) as index:
        assert len(index.documents) == len(index)
        for use in (lambda: index.leg("lexical"), index.verify):
            with pytest.raises(IndexProblem, match=r"lexical/vocabulary.json: content changed"):
                use()
    assert build(path, pages).n_reused_files == 0
    with LocalIndex.open(path) as index:
        index.verify()
        assert search(index, "train")


def test_a_damaged_index_is_built_again_from_nothing(pages: Path, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(path, pages)
    before = content(path)
    (next(path.glob("generation-*")) / "documents.jsonl").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert build(path, pages).n_reused_files == 0
    assert "reading all its sources again" in caplog.text
    assert content(path) == before


def test_sources_that_do_not_fit_the_documents_are_not_reused(
    pages: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(path, pages)
    generation = next(path.glob("generation-*"))
    sources = json.loads((generation / "sources.json").read_text())
    sources[0]["n_units"] += 100
    (generation / "sources.json").write_text(json.dumps(sources))
    manifest = json.loads((generation / "manifest.json").read_text())
    raw = (generation / "sources.json").read_bytes()
    manifest["files"]["sources.json"] = {"sha256": hashlib.sha256(raw).hexdigest(), "size_bytes": len(raw)}
    (generation / "manifest.json").write_text(json.dumps(manifest))
    (path / "CURRENT").write_text(generation.name)
    with caplog.at_level(logging.WARNING):
        assert build(path, pages).n_reused_files == 0
    assert "its sources do not fit its documents" in caplog.text


def test_ctrl_c_leaves_the_old_index_and_says_so(pages: Path, path: Path) -> None:
    build(path, pages)
    before = content(path)
    (pages / "handbook" / "travel.txt").write_text("Take the bus.")

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "read":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"stopped while indexing .* The index that was there is as it was"):
        build_index([pages], path, legs=["lexical"], progress=interrupt)
    assert content(path) == before
    assert not list(path.glob("building-*"))


DISK_FULL = """
    import resource, sys
    from pathlib import Path
    from rag.core.errors import IndexProblem
    from rag.indexing import build_index
    from rag.stages import TRANSFORMS
    import retrievers.legs.lexical.leg, numpy, Stemmer

    _, room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), room))
    try:
        build_index([Path(sys.argv[1])], sys.argv[2], legs=["lexical"])
    except IndexProblem as problem:
        print(problem)
    else:
        print("it fitted")
"""


@pytest.mark.parametrize("room", [0, 100, 4_000, 30_000])
def test_a_full_disk_leaves_the_old_index_and_says_so(pages: Path, path: Path, room: int) -> None:
    build(path, pages)
    before = content(path)
    (pages / "long.txt").write_text(" ".join(f"word{n}" for n in range(20_000)))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DISK_FULL), str(pages), str(path), str(room)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"no room to write the index '{path}'" in done.stdout, done.stdout + done.stderr
    assert "The index that was there is as it was" in done.stdout
    assert content(path) == before
    assert not list(path.glob("building-*"))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


KILLED_IN_EACH_PART = """
    import os, signal, sys
    from pathlib import Path
    from rag.indexing import build_index
    from rag.stages import TRANSFORMS
    from rag.core.types import Document
    from retrievers.index.directory import LocalIndex
    import retrievers.legs.lexical.leg, numpy, Stemmer

    pages, path = Path(sys.argv[1]), Path(sys.argv[2])

    def seen():
        with LocalIndex.open(path) as index:
            index.verify()
            return [d.text for d in index.documents if d.parent == "pages/handbook/travel.txt"]

    build_index([pages], path, legs=["lexical"])
    step, kills, survived = 0, [], 0
    while True:
        step += 1
        before = seen()
        (pages / "handbook" / "travel.txt").write_text(f"Journey number {step}.")
        child = os.fork()
        if child == 0:
            count = 0
            def progress(what, done, total):
                global count
                count += 1
                if count == step:
                    print(what, flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
            build_index([pages], path, legs=["lexical"], progress=progress)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        after = seen()
        if os.WIFSIGNALED(status):
            assert after == before, (step, before, after)
        else:
            assert after == [f"Journey number {step}."], after
            break
"""


def test_a_kill_in_any_part_of_a_build_leaves_the_old_index(pages: Path, path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_IN_EACH_PART), str(pages), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"compare", "read", "analysing"} <= set(done.stdout.split())


def test_a_second_build_of_the_same_index_is_refused(pages: Path, path: Path) -> None:
    refused: list[str] = []

    def build_again(what: str, done: int, total: int) -> None:
        if not refused:
            with pytest.raises(IndexProblem) as caught:
                build(path, pages)
            refused.append(str(caught.value))

    build_index([pages], path, legs=["lexical"], progress=build_again)
    assert f"is being built by another process (pid {os.getpid()})" in refused[0]


def key(*sources: Path, legs: Sequence[str] = ("lexical",), **settings: Any) -> str:
    return index_key(sources, settings=IndexSettings.model_validate(settings), legs=legs)


def test_the_key_of_an_index_follows_content_and_settings(tmp_path: Path, pages: Path) -> None:
    first = key(pages)
    assert key(pages) == first
    assert key(shutil.copytree(pages, tmp_path / "moved" / "pages")) == first
    assert key(pages, dense={"structure": "hnsw"}) == first
    assert key(pages, bm25={"k1": 2.0}) != first
    assert key(pages, analyzer={"language": "de"}) != first
    assert key(pages, chunking={"tokens": 99}) != first
    (pages / "handbook" / "travel.txt").write_text("Take the bus.")
    assert key(pages) != first
