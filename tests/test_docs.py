from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from pathlib import Path

import pytest

from docs.generate import pages
from rag.cli.parser import parser
from rag.core.yaml_source import parse_yaml
from rag.graph.check import check
from rag.graph.load import load_spec

ROOT = Path(__file__).resolve().parents[1]
SHELL = frozenset({"|", ">", "<", "&&", "&", ";"})
PROSE = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
WORDS_OF_A_PAGE, WORDS_OF_THE_GUIDE = 2_500, 45_000


def test_generated_pages_are_fresh() -> None:
    made = pages()
    assert {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in made} == made, "run: make docs"


def test_the_guide_can_be_read() -> None:
    words = {page.name: len(page.read_text(encoding="utf-8").split()) for page in (ROOT / "docs").glob("*.md")}
    assert {name: n for name, n in words.items() if n > WORDS_OF_A_PAGE} == {}, (
        "what one looks up goes to docs/reference"
    )
    assert sum(words.values()) <= WORDS_OF_THE_GUIDE


def test_before_a_command_is_first_typed_the_readme_says_how_it_is_found() -> None:
    """`make demo` installs into `.venv`, which no shell looks into by itself."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert 0 < readme.index("source .venv/bin/activate") < readme.index("\nrag ")
    for page in (readme, (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")):
        assert "source .venv/bin/activate" in page
        assert "pip install ./plugins/serve" in page


@pytest.mark.parametrize("page", PROSE, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.fixture(scope="module")
def arguments() -> ArgumentParser:
    """Of `rag`: hundreds of commands are read, and to make it takes longer than to read one."""
    return parser()


@pytest.mark.parametrize("page", PROSE, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_in_examples_are_those_that_there_are(page: Path, arguments: ArgumentParser) -> None:
    text = page.read_text(encoding="utf-8")
    lines = (
        "\n".join(re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
        .replace("\\\n", " ")
        .splitlines()
    )
    for line in lines:
        if line.strip().startswith("rag "):
            words = shlex.split(line, comments=True)
            end = next((place for place, word in enumerate(words) if word in SHELL), len(words))
            arguments.parse_args(words[1:end])


def test_the_graph_in_the_reference_is_good() -> None:
    text = (ROOT / "docs" / "graph.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    assert check(load_spec(parse_yaml(example.group(1), name="graph.md").data)).problems == []


def test_the_graphs_of_the_legs_are_good() -> None:
    text = (ROOT / "docs" / "which_leg.md").read_text(encoding="utf-8")
    graphs = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(graphs) == 4
    for graph in graphs:
        assert check(load_spec(parse_yaml(graph, name="which_leg.md").data)).problems == []


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


def test_the_loop_in_the_guide_goes_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from generators import GENERATORS
    from rag.pipeline import load_pipeline
    from retrievers import RETRIEVERS
    from tests.rag.graph.parts import FixedRetriever

    text = (ROOT / "docs" / "add_a_component.md").read_text(encoding="utf-8")
    beginning = r"from collections\.abc import Sequence\nfrom dataclasses import replace"
    example = re.search(rf"```python\n({beginning}.*?)```", text, re.DOTALL)
    assert example is not None
    space: dict[str, object] = {"__name__": "guide"}
    exec(compile(example.group(1), "add_a_component.md", "exec"), space)
    monkeypatch.setitem(GENERATORS._table, "test_guide", space["FollowUp"])
    monkeypatch.setitem(RETRIEVERS._table, "test_fixed", FixedRetriever)
    graph = {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["yes"]}}},
        "graphs": {
            "word": {"nodes": {"said": {"use": "generate.closed_book", "with": {"llm": "small"}}}, "output": "said"}
        },
        "nodes": {
            "found": {"use": "retrieve.test_fixed", "k": 2},
            "context": {"use": "assemble.token_budget", "in": "found", "with": {"llm": "small", "max_tokens": 50}},
            "answer": {"use": "generate.test_guide", "in": "context", "with": {"answers": "word"}},
        },
        "output": "answer",
    }
    with load_pipeline(graph) as pipeline:
        result = pipeline.run(["one two three", "four"])
    assert [answer.text for answer in result.answers] == ["yes yes yes", "yes"]
    assert next(report for report in result.nodes if report.name == "answer/word/said").usage.calls == 4


@pytest.mark.parametrize("page", PROSE, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_prose_line_ends_before_column_120(page: Path) -> None:
    fenced, long = False, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fenced ^= line.strip().startswith("```")
        if not fenced and len(line) > 120 and not line.strip().startswith(("|", "!", "<")):
            long.append(number)
    assert long == []


def test_installs_from_a_checkout_stay_editable() -> None:
    """Without -e, an extra that is added later undoes the editable install of `make demo`."""
    undoing = re.compile(r"pip install (?:--\S+ )*(?:'\.\[|\.(?=[`\s]))")
    told = [*PROSE, *sorted((ROOT / "rag").rglob("*.py"))]
    found = [page.name for page in told if undoing.search(page.read_text(encoding="utf-8"))]
    assert found == ["deployment.md"], "say pip install -e '.[extra]'; a locked deployment alone is built once"
    assert undoing.search("pip install '.[ocr]'")
    assert not undoing.search("pip install -e '.[ocr]'")
