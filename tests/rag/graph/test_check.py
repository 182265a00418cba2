from __future__ import annotations

from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.graph.build import build
from rag.graph.check import check
from rag.graph.load import builtin_names, load_spec

GOOD = """\
version: 1
models:
  small: {use: llm.scripted, with: {replies: [hello]}}
nodes:
  one: {use: retrieve.test_fixed, in: query, k: 5}
  two: {use: retrieve.test_fixed, in: query, k: 5, with: {first: 3}}
  both: {use: fuse.rrf, in: [one, two], k: 4}
  best: {use: rerank.test_llm, in: both, k: 2, with: {llm: small}}
output: best
"""


def problems(text: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "g.yaml"
    path.write_text(text)
    return [p.replace(str(path), "g.yaml") for p in check(load_spec(path)).problems]


def test_a_good_graph_has_no_problems(tmp_path: Path) -> None:
    assert problems(GOOD, tmp_path) == []


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_graphs_are_good(name: str) -> None:
    assert check(load_spec(name)).problems == []


CASES = {
    "unknown component": (
        "rerank.test_llm",
        "rerank.test_lm",
        "g.yaml:8: node 'best': no component named 'rerank.test_lm'. Did you mean 'test_llm'",
    ),
    "unknown stage": (
        "fuse.rrf",
        "fusion.rrf",
        "g.yaml:7: node 'both': no stage 'fusion' in nodes. Did you mean 'fuse'",
    ),
    "unknown parameter": (
        "first: 3",
        "frist: 3",
        "g.yaml:6: node 'two': retrieve.test_fixed has no parameter 'frist'",
    ),
    "wrong parameter type": (
        "first: 3",
        "first: third",
        "retrieve.test_fixed: first: input should be a valid integer",
    ),
    "refused parameter": (
        "llm: small",
        "llm: small, window: 1",
        "g.yaml:8: node 'best': window must be at least 2",
    ),
    "missing parameter": (", with: {llm: small}", "", "rerank.test_llm needs the parameter 'llm'"),
    "unknown model": ("llm: small", "llm: smal", "no model 'smal' for 'llm'. Did you mean 'small'"),
    "missing input": ("[one, two]", "[one, tow]", "g.yaml:7: node 'both': no node 'tow' to take input from"),
    "missing output": ("output: best", "output: bset", "output: no node 'bset'. Did you mean 'best'"),
    "cycle": ("in: query, k: 5, with", "in: best, k: 5, with", "feed each other in a circle"),
    "wrong type": (
        "in: both",
        "in: query",
        "rerank.test_llm takes rankings, but its input 'query' gives queries",
    ),
    "unused node": ("[one, two]", "[one]", "g.yaml:6: node 'two': nothing leads from it to the output"),
    "no k": ("in: [one, two], k: 4", "in: [one, two]", "fuse.rrf needs k"),
    "k of zero": ("k: 4", "k: 0", "g.yaml:7: nodes.both.k: input should be greater than 0, got '0'"),
    "too many inputs": ("in: both", "in: [both, one]", "rerank.test_llm takes 1 input(s) (rankings), got 2"),
    "unknown key": (
        "output: best",
        "output: best\nmodel: {}",
        "g.yaml:10: model: unknown key. Did you mean 'models'",
    ),
    "unknown key of the recipe": (
        "output: best",
        "output: best\nrecipe: {system: S, sources: P}",
        "g.yaml:10: recipe.sources: unknown key. Did you mean 'source'",
    ),
    "unknown node key": ("k: 2", "top_k: 2", "nodes.best.top_k: unknown key"),
    "no version": ("version: 1\n", "", "version: is missing"),
    "other version": ("version: 1", "version: 2", "g.yaml:1: version: input should be 1, got '2'"),
    "no power": (
        "rerank.test_llm",
        "rerank.test_weights",
        "needs a model that can lend its weights; 'small' (llm.scripted) cannot",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_named_with_its_line(case: str, tmp_path: Path) -> None:
    old, new, message = CASES[case]
    assert old in GOOD
    try:
        found = "\n".join(problems(GOOD.replace(old, new), tmp_path))
    except SpecError as error:
        found = str(error).replace(str(tmp_path / "g.yaml"), "g.yaml")
    assert message in found


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    bad = GOOD.replace("fuse.rrf", "fuse.rff").replace("first: 3", "frist: 3").replace("llm: small", "llm: tiny")
    assert len(problems(bad, tmp_path)) == 3


def test_variants_must_be_fused_before_the_output(tmp_path: Path) -> None:
    text = """\
version: 1
nodes:
  more: {use: reformulate.test_two}
  found: {use: retrieve.test_fixed, in: more, k: 5}
output: found
"""
    assert "several records per question" in problems(text, tmp_path)[0]
    fused = text.replace("output: found", "  one: {use: fuse.rrf, in: found, k: 5}\noutput: one")
    assert problems(fused, tmp_path) == []


def test_a_graph_that_searches_needs_an_index() -> None:
    with pytest.raises(SpecError, match=r"^built-in graph bm25: no index\. Give --index DIR"):
        build(load_spec("bm25"))


def test_an_unknown_graph_name_lists_the_built_in_ones() -> None:
    with pytest.raises(SpecError, match="Did you mean 'hybrid'"):
        load_spec("hybird")


def test_a_graph_can_be_plain_data() -> None:
    spec = load_spec({"version": 1, "nodes": {"a": {"use": "retrieve.test_fixed", "k": 3}}, "output": "a"})
    assert check(spec).problems == []
    with pytest.raises(SpecError, match="nodes: is missing"):
        load_spec({"version": 1, "output": "a"})


@pytest.mark.parametrize(
    ("fuser", "told"),
    [
        ("{use: fuse.rrf, in: [one, two], k: 4, with: {weights: {noe: 2}}}", "weights name 'noe', but"),
        ("{use: fuse.weighted, in: [one, two], k: 4, with: {weights: {one: 1}}}", "no weight for 'two'"),
    ],
)
def test_weights_must_name_the_fused_nodes(tmp_path: Path, fuser: str, told: str) -> None:
    [problem] = problems(GOOD.replace("{use: fuse.rrf, in: [one, two], k: 4}", fuser), tmp_path)
    assert told in problem
    assert problem.startswith("g.yaml:7")


def test_a_circle_or_a_wrong_name_hides_no_other_problem(tmp_path: Path) -> None:
    """Two circles, a node of two inputs too many, a k too much and a node that nobody reads, all at once."""
    text = """\
version: 1
nodes:
  one: {use: rerank.identity, in: two, k: 5}
  two: {use: rerank.identity, in: one, k: 5}
  six: {use: rerank.identity, in: six, k: 5}
  raw: {use: rerank.identity, in: query, k: 5}
  all: {use: fuse.rrf, in: [one, six, raw]}
  off: {use: retrieve.test_fixed, k: 5}
output: all
"""
    told = problems(text, tmp_path)
    assert [problem.partition(": ")[0] for problem in told] == [
        "g.yaml:3",
        "g.yaml:5",
        "g.yaml:6",
        "g.yaml:7",
        "g.yaml:8",
    ]
    for problem, part in zip(
        told, ["circle", "circle: six -> six", "takes rankings", "needs k", "nothing leads"], strict=True
    ):
        assert part in problem
    told = problems(text.replace("in: six", "in: sex"), tmp_path)
    assert [problem.partition(": ")[0] for problem in told] == ["g.yaml:3", "g.yaml:5", "g.yaml:6", "g.yaml:7"]
    assert "no node 'sex' to take input from. Did you mean 'six'" in told[1]


def test_a_model_name_that_can_mean_nothing_is_noted_once(tmp_path: Path) -> None:
    """Without the network: neither packaged, nor a folder, nor owner/name."""
    text = """\
version: 1
models:
  m: {use: llm.transformers, with: {model: smolm2}}
  hub: {use: llm.transformers, with: {model: owner/name}}
nodes:
  found: {use: retrieve.test_fixed, k: 5}
  best: {use: rerank.cross_encoder, in: found, k: 3, with: {model: ./absent}}
  also: {use: rerank.test_llm, in: best, k: 3, with: {llm: hub}}
  context: {use: assemble.token_budget, in: also, with: {llm: m}}
  answer: {use: generate.cited, in: context, with: {llm: m}}
output: answer
"""
    path = tmp_path / "g.yaml"
    path.write_text(text)
    checked = check(load_spec(path))
    assert checked.problems == []
    model, folder = checked.notes
    assert model.startswith(f"{path}:3: model 'm': no model named 'smolm2'. Did you mean 'smollm2-135m-instruct'")
    assert folder == f"{path}:7: node 'best': no model folder at 'absent'"
