"""A JSON Schema of graph files, for editors: the spec's own schema with the parameters of every component in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rag.graph.kinds import MODELS, STAGES
from rag.graph.readable import readable
from rag.graph.signature import parameters_model
from rag.graph.spec import GraphSpec


def graph_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a graph file. `use` and `with` go together; parameters are the constructors' own."""
    schema = GraphSpec.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    definitions["Node"] = _choice(definitions["Node"], STAGES, definitions)
    definitions["Part"] = _choice(definitions["Part"], MODELS, definitions)
    # pydantic describes `in` as a list alone; a bare name is as good
    definitions["Node"]["properties"]["in"] = {
        "anyOf": [{"type": "string"}, definitions["Node"]["properties"]["in"]],
        "description": definitions["Node"]["properties"]["in"].get("description", ""),
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "ragline graph"
    return schema


def _choice(part: dict[str, Any], stages: Iterable[str], definitions: dict[str, Any]) -> dict[str, Any]:
    """`part` with `use` closed to the known names, and `with` tied to the one that is used."""
    names, rules = [], []
    for stage in stages:
        method = STAGES[stage].method if stage in STAGES else None
        components, _ = readable(stage)
        for name, component in components.items():
            use = f"{stage}.{name}"
            names.append(use)
            parameters = parameters_model(component, method).model_json_schema(
                by_alias=True, ref_template="#/$defs/{model}"
            )
            definitions.update(parameters.pop("$defs", {}))
            definitions[use] = parameters
            rules.append(
                {
                    "if": {"properties": {"use": {"const": use}}, "required": ["use"]},
                    "then": {"properties": {"with": {"$ref": f"#/$defs/{use}"}}},
                }
            )
    properties = {
        **part["properties"],
        "use": {"enum": names, "description": part["properties"]["use"]["description"]},
    }
    return {**part, "properties": properties, "allOf": rules}
