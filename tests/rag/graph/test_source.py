from __future__ import annotations

import pytest

from rag.core.errors import SpecError
from rag.core.yaml_source import MAX_CHARS, parse_yaml


def test_every_place_knows_its_line() -> None:
    source = parse_yaml("version: 1\nnodes:\n  a:\n    use: x.y\n    in: [query,\n      b]\n", name="g.yaml")
    assert source.data == {"version": 1, "nodes": {"a": {"use": "x.y", "in": ["query", "b"]}}}
    assert source.where(("nodes", "a", "use")) == "g.yaml:4"
    assert source.where(("nodes", "a", "in", 1)) == "g.yaml:6"
    assert source.where(("nodes", "a", "with", "nowhere")) == "g.yaml:3"
    assert source.where(()) == "g.yaml:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "g.yaml:3: 'a' is written twice"),
        ("a: &x [1]\nb: *x\n", "g.yaml:1: anchors"),
        ("a: [1]\nb: *x\n", "anchors"),
        ("a: !!python/object/apply:os.system ['true']\n", "g.yaml:1: tags"),
        ("a: !include b\n", "tags"),
        ("a: [1\n", "g.yaml:2: this is not YAML"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("? [a, b]\n: 1\n", "a key must be plain text"),
        ("[" * 40 + "]" * 40, "nested more than"),
        ("a: '" + "x" * MAX_CHARS + "'", "characters"),
        ("a: 2001-99-99\n", "g.yaml"),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("(", r"\(")):
        parse_yaml(text, name="g.yaml")


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    with pytest.raises(SpecError, match="aliases"):
        parse_yaml("\n".join(layers), name="bomb.yaml")
