from __future__ import annotations

from pathlib import Path

import pytest

from rag import SpecError
from rag.files import parse_yaml
from rag.graphs import Spec, load_spec
from ragline_lab.sweep.axes import parse_axes
from ragline_lab.sweep.settings import Setting, settings_of

GRAPH = """
version: 1
models:
  small: {use: llm.scripted, with: {replies: [none]}}
nodes:
  bm25: {use: retrieve.bm25, in: query, k: 100}
  again: {use: retrieve.bm25, k: 50}
  fused: {use: fuse.rrf, in: [bm25, again], k: 20}
  weighed: {use: fuse.weighted, in: [fused, bm25], k: 20, params: {weights: {fused: 0.5, bm25: 0.5}}}
  voted:
    use: rerank.self_consistency
    in: weighed
    k: 9
    with: {llm: small, of: {use: rerank.listwise, with: {window: 4, stride: 2}}}
output: voted
"""


def spec_of() -> Spec:
    return load_spec(parse_yaml(GRAPH, name="g.yaml").data)


def made(*over: str) -> list[Setting]:
    return settings_of(spec_of(), parse_axes(over))


def problems(*over: str) -> str:
    with pytest.raises(SpecError) as told:
        made(*over)
    return str(told.value)


def test_the_first_setting_is_the_graph_as_it_was() -> None:
    settings = made("fused.k=10,30", "fused.rank_constant=20,40")
    assert [setting.label for setting in settings] == [
        "as it was",
        "fused.k=10 fused.rank_constant=20",
        "fused.k=10 fused.rank_constant=40",
        "fused.k=30 fused.rank_constant=20",
        "fused.k=30 fused.rank_constant=40",
    ]
    assert settings[0].spec.graph == spec_of().graph
    node = settings[2].spec.graph.nodes["fused"]
    assert (node.k, node.params) == (10, {"rank_constant": 40})
    assert {setting.legs for setting in settings} == {("lexical",)}


def test_a_path_goes_into_mappings_inline_components_and_models() -> None:
    [_, setting] = made("weighed.weights.bm25=0.9", "voted.of.with.window=6", "models.small.context_window=512")
    graph = setting.spec.graph
    assert graph.nodes["weighed"].params == {"weights": {"fused": 0.5, "bm25": 0.9}}
    assert graph.nodes["voted"].params["of"] == {"use": "rerank.listwise", "with": {"window": 6, "stride": 2}}
    assert graph.models["small"].params["context_window"] == 512


def test_a_path_goes_into_inner_graphs() -> None:
    [first, setting] = settings_of(load_spec("stride"), parse_axes(["search/fused.weights.bm25=0.9"]))
    assert setting.spec.graph.graphs["search"].nodes["fused"].params["weights"] == {"bm25": 0.9, "dense": 0.7}
    assert first.spec.graph.graphs["search"].nodes["fused"].params["weights"] == {"bm25": 0.3, "dense": 0.7}


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ("fusde.k=1,2", "--over fusde.k: no node of the graph has this name. Did you mean 'fused'"),
        ("models.smal.context_window=9", "Did you mean 'models.small'"),
        ("index.chunking.tokens=100", "Settings of an index are no parameters of a sweep"),
        ("fused=1", "fuse.rrf has no parameter ''"),
        ("fused.rank_konstant=1", "fuse.rrf has no parameter 'rank_konstant'. Did you mean 'rank_constant'"),
        ("weighed.weights.dense=1", "'weights' has no 'dense'. Known: bm25, fused"),
        ("fused.weights.bm25=1,2", "'weights' is null in this graph, so it has no 'bm25'"),
        ("voted.of.with.window.size=3", "'window' is 4 in this graph"),
        ("fused.rank_constant=ten", "with fused.rank_constant=ten: graph: node 'fused': fuse.rrf: rank_constant"),
        ("fused.rank_constant=1.5", "rank_constant"),
        ("fused.k=0", "with fused.k=0: "),
        ("fused.k=many", "with fused.k=many: "),
        ("weighed.norm=maxx", "with weighed.norm=maxx"),
        ("voted.llm=large", "no model 'large'"),
    ],
)
def test_a_path_or_value_that_does_not_fit_is_told_before_anything_runs(over: str, why: str) -> None:
    assert why in problems(over)


def test_all_wrong_paths_are_told_at_once_and_many_wrong_settings_are_counted() -> None:
    told = problems("fusde.k=1", "weighed.nrom=max")
    assert "fusde.k" in told
    assert "weighed.nrom" in told
    assert "and 20 problems more" in problems("fused.rank_constant=-30:-1:1")


def test_settings_share_nothing_that_one_could_change() -> None:
    settings = made("weighed.weights.bm25=0.1,0.9")
    assert settings[1].data["nodes"]["weighed"]["params"]["weights"]["bm25"] == 0.1
    assert settings[2].data["nodes"]["weighed"]["params"]["weights"]["bm25"] == 0.9
    assert settings[0].data["nodes"]["weighed"]["params"]["weights"]["bm25"] == 0.5


def test_the_lines_of_the_file_stay_in_what_is_told(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text(
        "version: 1\nnodes:\n  bm25: {use: retrieve.bm25, k: 9}\n  out: {use: fuse.rrf, in: bm25, k: 5}\noutput: out\n"
    )
    for over, told in (
        ("out.rank_constant=-1", r"g\.yaml:4: node 'out'"),
        ("bm25.k=x", r"g\.yaml:3: nodes\.bm25\.k: "),
    ):
        with pytest.raises(SpecError, match=f"with {over}: .*{told}"):
            settings_of(load_spec(file), parse_axes([over]))


def test_a_graph_that_comes_from_no_file_is_written_anew() -> None:
    settings = settings_of(load_spec(spec_of().graph), parse_axes(["fused.k=10"]))
    assert settings[1].spec.graph.nodes["fused"].k == 10
    assert [each.spec.graph.nodes["bm25"] for each in settings] == [spec_of().graph.nodes["bm25"]] * 2


def test_a_model_that_writes_into_the_index_is_no_parameter() -> None:
    data = {
        "version": 1,
        "models": {"small": {"use": "llm.scripted", "with": {"replies": ["x"]}}},
        "index": {"transforms": [{"use": "written_context", "with": {"llm": "small"}}]},
        "nodes": {"bm25": {"use": "retrieve.bm25", "k": 5}},
        "output": "bm25",
    }
    with pytest.raises(SpecError, match="would need an index of its own"):
        settings_of(load_spec(data), parse_axes(["models.small.context_window=512,1024"]))
