"""`structure: auto`: what a build chooses, how it is matched, and what becomes of an index that grows past a bound."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rag.cli import main
from rag.core.errors import IndexMismatch
from rag.core.types import Query
from rag.indexing import (
    IndexReport,
    add_documents,
    build_index,
    index_key,
    merge_index,
    remove_documents,
    update_documents,
)
from rag.indexing.shadow import build_shadow, shadow_of
from retrievers.index.directory import LocalIndex
from retrievers.index.joined import joined_address
from retrievers.index.opening import open_index
from retrievers.index.settings import IndexSettings
from retrievers.legs.dense.by_size import BY_SIZE, Size, by_size
from retrievers.legs.dense.kind import DenseKind
from retrievers.legs.dense.retriever import DenseRetriever
from retrievers.legs.dense.settings import DenseSettings
from retrievers.stores import STRUCTURES
from tests.retrievers.tiny_encoders import WIDTH, WORDS, tiny_static
from tests.tiny_models import tiny_sentence_model

DIM = WIDTH
FLAT, HNSW = ("flat", "float32"), ("hnsw", "float32")
LOWERED = (  # flat up to 5 vectors of the encoder below, hnsw up to 20
    Size(most_bytes=5 * DIM * 4, structure="flat", storage="float32", why="small"),
    Size(most_bytes=20 * DIM * 4, structure="hnsw", storage="float32", why="middling"),
    Size(most_bytes=None, structure="ivf_pq", storage="float32", why="large"),
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose vectors do not depend, to the bit, on what else is read with them."""
    return tiny_static(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def _lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DenseKind, "sizes", LOWERED)


def settings(encoder: Path, **dense: Any) -> IndexSettings:
    return IndexSettings.model_validate({"dense": {"encoder": str(encoder), **dense}})


def texts(numbers: Iterable[int]) -> list[dict[str, str]]:
    """Records by their number."""
    return [{"id": f"r{n}", "text": " ".join(random.Random(n).sample(WORDS, 4))} for n in numbers]


def built(path: Path, n: int, encoder: Path, **dense: Any) -> IndexReport:
    """An index of so many texts in a file beside it; auto, where nothing else is said."""
    corpus = path.parent / f"{path.name}-{n}" / "corpus.jsonl"
    corpus.parent.mkdir(exist_ok=True)
    corpus.write_text("".join(json.dumps(record) + "\n" for record in texts(range(n))))
    return build_index(corpus, path, settings=settings(encoder, **(dense or {"structure": "auto"})), legs=["dense"])


def layout(path: Path) -> tuple[str, str]:
    with LocalIndex.open(path) as index:
        facts = index.facts("dense")
        return facts["structure"], facts["storage"]


def hits(path: Path, *, k: int = 30) -> list[list[tuple[str, float]]]:
    queries = [Query(qid=record["id"], text=record["text"]) for record in texts(range(5))]
    with LocalIndex.open(path) as index:
        rankings = DenseRetriever(index=index).retrieve(queries, k=k)
    return [[(hit.doc_id, hit.score) for hit in ranking.hits] for ranking in rankings]


# --- the table ---


@pytest.mark.parametrize(
    ("rows", "dim", "structure"),
    [
        (0, 100, "flat"),
        (1_000_000, 100, "flat"),
        (1_000_001, 100, "rabitq"),
        (97_656, 1024, "flat"),  # as many bytes, in fewer and longer vectors
        (97_657, 1024, "rabitq"),
    ],
)
def test_bytes_decide(rows: int, dim: int, structure: str) -> None:
    choice = by_size(BY_SIZE, rows=rows, dim=dim)
    assert choice.facts == {"structure": structure, "storage": "float32"}
    assert choice.why.startswith(f"{rows:,} vectors of {dim:,} numbers are ")


def test_the_reason_names_the_bound() -> None:
    small, large = (by_size(BY_SIZE, rows=n, dim=384).why for n in (5_183, 1_000_000))
    assert small.startswith("5,183 vectors of 384 numbers are 7.96 MB; up to 400 MB, ")
    assert large.startswith("1,000,000 vectors of 384 numbers are 1,536 MB; a search reads short codes")


def test_the_table_is_in_order_and_names_what_is_there() -> None:
    bounds = [size.most_bytes for size in BY_SIZE]
    assert bounds[-1] is None
    finite = [bound for bound in bounds[:-1] if bound is not None]
    assert finite == sorted(set(finite)) == bounds[:-1]
    for size in BY_SIZE:
        assert size.structure in STRUCTURES
        DenseSettings.model_validate({"structure": size.structure, "storage": size.storage})


def test_the_guide_shows_this_table() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "graph.md").read_text("utf-8")
    rows = guide.partition("| vectors | chosen |\n| --- | --- |\n")[2].partition("\n\n")[0].splitlines()
    assert rows == [f"| {_bound(size.most_bytes)} | {size.structure}, {size.storage} |" for size in BY_SIZE]


def _bound(most_bytes: int | None) -> str:
    if most_bytes is None:
        return "more"
    return f"up to {most_bytes / 1e6:,.0f} MB ({most_bytes // (4 * 384):,} of 384 numbers)"


# --- settings ---


def test_a_storage_beside_auto_is_refused() -> None:
    for storage in ("int8", "float32"):
        with pytest.raises(ValidationError, match=r"auto chooses the storage too.*Leave storage out, or name a struct"):
            DenseSettings.model_validate({"structure": "auto", "storage": storage})


def test_settings_come_back_from_what_they_say() -> None:
    auto = IndexSettings.model_validate({"dense": {"structure": "auto"}})
    said = auto.counted(["dense"])
    assert said["dense"]["structure"] == "auto"
    assert "storage" not in said["dense"]
    assert IndexSettings.model_validate(said).counted(["dense"]) == said


def test_graphs_that_do_not_say_auto_are_what_they_were() -> None:
    assert DenseSettings().structure == "flat"
    assert list(DenseSettings().model_dump()) == ["encoder", "revision", "structure", "storage", "compute"]


# --- a build ---


@pytest.mark.usefixtures("_lowered")
@pytest.mark.parametrize(
    ("n", "structure", "why"),
    [(5, "flat", "small"), (6, "hnsw", "middling"), (20, "hnsw", "middling"), (21, "ivf_pq", "large")],
)
def test_both_sides_of_each_bound_are_built_and_searched(
    tmp_path: Path, encoder: Path, n: int, structure: str, why: str
) -> None:
    report = built(tmp_path / "auto", n, encoder)
    assert report.chosen["dense"].startswith(f"{structure}, float32: {n} vectors of 32 numbers are ")
    assert report.chosen["dense"].endswith(why)
    assert layout(tmp_path / "auto") == (structure, "float32")
    assert built(tmp_path / "named", n, encoder, structure=structure).chosen == {}
    assert hits(tmp_path / "auto") == hits(tmp_path / "named")
    for auto, named in zip(_files(tmp_path / "auto"), _files(tmp_path / "named"), strict=True):
        assert auto.read_bytes() == named.read_bytes()
    assert hits(tmp_path / "auto", k=1) == [[(f"r{q}", pytest.approx(1, abs=1e-5))] for q in range(5)]


def _files(path: Path) -> list[Path]:
    with LocalIndex.open(path) as index:
        return [index.file(name) for name in sorted(index.manifest.files) if name.startswith("dense/")]


@pytest.mark.usefixtures("_lowered")
@pytest.mark.parametrize("n", [5, 6, 21])
def test_two_builds_are_one_index_and_a_third_has_nothing_to_do(tmp_path: Path, encoder: Path, n: int) -> None:
    identities = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        built(tmp_path / name / "index", n, encoder)
        with LocalIndex.open(tmp_path / name / "index") as index:
            identities.append(index.identity)
    assert identities[0] == identities[1]
    again = built(tmp_path / "a" / "index", n, encoder)
    assert again.unchanged
    assert again.chosen["dense"].startswith(layout(tmp_path / "a" / "index")[0])


def test_int8_may_be_chosen_and_takes_its_vectors_over(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DenseKind, "sizes", (Size(most_bytes=None, structure="flat", storage="int8", why="test"),))
    path = tmp_path / "index"
    built(path, 8, encoder)
    report = add_documents(texts([8]), path)
    assert (report.n_parts, report.n_encoded, report.n_reused_vectors) == (1, 1, 8)
    assert layout(path) == ("flat", "int8")
    with LocalIndex.open(path) as index:
        index.check(settings(encoder, storage="int8"), ["dense"])
        with pytest.raises(
            IndexMismatch, match=r"dense.storage 'int8', chosen by structure: auto; the graph asks for 'fl"
        ):
            index.check(settings(encoder, storage="float32"), ["dense"])


# --- matching ---


@pytest.mark.usefixtures("_lowered")
@pytest.mark.parametrize(("n", "structure", "other"), [(5, "flat", "hnsw"), (6, "hnsw", "flat")])
def test_a_graph_that_names_a_structure_is_held_against_what_auto_chose(
    tmp_path: Path, encoder: Path, n: int, structure: str, other: str
) -> None:
    path = tmp_path / "index"
    built(path, n, encoder)
    with LocalIndex.open(path) as index:
        for dense in (
            {},
            {"structure": "auto"},
            {"structure": structure},
            {"structure": structure, "storage": "float32"},
        ):
            index.check(settings(encoder, **dense), ["dense"])
        said = f"built with dense.structure '{structure}', chosen by structure: auto; the graph asks for '{other}'"
        with pytest.raises(IndexMismatch, match=said):
            index.check(settings(encoder, structure=other), ["dense"])


@pytest.mark.parametrize("structure", ["flat", "hnsw"])
def test_auto_is_served_by_an_index_of_any_structure(tmp_path: Path, encoder: Path, structure: str) -> None:
    path = tmp_path / "index"
    built(path, 6, encoder, structure=structure)
    with LocalIndex.open(path) as index:
        index.check(settings(encoder, structure="auto"), ["dense"])


@pytest.mark.usefixtures("_lowered")
def test_indexes_on_both_sides_of_a_bound_are_searched_as_one(tmp_path: Path, encoder: Path) -> None:
    for name, n in (("small", 5), ("large", 6)):
        built(tmp_path / name, n, encoder)
    with open_index(joined_address([tmp_path / "small", tmp_path / "large"])) as index:
        index.check(settings(encoder, structure="auto"), ["dense"])
        [query] = texts([5])
        [ranking] = DenseRetriever(index=index).retrieve([Query(qid="q", text=query["text"])], k=1)
    assert ranking.doc_ids == ("large/r5",)


@pytest.mark.usefixtures("_lowered")
def test_an_index_that_names_its_structure_keeps_it_at_any_size(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "index"
    for dense in ({"structure": "flat"}, {"compute": "auto"}):  # said, and by default
        assert built(path, 6, encoder, **dense).chosen == {}
        assert add_documents(texts(range(100, 125)), path).chosen == {}
        assert build_index([], path).unchanged
        assert layout(path) == FLAT
        remove_documents(path, ids=[f"r{n}" for n in range(100, 125)])


# --- growth ---


@pytest.mark.usefixtures("_lowered")
def test_small_changes_lie_in_parts_and_answer_as_one_build(tmp_path: Path, encoder: Path) -> None:
    path, whole = tmp_path / "index", tmp_path / "whole"
    built(path, 3, encoder)
    report = add_documents(texts([3, 4]), path)
    assert (report.n_parts, report.chosen["dense"].startswith("flat, float32: 5 vectors")) == (2, True)
    built(whole, 5, encoder)
    assert hits(path) == hits(whole)


@pytest.mark.usefixtures("_lowered")
def test_parts_that_grow_past_a_bound_stay_exact_until_a_build_of_the_whole(tmp_path: Path, encoder: Path) -> None:
    path, exact = tmp_path / "index", tmp_path / "exact"
    built(path, 3, encoder)
    for n in range(3, 9):
        report = add_documents(texts([n]), path)
    built(exact, 9, encoder, structure="flat")
    assert (report.n_parts, layout(path), hits(path)) == (7, FLAT, hits(exact))
    outgrown = "flat, float32, as it was; the next build of the whole takes hnsw, float32: 9 vectors of 32 numbers"
    assert report.chosen["dense"].startswith(outgrown)

    report = merge_index(path)  # keeps its promise that rankings stay
    assert (report.n_parts, layout(path), hits(path)) == (1, FLAT, hits(exact))
    assert report.chosen["dense"].startswith(outgrown)

    report = build_index([], path)
    assert (report.unchanged, report.n_encoded, report.n_reused_vectors) == (False, 0, 9)
    assert report.chosen["dense"].startswith("hnsw, float32: 9 vectors")
    assert layout(path) == HNSW
    assert build_index([], path).unchanged


@pytest.mark.usefixtures("_lowered")
def test_parts_that_merge_by_themselves_stay_exact(tmp_path: Path, encoder: Path) -> None:
    path, exact = tmp_path / "index", tmp_path / "exact"
    built(path, 3, encoder)
    n_parts = [add_documents(texts([n]), path).n_parts for n in range(3, 13)]
    assert 1 in n_parts
    built(exact, 13, encoder, structure="flat")
    assert (layout(path), hits(path)) == (FLAT, hits(exact))


@pytest.mark.usefixtures("_lowered")
@pytest.mark.parametrize(("n", "structure"), [(6, "hnsw"), (30, "ivf_pq")])
def test_what_is_past_a_bound_by_itself_has_all_written_anew(
    tmp_path: Path, encoder: Path, n: int, structure: str
) -> None:
    path, whole = tmp_path / "index", tmp_path / "whole"
    built(path, 3, encoder)
    report = add_documents(texts(range(3, 3 + n)), path)
    assert (report.n_parts, layout(path)) == (1, (structure, "float32"))
    assert report.chosen["dense"].startswith(f"{structure}, float32: {3 + n} vectors")
    assert report.n_encoded == 0  # they were encoded when a part of their own was tried, and are taken from there
    built(whole, 3 + n, encoder)
    assert hits(path) == hits(whole)
    assert not any(path.glob("parts/*"))


@pytest.mark.usefixtures("_lowered")
def test_an_index_past_a_bound_is_written_anew_and_may_come_back(tmp_path: Path, encoder: Path) -> None:
    path, whole = tmp_path / "index", tmp_path / "whole"
    built(path, 6, encoder)
    report = add_documents(texts([6]), path)
    assert (report.n_parts, layout(path), report.n_encoded, report.n_reused_vectors) == (1, HNSW, 1, 6)
    update_documents(texts([6]), path)
    assert layout(path) == HNSW
    report = remove_documents(path, ids=["r6", "r5"])
    assert (layout(path), report.chosen["dense"].startswith("flat, float32: 5 vectors")) == (FLAT, True)
    built(whole, 5, encoder)
    assert hits(path) == hits(whole)
    assert remove_documents(path, ids="r4").n_parts == 1
    assert add_documents(texts([5]), path).n_parts == 2


@pytest.mark.usefixtures("_lowered")
def test_an_update_of_sources_chooses_anew(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "index"
    notes = tmp_path / "notes"
    notes.mkdir()
    for n in range(7):
        if n == 5:
            build_index(notes, path, settings=settings(encoder, structure="auto"), legs=["dense"])
            assert layout(path) == FLAT
        (notes / f"{n}.md").write_text(texts([n])[0]["text"])
    report = build_index([], path)
    assert (layout(path), report.n_encoded, report.n_reused_vectors) == (HNSW, 2, 5)


@pytest.mark.usefixtures("_lowered")
def test_from_a_named_structure_to_auto_nothing_is_encoded_again(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "index"
    built(path, 6, encoder, structure="flat")
    report = built(path, 6, encoder)
    assert (report.unchanged, report.n_encoded, layout(path)) == (False, 0, HNSW)


@pytest.mark.usefixtures("_lowered")
def test_a_shadow_chooses_for_its_own_vectors(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "index"
    built(path, 5, encoder)
    longer = tiny_sentence_model(tmp_path / "longer", dim=2 * DIM)
    build_shadow(path, encoder=str(longer))
    assert (layout(path), layout(shadow_of(path))) == (FLAT, HNSW)


def test_the_key_of_a_build_says_auto(tmp_path: Path, encoder: Path) -> None:
    (tmp_path / "a.md").write_text("figs")
    keys = [
        index_key(tmp_path / "a.md", settings=settings(encoder, **dense), legs=["dense"])
        for dense in ({}, {"structure": "flat"}, {"structure": "auto"})
    ]
    assert keys[0] == keys[1] != keys[2]


# --- the command ---


@pytest.mark.usefixtures("_lowered")
def test_the_command_tells_what_was_chosen_and_why(
    tmp_path: Path, encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*command: str) -> str:
        assert main([*command, "--index", str(tmp_path / "index")]) == 0
        return capsys.readouterr().out

    graph = tmp_path / "graph.yaml"
    graph.write_text(
        f"version: 1\nindex: {{dense: {{encoder: {encoder}, structure: auto}}}}\n"
        "nodes: {dense: {use: retrieve.dense, in: query, k: 9}}\noutput: dense\n"
    )
    corpus = _lines(tmp_path / "corpus.jsonl", range(5))
    flat = "dense: flat, float32: 5 vectors of 32 numbers are 0.00064 MB; up to 0.00064 MB, small\n"
    assert flat in said("index", corpus, "--graph", str(graph))
    more = _lines(tmp_path / "more.jsonl", [5])
    assert "dense: flat, float32, as it was; the next build of the whole takes hnsw" in said("add", more)
    report = json.loads(said("index", "--json"))  # no source, and nothing changed but the size
    assert report["chosen"]["dense"].startswith("hnsw, float32: 6 vectors")
    assert flat in said("remove", "r5")
    with_hnsw = graph.with_name("hnsw.yaml")
    with_hnsw.write_text(graph.read_text().replace("auto", "hnsw"))
    assert main(["search", "x", "--graph", str(with_hnsw), "--index", str(tmp_path / "index")]) != 0
    assert "dense.structure 'flat', chosen by structure: auto" in capsys.readouterr().err
    assert said("search", "x", "--graph", str(graph), "--json")


def _lines(path: Path, numbers: Sequence[int] | range) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in texts(numbers)))
    return str(path)
