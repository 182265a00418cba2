"""Is a graph right? Everything that can be known before weights load, and all of it at once.

In this order, since each step needs what came before: names known, inputs exist, no cycle, every node reaches the output,
types meet, parameters valid, parts can be made, powers and budgets suffice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError

from rag.core.errors import MissingModel, SpecError, did_you_mean
from rag.core.powers import LacksPower, lacking
from rag.core.types import Context, Query, Ranking
from rag.core.yaml_source import Place
from rag.graph.kinds import MODELS, STAGES, TABLES
from rag.graph.signature import (
    RECORDS,
    Param,
    Signature,
    needed_powers,
    parameters_model,
    signature,
)
from rag.graph.spec import QUERY, Part, Spec
from retrievers.index.directory import Index


@dataclass(slots=True, kw_only=True)
class Checked:
    """What checking learnt. `order` is topological; `parts` holds the nodes that could be made; `legs` what they search."""

    spec: Spec
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    order: tuple[str, ...] = ()
    signatures: dict[str, Signature] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    legs: tuple[str, ...] = ()

    def complain(self, place: Place, message: str) -> None:
        kind = {"nodes": "node", "models": "model"}.get(str(place[0]), str(place[0])) if place else ""
        who = f"{kind} '{place[1]}': " if len(place) > 1 else ""
        self.problems.append(f"{self.spec.source.where(place)}: {who}{message}")


def check(spec: Spec, *, index: Index | None = None) -> Checked:
    """All problems of a graph, in `Checked.problems`. Loads no weights.

    Without an index, parts that search one are not made; their parameters are checked all the same.
    """
    checked = Checked(spec=spec)
    classes = _known(checked)
    if _wiring(checked):
        _types(checked, classes)
    checked.legs = tuple(sorted({leg for name in spec.graph.nodes if (leg := getattr(classes.get(name), "leg", None))}))
    _make(checked, classes, index)
    _doubts(checked)
    _sources(checked)
    _budgets(checked)
    return checked


def _known(checked: Checked) -> dict[str, type]:
    """Classes of nodes, and of models under ("models", name)."""
    graph = checked.spec.graph
    classes: dict[str, type] = {}
    for section, parts, allowed in (("models", graph.models, MODELS), ("nodes", graph.nodes, STAGES)):
        for name, part in parts.items():
            place = (section, name, "use")
            stage, _, component = part.use.partition(".")
            if name == QUERY:
                checked.complain((section, name), f"'{QUERY}' names the input batch; choose another name")
            if stage not in allowed:
                checked.complain(place, f"no stage '{stage}' in {section}. {did_you_mean(stage, allowed)}")
                continue
            try:
                found = TABLES[stage][0].get(component)
                method = TABLES[stage][1]
                signed = signature(found, method)
            except (SpecError, TypeError) as error:
                checked.complain(place, str(error))
                continue
            if section == "nodes":
                classes[name] = found
                checked.signatures[name] = signed
            else:
                classes[f"models.{name}"] = found
    return classes


def _wiring(checked: Checked) -> bool:
    """Inputs and output exist, no cycle, every node is used. False if the graph has no order."""
    nodes = checked.spec.graph.nodes
    sound = True
    for name, node in nodes.items():
        for source in node.inputs:
            if source != QUERY and source not in nodes:
                checked.complain(
                    ("nodes", name, "in"),
                    f"no node '{source}' to take input from. {did_you_mean(source, [QUERY, *nodes])}",
                )
                sound = False
    output = checked.spec.graph.output
    if output not in nodes:
        checked.complain(("output",), f"output: no node '{output}'. {did_you_mean(output, nodes)}")
        sound = False
    if not sound:
        return False
    order, cycle = topological({name: node.inputs for name, node in nodes.items()})
    if cycle:
        checked.complain(("nodes", cycle[0], "in"), f"the nodes feed each other in a circle: {' -> '.join(cycle)}")
        return False
    checked.order = order
    used = ancestors(output, {name: node.inputs for name, node in nodes.items()})
    for name in nodes:
        if name not in used:
            checked.complain(("nodes", name), f"nothing leads from it to the output '{output}'; wire it or remove it")
    return True


def topological(inputs: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], list[str]]:
    """Names so that each follows its inputs; or a cycle, when there is one."""
    known = {name: [source for source in sources if source in inputs] for name, sources in inputs.items()}
    try:
        return tuple(TopologicalSorter(known).static_order()), []
    except CycleError as error:
        return (), list(error.args[1])


def ancestors(name: str, inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The node and all nodes that lead to it."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in inputs and current not in found:
            found.add(current)
            waiting.extend(inputs[current])
    return found


def _types(checked: Checked, classes: Mapping[str, type]) -> None:
    """Record types between nodes, `k` where it belongs, one or many records per qid."""
    nodes = checked.spec.graph.nodes
    many: dict[str, bool] = {QUERY: False}
    for name in checked.order:
        node, signed = nodes[name], checked.signatures.get(name)
        many[name] = any(many.get(source, False) for source in node.inputs)
        if signed is None:
            continue
        stage = node.use.partition(".")[0]
        gathers = STAGES[stage].gathers
        if gathers:
            many[name] = False
        elif stage == "reformulate":
            many[name] |= not getattr(classes[name], "one_per_query", False)
        elif stage in ("assemble", "generate") and many[name]:
            checked.complain(
                ("nodes", name),
                f"{node.use} wants one input per question, but its input has several. Put a fuse.* between.",
            )
            many[name] = False
        expected = signed.ports * len(node.inputs) if gathers else signed.ports
        if len(expected) != len(node.inputs):
            ports = ", ".join(RECORDS[p] for p in expected)
            checked.complain(
                ("nodes", name, "in"),
                f"{node.use} takes {len(expected)} input(s) ({ports}), got {len(node.inputs)}",
            )
        for source, port in zip(node.inputs, expected, strict=False):
            feeder = checked.signatures.get(source)
            given = Query if source == QUERY else feeder.output if feeder else None
            if given is not None and given is not port:
                checked.complain(
                    ("nodes", name, "in"),
                    f"{node.use} takes {RECORDS[port]}, but its input '{source}' gives {RECORDS[given]}. "
                    f"{_bridge(given, port)}",
                )
        if signed.takes_k and node.k is None:
            checked.complain(("nodes", name), f"{node.use} needs k: how many hits to keep")
        if not signed.takes_k and node.k is not None:
            checked.complain(("nodes", name, "k"), f"{node.use} takes no k")
    if many.get(checked.spec.graph.output):
        checked.complain(("output",), "output: it has several records per question. Put a fuse.* node before it.")


def _bridge(given: type, port: type) -> str:
    bridges = {
        (Query, Ranking): "Put a retrieve.* node between them.",
        (Query, Context): "Put retrieve.* and assemble.* nodes between them.",
        (Ranking, Context): "Put an assemble.* node between them.",
    }
    return bridges.get((given, port), "Wire it to another node.")


def _make(checked: Checked, classes: Mapping[str, type], index: Index | None) -> None:
    """Validate parameters and make the parts: models first, then nodes."""
    graph = checked.spec.graph
    for name, part in graph.models.items():
        if f"models.{name}" in classes:
            component = classes[f"models.{name}"]
            values = _values(checked, ("models", name), part, component, None)
            if values is not None:
                _construct(checked, checked.models, name, ("models", name), component, values)
    for name, node in graph.nodes.items():
        if name not in classes:
            continue
        method = STAGES[node.use.partition(".")[0]].method
        values = _values(checked, ("nodes", name), node, classes[name], method)
        if values is None:
            continue
        complete = True
        for p in checked.signatures[name].params:
            if p.resource == "index":
                values[p.name] = index
                complete &= index is not None
            elif p.resource and p.name in values:
                values[p.name] = _model(checked, name, p, values[p.name])
                complete &= values[p.name] is not None
        if complete:
            _construct(checked, checked.parts, name, ("nodes", name), classes[name], values)


def _values(checked: Checked, place: Place, part: Part, component: type, method: str | None) -> dict[str, Any] | None:
    """Validated constructor arguments, or None after complaining."""
    model = parameters_model(component, method)
    try:
        given = model.model_validate_json(json.dumps(part.params), strict=True)
    except (ValidationError, TypeError) as error:
        if isinstance(error, TypeError):
            checked.complain((*place, "with"), f"{part.use}: parameters must be plain data ({error})")
            return None
        for e in error.errors():
            _complain_parameter(checked, (*place, "with"), part.use, e, list(model.model_fields))
        return None
    return {name: getattr(given, name) for name in model.model_fields}


def _complain_parameter(checked: Checked, place: Place, use: str, error: Any, known: list[str]) -> None:
    path = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        message = f"{use} has no parameter '{path}'. {did_you_mean(path, known)}"
    elif error["type"] == "missing":
        message = f"{use} needs the parameter '{path}'"
    else:
        message = f"{use}: {path}: {error['msg'][0].lower()}{error['msg'][1:]}, got {str(error['input'])[:80]!r}"
    checked.complain((*place, *error["loc"]), message)


def _model(checked: Checked, node: str, param: Param, name: str) -> Any:
    """The shared model that a node asks for, or None after complaining."""
    graph = checked.spec.graph
    place = ("nodes", node, "with", param.name)
    if name not in graph.models:
        checked.complain(place, f"no model '{name}' for '{param.name}'. {did_you_mean(name, graph.models)}")
        return None
    model = checked.models.get(name)
    if model is None:
        return None
    powers = needed_powers(param.annotation)
    missing = lacking(model, powers)
    if missing:
        why = "; ".join(dict.fromkeys(filter(None, missing.values())))
        checked.complain(
            place,
            f"{graph.nodes[node].use} needs a model that {', '.join(sorted({powers[m] for m in missing}))}; '{name}' "
            f"({graph.models[name].use}) cannot{f' ({why})' if why else ''}. {_able(powers)}",
        )
        return None
    return model


def _able(methods: Iterable[str]) -> str:
    """Which kinds of models have all these methods, in a sentence."""
    able = [f"llm.{name}" for name in MODELS["llm"] if all(hasattr(MODELS["llm"].get(name), m) for m in methods)]
    return f"Models that can: {', '.join(able) or 'none'}."


def _construct(
    checked: Checked, into: dict[str, Any], name: str, place: Place, component: type, values: dict[str, Any]
) -> None:
    try:
        into[name] = component(**values)
    except LacksPower as error:
        checked.complain((*place, "with"), f"{error} {_able(error.methods)}")
    except (SpecError, ValueError) as error:
        checked.complain((*place, "with"), str(error))


def _doubts(checked: Checked) -> None:
    """A note for each node whose model may turn out to lack what the node needs of it."""
    graph = checked.spec.graph
    for node, part in checked.parts.items():
        for param in checked.signatures[node].params:
            if param.resource != "llm":
                continue
            name = str(graph.nodes[node].params.get(param.name))
            needed = {*needed_powers(param.annotation), *getattr(part, "needs", ())}
            may_lack = getattr(checked.models.get(name), "may_lack", {})
            for why in dict.fromkeys(may_lack[method] for method in sorted(needed) if method in may_lack):
                checked.notes.append(f"node '{node}': '{name}' may lack what {graph.nodes[node].use} needs: {why}")


def _sources(checked: Checked) -> None:
    """A fuser's parameters may name the nodes that it fuses, and no others."""
    for name, part in checked.parts.items():
        require = getattr(part, "require_sources", None)
        if require is not None:
            try:
                require(checked.spec.graph.nodes[name].inputs)
            except ValueError as error:
                checked.complain(("nodes", name, "with", "weights"), str(error))


def _budgets(checked: Checked) -> None:
    """An assembler must not hand a generator more passages than the model's window has room for."""
    graph = checked.spec.graph
    inputs = {name: node.inputs for name, node in graph.nodes.items()}
    for name, generator in checked.parts.items():
        room_of = getattr(generator, "room", None)
        if room_of is None:
            continue
        try:
            room = room_of()
        except MissingModel as missing:
            checked.notes.append(f"node '{name}': its budget could not be checked: {missing}")
            continue
        for above in sorted(ancestors(name, inputs) - {name}):
            budget = getattr(checked.parts.get(above), "max_tokens", None)
            if graph.nodes[above].use.startswith("assemble.") and isinstance(budget, int) and budget > room:
                checked.complain(
                    ("nodes", above, "with", "max_tokens"),
                    f"max_tokens {budget:,} does not fit: the model of node '{name}' has room for {room:,} tokens of "
                    "passages beside its prompt and answer. Lower max_tokens here or there.",
                )
