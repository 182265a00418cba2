"""Whatever changes a part's output changes its identity: every parameter, every prompt, every file that it is given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from rag.core.digests import data_sha256
from rag.core.plugins import shipped_files
from rag.graph.checked import Made
from rag.graph.kinds import STAGES
from rag.graph.making import Complain, Supplied, make
from rag.graph.signature import Param, core_of, signature
from rag.graph.spec import Part
from rag.pipeline.identity import part_identity
from tests.contracts.conftest import SMALL, Given, Inner

OTHER: dict[str, Any] = {
    "stages": [[5, 2]],
    "heads": "1-1",
    "layers": [0, 0],
    "weights": {"first": 2.0},
    "normalise": "z_score",
    "instructions": ["Say it.", "Say it again."],
    "languages": ["de"],
    "params": {"window": 5, "stride": 2},
    "of": "first",
    "prior": "0-0",
    "device": "cuda:1",
    "head_weights": {"0-0": 0.5},
    "curve": [[0, 1], [5, 0.5]],
    "labels": ["one", "two"],
    "versions": "newest",
    "outcomes": ["Up", "Down"],
    "shots": None,
    "choices": ["yes", "maybe"],
}
"""A value for parameters that type alone does not tell one for."""


INNER = Inner(None, None)


def parts() -> list[tuple[str, str]]:
    return [(stage, name) for stage, kind in STAGES.items() for name in kind.registry if not name.startswith("test_")]


def candidates(param: Param, value: Any) -> Iterator[Any]:
    """Other values that a parameter may take."""
    if param.name in OTHER:
        yield OTHER[param.name]
    if param.is_filter:
        yield {"source": "d01.md"}
    kind = core_of(param.annotation)
    if get_origin(kind) is Literal:
        yield from (each for each in get_args(kind) if each != value)
    elif kind is bool:
        yield not value
    elif kind in (int, float):
        near = value if isinstance(value, int | float) else 3
        yield from (near + 1, near + 2, near / 2 if kind is float else max(1, near // 2), 1, 2, 3, 0.5, 0)
    elif kind is str:
        yield from ("other", "de", "2024-05-01", "")
    else:
        yield from (["other"], ["1-1"], [1, 2], [0.5, 0.5], {"a": 1.0}, 3, "other")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The prompts and shots that come with the package and its plug-ins, in a folder where they may be edited."""
    import prompts.instructions
    import prompts.template

    folder = tmp_path / "library"
    shutil.copytree(prompts.template.LIBRARY, folder)
    for kind, place in (("prompts", folder), ("shots", folder / "shots"), ("instructions", folder / "instructions")):
        place.mkdir(exist_ok=True)
        for file in shipped_files(kind).values():
            shutil.copy(file, place)
    lists = {file.stem: file for file in (folder / "instructions").iterdir()}
    monkeypatch.setattr(prompts.template, "LIBRARY", folder)
    monkeypatch.setattr(prompts.instructions, "shipped_files", lambda kind: lists)
    return folder


def made_of(given: Given, stage: str, name: str, params: dict[str, Any]) -> tuple[Made | None, list[str]]:
    kind = STAGES[stage]
    complaints: list[str] = []

    def supply(param: Param, value: Any, complain: Complain) -> Supplied:
        if param.resource == "rerank":
            inner = value if isinstance(value, Part) else Part(use=f"rerank.{value}")
            of, told = made_of(given, "rerank", inner.use.partition(".")[2], dict(inner.params))
            complaints.extend(told)
            return Supplied(thing=of and of.part, inline=(of,) if of else ())
        things = {"index": given.index, "graph": INNER, "retrieve": INNER}  # an inner graph is a part of its own
        return Supplied(thing=things.get(str(param.resource), given.llm))

    part = Part(use=f"{stage}.{name}", params={p.name: "x" for p in _supplied(stage, name)} | params)
    made = make(part, kind.registry.get(name), kind.method, supply, lambda place, why: complaints.append(why))
    return made, complaints


def _supplied(stage: str, name: str) -> list[Param]:
    params = signature(STAGES[stage].registry.get(name), STAGES[stage].method).params
    return [p for p in params if p.resource in ("llm", "graph", "retrieve")]


def identity(made: Made | None, complaints: list[str]) -> str:
    assert made is not None, complaints
    return data_sha256(part_identity(made))


def plain_of(given: Given, stage: str, name: str) -> dict[str, Any]:
    small = SMALL.get(f"{stage}.{name}", {})
    needed = signature(STAGES[stage].registry.get(name), STAGES[stage].method).params
    named = {p.name: given.plain[p.name] for p in needed if p.name in given.plain and p.resource is None}
    return {key: _as_data(value) for key, value in {**named, **small}.items() if key != "cache"}


def _as_data(value: Any) -> Any:
    return [_as_data(each) for each in value] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize(("stage", "name"), parts())
def test_every_parameter_is_in_the_identity(
    stage: str, name: str, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGLINE_API_KEYS", f"other={given.plain['url']}")
    params = plain_of(given, stage, name)
    before = identity(*made_of(given, stage, name, params))
    assert identity(*made_of(given, stage, name, params)) == before
    for param in signature(STAGES[stage].registry.get(name), STAGES[stage].method).params:
        if (
            param.resource in ("index", "llm", "graph", "retrieve")
            or param.name in given.plain
            or "prompt" in param.name
        ):
            continue
        value = params.get(param.name, param.default)
        tried: list[str] = []
        for other in candidates(param, value):
            if other == _as_data(value):
                continue
            made, why = made_of(given, stage, name, {**params, param.name: other})
            if made is not None:
                assert identity(made, why) != before, f"{stage}.{name}: {param.name} is not in its identity"
                break
            tried += why
        else:
            # one stands only with the other, and trust with a check by a model
            relation = {"qrels", "source", "trusted"}
            assert param.name in relation, f"{stage}.{name}: no other value for {param.name} fits: {tried}"


@pytest.mark.parametrize(("stage", "name"), parts())
def test_every_prompt_is_in_the_identity(stage: str, name: str, given: Given, library: Path) -> None:
    params = plain_of(given, stage, name)
    made, why = made_of(given, stage, name, params)
    before = identity(made, why)
    assert made is not None
    for each in [made, *made.inline]:
        for prompt in each.prompts:
            file = library / f"{prompt}.yaml"
            words = file.read_bytes()
            file.write_bytes(words + b"\n# edited\n")
            assert identity(*made_of(given, stage, name, params)) != before, f"{stage}.{name}: {prompt}"
            file.write_bytes(words)
    assert identity(*made_of(given, stage, name, params)) == before


def test_a_judge_keeps_its_prompt_where_the_identity_sees_it(given: Given) -> None:
    for name in ("listwise", "setwise", "pairwise", "first", "tournament", "self_consistency"):
        made, _ = made_of(given, "rerank", name, plain_of(given, "rerank", name))
        assert made is not None
        assert made.prompts or made.inline[0].prompts


@pytest.mark.parametrize(
    ("stage", "name", "parameter"), [("retrieve", "run", "run"), ("reformulate", "code_switch", "dictionary")]
)
def test_the_content_of_a_file_is_in_the_identity(
    stage: str, name: str, parameter: str, given: Given, tmp_path: Path
) -> None:
    file = tmp_path / "input"
    shutil.copy(given.plain[parameter], file)
    before = identity(*made_of(given, stage, name, {parameter: str(file)}))
    file.write_text(file.read_text() + "\n")
    assert identity(*made_of(given, stage, name, {parameter: str(file)})) != before


def test_weights_of_a_folder_are_in_the_identity(given: Given, tmp_path: Path) -> None:
    folder = tmp_path / "classifier"
    shutil.copytree(given.plain["model"], folder)
    before = identity(*made_of(given, "rerank", "cross_encoder", {"model": str(folder)}))
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert identity(*made_of(given, "rerank", "cross_encoder", {"model": str(folder)})) != before
