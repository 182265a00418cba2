"""No mistake in a graph hides another one that has nothing to do with it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from rag.core.errors import SpecError
from rag.graph.build import build
from rag.graph.load import load_spec

GOOD = """\
version: 1
models:
  small: {use: llm.scripted, with: {replies: [hello]}}
  other: {use: llm.scripted, with: {replies: [hello]}}
nodes:
  one: {use: retrieve.test_fixed, in: query, k: 5}
  two: {use: retrieve.test_fixed, in: query, k: 5, with: {first: 3}}
  both: {use: fuse.weighted, in: [one, two], k: 4, with: {norm: min_max, weights: {one: 0.5, two: 0.5}}}
  best: {use: rerank.test_llm, in: both, k: 2, with: {llm: small, window: 4}}
  context: {use: assemble.token_budget, in: best, with: {llm: other, max_tokens: 100}}
  answer: {use: generate.cited, in: context, with: {llm: small, prompt: answer_cited}}
output: answer
"""

MISTAKES = {
    "unknown top key": ("version: 1", "version: 1\nnods: {}", "nods: unknown key"),
    "other version": ("version: 1", "version: 2", "version: input should be 1"),
    "unknown component of a model": ("small: {use: llm.scripted", "small: {use: llm.script", "'llm.script'"),
    "unreadable model": ("other: {use: llm.scripted, with: {replies: [hello]}}", "other: 4", "models.other: input"),
    "k of zero": (
        "two: {use: retrieve.test_fixed, in: query, k: 5",
        "two: {use: retrieve.test_fixed, k: 0",
        "k: input",
    ),
    "unknown parameter": ("first: 3", "frist: 3", "has no parameter 'frist'"),
    "unknown input": ("in: [one, two]", "in: [one, tow]", "no node 'tow'"),
    "wrong choice": ("norm: min_max", "norm: no_such", "norm: input should be"),
    "wrong weights": ("{one: 0.5, two: 0.5}", "{one: 0.5, thre: 0.5}", "weights name 'thre'"),
    "unknown model": ("{llm: small, window", "{llm: smal, window", "no model 'smal'"),
    "refused by the constructor": ("window: 4", "window: 1", "window must be at least 2"),
    "wrong type": ("max_tokens: 100", "max_tokens: many", "max_tokens: input should be"),
    "unknown prompt": ("prompt: answer_cited", "prompt: answer_sited", "no prompt named 'answer_sited'"),
    "unknown output": ("output: answer", "output: anser", "no node 'anser'"),
}
APART = {"unknown top key", "other version"}, {"unknown input", "wrong weights"}
"""Those that change the same words, or of which each is a reason for the other."""


def told(text: str, folder: Path) -> tuple[str, ...]:
    path = folder / "g.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        build(load_spec(path))
    return caught.value.problems


def with_mistakes(*names: str) -> str:
    text = GOOD
    for name in names:
        old, new, _ = MISTAKES[name]
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_and_nothing_that_follows_from_it(name: str, tmp_path: Path) -> None:
    problems = told(with_mistakes(name), tmp_path)
    assert MISTAKES[name][2] in problems[0]
    allowed = {"unknown input": 2}.get(name, 1)  # weights for a list that is not fused are wrong as well
    assert len(problems) == allowed, problems


def test_no_mistake_hides_another(tmp_path: Path) -> None:
    for pair in combinations(MISTAKES, 2):
        if set(pair) not in APART:
            problems = "\n".join(told(with_mistakes(*pair), tmp_path))
            assert [name for name in pair if MISTAKES[name][2] not in problems] == [], pair


def test_they_come_all_at_once_by_line(tmp_path: Path) -> None:
    problems = told(with_mistakes(*(name for name in MISTAKES if name != "other version")), tmp_path)
    for name in MISTAKES.keys() - {"other version"}:
        assert any(MISTAKES[name][2] in each for each in problems), name
    lines = [int(each.removeprefix(str(tmp_path / "g.yaml:")).partition(":")[0]) for each in problems]
    assert lines == sorted(lines)


@pytest.mark.parametrize(("said", "wrong"), [("in: both", "inn: both"), ("k: 2", "topk: 2"), ("in: both", "in: 7")])
def test_what_an_unreadable_key_may_have_said_is_not_missed(said: str, wrong: str, tmp_path: Path) -> None:
    """A slip in `in` or `k` is one mistake, and not also a missing input or a missing k."""
    assert len(told(GOOD.replace(said, wrong), tmp_path)) == 1


def test_an_inner_graph_is_not_called_unused_where_its_node_cannot_be_read(tmp_path: Path) -> None:
    text = GOOD.replace(
        "nodes:\n",
        "graphs:\n  inside: {nodes: {found: {use: retrieve.test_fixed, k: 3}}, output: found}\nnodes:\n",
    ).replace("rerank.test_llm, in: both, k: 2, with: {", "rerank.no_such, in: both, k: 2, with: {search: inside, ")
    assert not any("no node is given it" in each for each in told(text, tmp_path))
