from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import rag

ROOT = Path(rag.__file__).parent.parent


def test_all_is_sorted_and_every_name_is_there() -> None:
    assert rag.__all__ == sorted(rag.__all__)
    for name in rag.__all__:
        assert getattr(rag, name) is not None
    assert set(dir(rag)) == set(rag.__all__)


DEEP_IMPORTS = {
    "generators.llm": ["LLMS"],
    "rag.cli": ["main"],
    "rag.cli.ask": ["show_answer"],
    "rag.cli.progress": ["progress_bar"],
    "rag.core.in_step": ["Ask", "answered", "tagged", "together"],
    "rag.filters": ["OPERATORS", "Operator", "matches", "parse_where"],
    "rag.langchain": ["keeps_sources"],
    "rag.protocols": ["LLM", "ChoosingLLM", "LocalLLM", "ScoringLLM", "Subgraph"],
    "rag.ranking": ["completed", "ranked", "require_k"],
    "ragline_serve": ["ServeSettings", "create_app"],
    "ragline_serve.mcp.server": ["create_server"],
    "rag.stages": ["ASSEMBLERS", "FUSERS", "REFORMULATORS", "TRANSFORMS"],
    "rag.stages.fuse": ["WeightedFuser"],
    "rag.types": ["Answer", "Content", "Context", "Document", "Ranking", "ScoredDocument"],
    "rerankers": ["RERANKERS"],
    "rerankers.attention.reranker": ["AttentionReranker"],
    "retrievers.index": ["INDEXES", "SERVERS"],
    "rag.indexes": ["LEGS", "Built", "Job", "LegKind", "LegMaker", "Opening", "Sections"],
    "retrievers.stores": ["STRUCTURES"],
}
"""What the README, the docs and the examples import from further in."""


@pytest.mark.parametrize("module", DEEP_IMPORTS)
def test_what_the_docs_import_is_where_they_say(module: str) -> None:
    imported = import_module(module)
    assert [name for name in DEEP_IMPORTS[module] if not hasattr(imported, name)] == []


@pytest.mark.parametrize(
    ("module", "now"),
    [
        ("generators.typed", "ragline_recipes.typed"),
        ("rag.core.cluster", "ragline_cluster"),
        ("rag.mcp.server", "ragline_serve.mcp"),
        ("rag.serve", "ragline_serve"),
        ("rag.serving", "ragline_serve.parts"),
        ("rag.train.bitext", "ragline_train"),
        ("rag.train.dictionary", "ragline_train"),
        ("retrievers.encoder_kinds", "retrievers.encoders.kinds"),
        ("retrievers.index.protocol", "rag.indexes"),
        ("retrievers.servers.store", "ragline_servers"),
    ],
)
def test_what_the_docs_named_before_says_where_it_is(module: str, now: str) -> None:
    with pytest.raises(ImportError, match=now):
        import_module(module)


@pytest.mark.parametrize("name", ["to_file", "to_provider"])
def test_what_traced_before_says_where_it_is(name: str) -> None:
    with pytest.raises(ImportError, match=rf"ragline_tracing\.{name} now.*pip install \./plugins/tracing"):
        getattr(import_module("rag.tracing"), name)


@pytest.mark.parametrize("name", ["STORES", "WRITERS"])
def test_a_table_that_the_docs_named_before_says_where_it_is(name: str) -> None:
    with pytest.raises(ImportError, match=r"retrievers\.index\.SERVERS"):
        getattr(import_module("retrievers.index"), name)


def test_the_docs_import_nothing_else() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    wanted = re.compile(
        r"^(?:>>> )?\s*from ((?:rag|retrievers|rerankers|generators|prompts)[\w.]*) import (.+)$", re.MULTILINE
    )
    found = [match.groups() for page in pages for match in wanted.finditer(page.read_text(encoding="utf-8"))]
    assert found
    for module, names in found:
        known = set(dir(rag)) if module == "rag" else set(DEEP_IMPORTS.get(module, ()))
        assert {name.split(" as ")[0].strip() for name in names.split(",")} <= known, (module, names)


def test_the_records_import_nothing_of_ours() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, rag.core.types; print([m for m in sys.modules if m.startswith('rag.')])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "rag.core.protocols" not in done.stdout


@pytest.mark.parametrize("name", ["protocols", "types"])
def test_a_short_home_has_all_that_lives_in_the_long_one(name: str) -> None:
    """The classes that a file of the ground floor defines; what it only imports is at home elsewhere."""
    short, home = import_module(f"rag.{name}"), import_module(f"rag.core.{name}")
    own = {key: value for key, value in vars(home).items() if isinstance(value, type) and not key.startswith("_")}
    classes = {key for key, value in own.items() if value.__module__ == home.__name__}
    assert classes - set(short.__all__) == set()
    assert all(hasattr(short, key) for key in short.__all__)
