from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from rag.core import plugins
from rag.core.errors import IndexMismatch, IndexProblem
from rag.ingest.settings import ChunkSettings
from rag.models import weights_sha256
from retrievers.index import digests
from retrievers.index.digests import CheckedFiles, FileFacts, describe_files
from retrievers.index.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    CorpusFacts,
    Manifest,
    read_manifest,
    write_manifest,
)
from retrievers.index.opened import require_match
from retrievers.index.settings import IndexSettings
from retrievers.legs import LEGS

A, B = "a" * 64, "b" * 64


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "ragline_version": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "legs": {"lexical": {"variant": "lucene"}},
        "settings": IndexSettings(),
        "corpus": CorpusFacts(sha256=A, n_files=1, n_documents=2, n_units=3),
        "ruler": {"kind": "words"},
        "files": {"documents.jsonl": FileFacts(sha256=A, size_bytes=3)},
    }
    return Manifest(**{**fields, **changes})


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    settings = IndexSettings.model_validate({"transforms": [{"use": "identifiers", "with": {"n": 1}}]})
    written = manifest(settings=settings)
    write_manifest(tmp_path, written)
    assert read_manifest(tmp_path, name="x") == written


def test_what_legs_say_counts() -> None:
    legs = {"lexical": {"variant": "lucene"}, "promptreps": {"rows": 3}}
    assert manifest(legs=legs).identity != manifest(legs={**legs, "promptreps": {"rows": 4}}).identity


OLD = {
    "format_version": 1,
    "ragline_version": "0.1.0",
    "created": "2026-01-01T00:00:00+00:00",
    "legs": ["lexical", "dense"],
    "settings": {
        "analyzer": {"language": "de", "stemmer": "auto", "stop_words": "auto"},
        "bm25": {"variant": "lucene", "k1": 1.2, "b": 0.4, "delta": 1.0},
        "dense": {
            "encoder": "e5",
            "revision": None,
            "structure": "hnsw",
            "storage": "int8",
            "compute": "auto",
        },
        "chunking": ChunkSettings().model_dump(mode="json"),
        "transforms": [{"use": "identifiers", "params": {}}],
    },
    "corpus": {"sha256": A, "n_files": 1, "n_documents": 2, "n_units": 3},
    "ruler": {"kind": "encoder tokens", "name": "e5"},
    "lexical": {"variant": "lucene", "n_terms": 9},
    "dense": {"structure": "hnsw", "recall_at_10": 0.99},
    "encoder": {"name": "e5", "compute": "bfloat16"},
    "files": {"documents.jsonl": {"sha256": A, "size_bytes": 3}},
}
"""A manifest as ragline wrote it before legs were a table."""


PROMPTREPS = {
    "model": "smollm2-135m-instruct",
    "revision": None,
    "dtype": "auto",
    "prompt": "promptreps",
    "text_tokens": 512,
    "sparse_tokens": 128,
}


def old_manifest(*, promptreps: dict[str, int] | None, **said: Any) -> dict[str, Any]:
    """Of format 2, which said of every index what its promptreps leg would be."""
    old: dict[str, Any] = json.loads(json.dumps(OLD))
    settings, files = old["settings"], old.pop("files")
    rest = {name: settings.pop(name) for name in ("chunking", "transforms")}
    settings |= {"promptreps": PROMPTREPS | said, **rest}
    legs = [*old["legs"], *(["promptreps"] if promptreps else [])]
    return old | {"format_version": 2, "legs": legs, "promptreps": promptreps, "files": files}


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where ragline is installed alone."""
    monkeypatch.setattr("rag.core.plugins.all_shipped", dict)
    monkeypatch.setattr(LEGS, "_table", {name: LEGS._table[name] for name in LEGS.shipped})
    plugins.shipped.cache_clear()
    yield
    plugins.shipped.cache_clear()


def test_an_old_index_of_words_opens_without_the_plugin_of_a_leg_that_it_has_not(
    tmp_path: Path, no_plugins: None
) -> None:
    _stays_what_it_was(tmp_path, old_manifest(promptreps=None))


@pytest.mark.parametrize("legs", [{"promptreps": {"rows": 3}}, ["lexical", "promptreps"]])
def test_an_index_with_a_leg_of_a_plugin_says_which_to_install(tmp_path: Path, no_plugins: None, legs: Any) -> None:
    (tmp_path / MANIFEST).write_text(
        json.dumps({**OLD, "format_version": 9 if isinstance(legs, dict) else 2, "legs": legs})
    )
    with pytest.raises(
        IndexProblem, match=r"a leg 'promptreps', which is not known here.*pip install \./plugins/recipes"
    ):
        read_manifest(tmp_path, name="x")


@pytest.mark.parametrize(
    "old", [OLD, old_manifest(promptreps=None), old_manifest(promptreps={"rows": 3}, text_tokens=7)]
)
def test_an_old_manifest_is_read_and_written_as_it_was(tmp_path: Path, old: dict[str, Any]) -> None:
    _stays_what_it_was(tmp_path, old)


def _stays_what_it_was(tmp_path: Path, old: dict[str, Any]) -> None:
    old = dict(old)
    text = json.dumps(old, indent=1) + "\n"
    (tmp_path / MANIFEST).write_text(text)
    opened = read_manifest(tmp_path, name="x")
    assert opened.legs["dense"] == {**old["dense"], "encoder": old["encoder"]}
    assert opened.legs["lexical"] == old["lexical"]
    write_manifest(tmp_path, opened)
    assert (tmp_path / MANIFEST).read_text() == text
    del old["created"]
    assert opened.identity == hashlib.sha256(json.dumps(old, separators=(",", ":")).encode()).hexdigest()


def test_identity_leaves_out_the_time_alone() -> None:
    assert manifest().identity == manifest(created="2030-01-01T00:00:00+00:00").identity
    assert manifest().identity != manifest(ruler={"kind": "other"}).identity


def test_a_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"format_version": 99, "ragline_version": "7.0", "new": {}}))
    told = rf"format 99, written by ragline 7.0; this is .* reads up to {FORMAT_VERSION}. Upgrade"
    with pytest.raises(IndexProblem, match=told):
        read_manifest(tmp_path, name="x")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format_version": 1}',
        b"[" * 100_000,
        b'{"format_version": "1.5"}',
        b'{"format_version":' + b"9" * 5000 + b"}",
    ],
)
def test_a_damaged_manifest_is_an_index_problem(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(raw)
    with pytest.raises(IndexProblem, match="Build the index again: rag index --index x"):
        read_manifest(tmp_path, name="x")


def test_a_huge_manifest_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / MANIFEST).open("wb") as stream:
        stream.truncate(10_000_000_000)
    with pytest.raises(IndexProblem, match="is over 16,000,000 bytes"):
        read_manifest(tmp_path, name="x")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "", ".", "a\0b", "a/..", "./a"])
def test_a_file_name_that_leads_out_of_the_index_is_refused(tmp_path: Path, name: str) -> None:
    raw = json.loads(manifest().model_dump_json())
    raw["files"] = {name: {"sha256": A, "size_bytes": 1}}
    (tmp_path / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(IndexProblem, match="is no file of an index"):
        read_manifest(tmp_path, name="x")


@pytest.mark.parametrize(
    "change",
    [{"legs": []}, {"legs": ["strange"]}, {"extra": 1}, {"files": {"a": {"sha256": "z", "size_bytes": 1}}}],
)
def test_a_manifest_with_unknown_parts_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(json.loads(manifest().model_dump_json()) | change))
    with pytest.raises(IndexProblem, match="is damaged"):
        read_manifest(tmp_path, name="x")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "leg").mkdir()
    (tmp_path / "documents.jsonl").write_bytes(b"abc")
    (tmp_path / "leg" / "data.npy").write_bytes(b"0123456789")
    return tmp_path


def test_facts_name_every_file_by_its_relative_path(files: Path) -> None:
    facts = describe_files(files)
    assert {name: fact.size_bytes for name, fact in facts.items()} == {
        "documents.jsonl": 3,
        "leg/data.npy": 10,
    }
    # sha256("abc"), FIPS 180-2 appendix B.1
    assert facts["documents.jsonl"].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert list(describe_files(files, leave_out=["documents.jsonl"])) == ["leg/data.npy"]


def test_a_flipped_byte_is_found_at_open(files: Path) -> None:
    facts = describe_files(files)
    (files / "leg" / "data.npy").write_bytes(b"0123456799")
    with pytest.raises(IndexProblem, match=r"'x' is damaged: leg/data.npy: content changed .*rag index --index x"):
        CheckedFiles(files, facts, name="x")


def test_a_large_index_is_checked_file_by_file_when_it_is_used(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "CHECKED_AT_OPEN_BYTES", 12)
    facts = describe_files(files)
    (files / "leg" / "data.npy").write_bytes(b"0123456799")
    checked = CheckedFiles(files, facts, name="x")
    checked.require("documents.")
    for _ in range(2):
        with pytest.raises(IndexProblem, match=r"leg/data.npy: content changed"):
            checked.require("leg/")
    with pytest.raises(IndexProblem, match=r"leg/data.npy: content changed"):
        checked.verify()


def test_a_large_index_is_not_read_at_open_but_its_sizes_are_compared(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "CHECKED_AT_OPEN_BYTES", 12)
    facts = describe_files(files)
    os.truncate(files / "leg" / "data.npy", 4)
    with pytest.raises(IndexProblem, match=r"leg/data.npy: 4 bytes, written were 10"):
        CheckedFiles(files, facts, name="x")


def test_all_damaged_files_are_listed(files: Path) -> None:
    facts = describe_files(files)
    (files / "documents.jsonl").unlink()
    (files / "leg" / "data.npy").unlink()
    os.mkfifo(files / "leg" / "data.npy")
    with pytest.raises(IndexProblem, match=r"documents.jsonl: No such file.*leg/data.npy: not a regular file"):
        CheckedFiles(files, facts, name="x")


def test_a_link_out_of_the_index_is_refused_even_where_the_content_fits(
    files: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    facts = describe_files(files)
    outside = tmp_path_factory.mktemp("outside") / "data"
    (files / "leg" / "data.npy").rename(outside)
    (files / "leg" / "data.npy").symlink_to(outside)
    with pytest.raises(IndexProblem, match="not a regular file"):
        CheckedFiles(files, facts, name="x")


def test_damage_after_opening_is_found_by_verify(files: Path) -> None:
    checked = CheckedFiles(files, describe_files(files), name="x")
    checked.verify()
    (files / "documents.jsonl").write_bytes(b"abd")
    with pytest.raises(IndexProblem, match=r"documents.jsonl: content changed"):
        checked.verify()


def settings(**sections: Any) -> IndexSettings:
    return IndexSettings.model_validate(sections)


def test_what_a_graph_does_not_say_is_not_compared() -> None:
    built = manifest(settings=settings(analyzer={"language": "de"}, bm25={"k1": 1.2}, chunking={"tokens": 99}))
    require_match(built, IndexSettings(), ["lexical"], name="x")
    require_match(built, settings(bm25={"k1": 1.2}, chunking={}), ["lexical"], name="x")


def test_every_difference_is_named_with_both_sides() -> None:
    with pytest.raises(IndexMismatch) as caught:
        require_match(
            manifest(),
            settings(bm25={"k1": 1.2, "b": 0.4}, chunking={"tokens": 100}, transforms=[{"use": "identifiers"}]),
            ["lexical"],
            name="x",
        )
    message = str(caught.value)
    assert "index 'x' cannot serve this graph" in message
    assert "built with bm25.k1 0.9; the graph asks for 1.2" in message
    assert "built with chunking.tokens 200; the graph asks for 100" in message
    assert "built with transforms []; the graph asks for [identifiers {}]" in message
    assert "bm25.b" not in message


@pytest.mark.parametrize(
    ("facts", "asked", "fits"),
    [
        ({}, {"cjk": "bigrams"}, False),  # from before there was a choice
        ({}, {"cjk": "characters"}, True),
        ({}, {"cjk": "auto"}, True),
        ({}, {"language": "zh"}, True),
        ({"cjk": "bigrams"}, {"cjk": "bigrams"}, True),
        ({"cjk": "bigrams"}, {"cjk": "characters"}, False),
    ],
)
def test_how_chinese_was_cut_is_told_by_the_index_and_not_by_what_auto_is_now(
    facts: dict[str, Any], asked: dict[str, Any], fits: bool
) -> None:
    built = manifest(settings=settings(analyzer={"language": "zh"}), legs={"lexical": {"analyzer": facts}})
    if fits:
        require_match(built, settings(analyzer=asked), ["lexical"], name="x")
    else:
        was = facts.get("cjk", "characters")
        with pytest.raises(
            IndexMismatch, match=rf"built with analyzer.cjk '{was}'; the graph asks for '{asked['cjk']}'"
        ):
            require_match(built, settings(analyzer=asked), ["lexical"], name="x")


def test_a_missing_leg_says_what_there_is_and_what_to_run() -> None:
    with pytest.raises(IndexMismatch, match=r"no dense leg; built with legs lexical; run: rag index .* --graph hybrid"):
        require_match(manifest(), IndexSettings(), ["lexical", "dense"], name="x")


def test_sections_of_legs_that_the_graph_does_not_use_do_not_count() -> None:
    require_match(manifest(), settings(dense={"encoder": "another"}), ["lexical"], name="x")


@pytest.mark.parametrize(
    ("built", "asked", "fits"),
    [
        ({"language": "en"}, {"stemmer": "porter"}, True),
        ({"language": "en", "stemmer": "porter"}, {"stemmer": "auto"}, True),
        ({"language": "en"}, {"stemmer": "snowball"}, False),
        ({"language": "de"}, {"stemmer": "snowball", "language": "de"}, True),
        ({"language": "de"}, {"language": "en"}, False),
        ({"language": "de"}, {"stop_words": "none"}, True),
        ({"language": "en"}, {"stop_words": "none"}, False),
    ],
)
def test_analyzers_that_make_the_same_terms_match(built: dict[str, str], asked: dict[str, str], fits: bool) -> None:
    index = manifest(settings=settings(analyzer=built))
    if fits:
        require_match(index, settings(analyzer=asked), ["lexical"], name="x")
    else:
        with pytest.raises(IndexMismatch, match="it was built with analyzer"):
            require_match(index, settings(analyzer=asked), ["lexical"], name="x")


def dense_manifest(encoder: str, **facts: Any) -> Manifest:
    return manifest(
        legs=("dense",),
        settings=settings(dense={"encoder": encoder}),
        dense={},
        encoder={"name": encoder, "weights_sha256": B, "compute": "bfloat16", **facts},
    )


def test_another_encoder_is_refused_with_both_names() -> None:
    with pytest.raises(IndexMismatch, match=r"built with dense.encoder 'e5'; the graph asks for 'bge'"):
        require_match(dense_manifest("e5"), settings(dense={"encoder": "bge"}), ["dense"], name="x")


def test_one_encoder_under_two_names_is_the_same(tmp_path: Path) -> None:
    save_file({"w": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    same = dense_manifest("my-encoder", weights_sha256=weights_sha256(tmp_path))
    require_match(same, settings(dense={"encoder": str(tmp_path)}), ["dense"], name="x")
    with pytest.raises(IndexMismatch, match=r"built with dense.encoder 'my-encoder'"):
        require_match(dense_manifest("my-encoder"), settings(dense={"encoder": str(tmp_path)}), ["dense"], name="x")


@pytest.mark.parametrize(("asked", "fits"), [("auto", True), ("bfloat16", True), ("float32", False)])
def test_the_data_type_is_compared_with_what_was_used(asked: str, fits: bool) -> None:
    graph = settings(dense={"compute": asked})
    if fits:
        require_match(dense_manifest("e5"), graph, ["dense"], name="x")
    else:
        with pytest.raises(IndexMismatch, match=r"built with dense.compute 'bfloat16'; the graph asks for 'float32'"):
            require_match(dense_manifest("e5"), graph, ["dense"], name="x")


def test_legs_are_ordered_and_checked() -> None:
    settings = IndexSettings.model_validate({"legs": {"b": {"kind": "dense"}, "a": {"kind": "sparse"}}})
    assert settings.ordered(["a", "dense", "b", "lexical", "dense"]) == ("lexical", "dense", "b", "a")
    for wrong in ([], ["strange"], ["lexical", "strange"]):
        with pytest.raises(ValueError, match="legs must be some of lexical, dense"):
            settings.ordered(wrong)
