from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import pages
from rag.core.yaml_source import parse_yaml
from rag.graph.check import check
from rag.graph.load import load_spec

ROOT = Path(__file__).resolve().parents[1]
PROSE = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("name", pages())
def test_generated_pages_are_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name], "run: make docs"


@pytest.mark.parametrize("page", PROSE, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_graph_in_the_reference_is_good() -> None:
    text = (ROOT / "docs" / "graph.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert check(load_spec(parse_yaml(example.group(1), name="graph.md").data)).problems == []


def test_the_reranker_in_the_guide_works(rankings: list[object]) -> None:
    text = (ROOT / "docs" / "add_a_component.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(\"\"\"Longest.*?)```", text, re.DOTALL)
    assert example is not None
    space: dict[str, object] = {}
    exec(compile(example.group(1), "add_a_component.md", "exec"), space)
    made = space["LongestReranker"](unit="words").rerank(rankings, k=3)  # type: ignore[operator]
    lengths = [len(hit.document.text.split()) for hit in made[0].hits]
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) == 3
