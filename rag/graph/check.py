"""Is a graph right? Everything that can be known before weights load, and all of it at once.

In this order, since each step needs what came before: names known, inputs exist, no cycle, every node reaches the output,
types meet, parameters valid, parts can be made, powers and budgets suffice. Inner graphs go first, those that others use
before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any

from rag.core.connecting import without_connections
from rag.core.errors import MissingModel, SpecError, did_you_mean
from rag.core.llm_protocols import KnowsItsLimits, StandsInAFile
from rag.core.powers import POWERS
from rag.core.protocols import (
    CapsTokens,
    ChecksSources,
    KnowsItsRoom,
    LoadsModels,
    NeedsPowers,
    SearchesLeg,
    WantsScores,
)
from rag.core.yaml_source import Place
from rag.graph.binding import bound_nodes, lone_node
from rag.graph.checked import Checked, Made
from rag.graph.contents import check_kinds, check_shown
from rag.graph.inner import Inner, InnerReranker, InnerRetriever
from rag.graph.kinds import MODELS, STAGES, TABLES
from rag.graph.making import Complain, Supplied, as_part, fitting_model, make
from rag.graph.own_lists import with_own_lists
from rag.graph.signature import RECORDS, Param, core_of, needed_powers, signature
from rag.graph.spec import QUERY, Budget, InnerGraph, Part, Spec
from rag.graph.uses import graphs_used, is_known
from rag.graph.wiring import ancestors, check_wiring
from rag.models import require_meaning
from retrievers.index_protocol import Index

WASTED = 8
"""A limit of passages is noted where the model has room for this many times as much."""


def check(
    spec: Spec,
    *,
    index: Index | None = None,
    connect: bool = False,
    kept: Mapping[str, Made] = MappingProxyType({}),
    unread: Sequence[Place] = (),
) -> Checked:
    """All problems of a graph, in `Checked.problems`. Loads no weights.

    Without an index, parts that search one are not made; their parameters are checked all the same. `connect`: ask the
    servers that the graph names what they can read; else nothing is connected to. `kept`: facts of the same graph over
    another index; its models, and its parts that search no index, are not made again. `unread`: places whose form is wrong, which
    was said elsewhere.
    """
    spec, added = with_own_lists(spec, index)
    with nullcontext() if connect else without_connections():
        return _checked(Checked(spec=spec, body=spec.graph, index=index, kept=kept, unread=unread, notes=added))


def _checked(checked: Checked) -> Checked:
    spec = checked.spec
    _make_models(checked)
    _note_unknown_names(checked, "models", checked.made_models)
    for name in _inner_order(checked):
        inner = Checked(
            spec=spec,
            body=spec.graph.graphs[name],
            place=("graphs", name),
            index=checked.index,
            kept=checked.kept,
            unread=checked.unread,
            found=checked.found,
            notes=checked.notes,
            made_models=checked.made_models,
            inner=dict(checked.inner),
            inner_made=checked.inner_made,
        )
        _check_body(inner)
        checked.inner[name] = inner
        checked.inner_made.update({f"{name}/{node}": made for node, made in inner.made.items()})
    _check_body(checked)
    _check_use_of_inner(checked)
    check_kinds(checked)
    return checked


def _check_body(checked: Checked) -> None:
    """Everything of one graph, inner or outer."""
    _know(checked)
    check_wiring(checked)
    _make_nodes(checked)
    _note_doubts(checked)
    _note_unknown_names(checked, "nodes", checked.made)
    _check_sources(checked)
    _check_budgets(checked)
    check_shown(checked)


def _component(
    checked: Checked, place: Place, part: Part, section: str, allowed: Mapping[str, Any]
) -> type[Any] | None:
    """The class that a part names, readable by `signature`; None after complaining."""
    stage, _, name = part.use.partition(".")
    if stage not in allowed:
        checked.complain(place, f"no stage '{stage}' in {section}. {did_you_mean(stage, allowed)}")
        return None
    registry, method = TABLES[stage]
    try:
        component = registry.get(name)
        signature(component, method)
    except (SpecError, TypeError) as error:
        checked.complain(place, str(error))
        return None
    return component


def _make_models(checked: Checked) -> None:
    for name, part in checked.spec.graph.models.items():
        if name == QUERY:
            checked.complain(("models", name), f"'{QUERY}' names the input batch; choose another name")
        component = _component(checked, ("models", name, "use"), part, "models", MODELS)
        if before := checked.kept.get(f"models.{name}"):
            checked.made_models[name] = before
        elif component is not None:
            made = make(part, component, None, _nothing, _below(checked, ("models", name)))
            if made is not None:
                checked.made_models[name] = made
                if isinstance(made.part, StandsInAFile):
                    made.part.place = f"{checked.spec.source.where(('models', name))}: model '{name}'"


def _nothing(param: Param, value: Any, complain: Complain) -> Supplied:
    """Models stand alone."""
    complain(("with", param.name), f"a model cannot be given '{param.name}': models are made before anything else")
    return Supplied(thing=None)


def _know(checked: Checked) -> None:
    """Classes and signatures of nodes."""
    for name, node in checked.body.nodes.items():
        if name == QUERY:
            checked.complain(("nodes", name), f"'{QUERY}' names the input batch; choose another name")
        component = _component(checked, ("nodes", name, "use"), node, "nodes", STAGES)
        if component is not None:
            checked.classes[name] = component
            _add_leg(checked, component, node, _below(checked, ("nodes", name)))
            checked.signatures[name] = signature(component, STAGES[node.stage].method)


def _add_leg(checked: Checked, component: Any, part: Part, complain: Complain) -> None:
    """The leg that a part searches: that of its kind, or one with a name of its own of the same kind."""
    if not isinstance(component, SearchesLeg):
        return
    known = checked.spec.graph.index.legs_of(component.leg)
    leg = part.params.get("leg", component.leg)
    if leg in known:
        checked.leg_names.add(leg)
    elif isinstance(leg, str):  # another type is complained of where the part is made
        hint = f"Name it in the graph: index: {{legs: {{{leg}: {{kind: {component.leg}, ...}}}}}}"
        complain(("with", "leg"), f"no {component.leg} leg '{leg}'. {did_you_mean(leg, known)} {hint}")


def _make_nodes(checked: Checked) -> None:
    for name, node in checked.body.nodes.items():
        if name not in checked.classes:
            continue

        def supply(param: Param, value: Any, complain: Complain, node: Part = node) -> Supplied:
            return _supplied(checked, node, param, value, complain)

        method = STAGES[node.stage].method
        made = checked.made_before(name)
        made = made or make(
            node,
            checked.classes[name],
            method,
            supply,
            _below(checked, ("nodes", name)),
            tried=partial(checked.tried.__setitem__, name),
        )
        if made is not None:
            checked.made[name] = made


def _supplied(checked: Checked, part: Part, param: Param, value: Any, complain: Complain) -> Supplied:
    """What a parameter asks of the graph: a model, the index, an inner graph or component."""
    if param.resource == "index":
        return Supplied(thing=checked.index, searches=True)
    if param.resource == "llm":
        return _model(checked, part, param, str(value), complain)
    if isinstance(value, str) and value in checked.spec.graph.graphs:
        return _inner_graph(checked, part, param, value, complain)
    stage = param.resource
    known = sorted(checked.spec.graph.graphs)
    if stage == "graph" or (isinstance(value, str) and value not in STAGES[str(stage)].registry):
        names = [*STAGES[str(stage)].registry] if param.as_it_is else known
        what = f"component '{stage}.{value}'" if param.as_it_is else f"inner graph '{value}'"
        complain(("with", param.name), f"no {what} for '{param.name}'. {did_you_mean(str(value), names)}")
        return Supplied(thing=None)
    return _inline(checked, part, param, value, complain)


def _model(checked: Checked, part: Part, param: Param, name: str, complain: Complain) -> Supplied:
    models = checked.spec.graph.models
    if name not in models:
        complain(("with", param.name), f"no model '{name}' for '{param.name}'. {did_you_mean(name, models)}")
        return Supplied(thing=None)
    made = checked.made_models.get(name)
    fitting = None if made is None else fitting_model(made, param, use=part.use, name=name, complain=complain)
    return Supplied(thing=fitting, models=frozenset({name}))


def _inner_graph(checked: Checked, part: Part, param: Param, name: str, complain: Complain) -> Supplied:
    """A named inner graph, as what the parameter wants to run."""
    inner = checked.inner.get(name)
    if inner is None:  # it is part of a circle, which was said
        return Supplied(thing=None)
    checked.leg_names.update(inner.leg_names)
    place = ("with", param.name)
    if param.resource == "rerank" or param.as_it_is:
        complain(place, f"{part.use} needs a component for '{param.name}', not an inner graph: {_doc(param)}")
        return Supplied(thing=None)
    output = inner.signatures.get(inner.body.output)
    gives = output.output if output else None
    if gives is not None and param.gives is not None and gives is not param.gives:
        complain(
            place,
            f"{part.use} wants {RECORDS[param.gives]} of '{param.name}', but graph '{name}' gives {RECORDS[gives]}",
        )
        return Supplied(thing=None)
    facts: dict[str, Any] = {
        "models": frozenset().union(*(made.models for made in inner.made.values())),
        "searches": any(made.searches for made in inner.made.values()),
    }
    if len(inner.made) < len(inner.body.nodes) or not inner.order:
        return Supplied(thing=None, **facts)
    kind = InnerRetriever if param.resource == "retrieve" else Inner
    assert isinstance(inner.body, InnerGraph)
    nodes = bound_nodes(inner, prefix=f"{name}/")
    thing = kind(label=name, nodes=nodes, output=f"{name}/{inner.body.output}", budget=inner.body.budget)
    return Supplied(thing=thing, runs_inner=True, **facts)


def _inline(checked: Checked, part: Part, param: Param, value: Any, complain: Complain) -> Supplied:
    """A component written where it is needed. What it needs of the graph and does not name, it has from its owner."""
    stage = str(param.resource)
    inner = as_part(value, stage)
    place = ("with", param.name)
    if inner.stage != stage:
        complain(place, f"'{param.name}' is a {stage}.* component, got {inner.use}")
        return Supplied(thing=None)
    kind = STAGES[stage]
    try:
        component = kind.registry.get(inner.use.partition(".")[2])
        signed = signature(component, kind.method)
    except (SpecError, TypeError) as error:
        complain(place, str(error))
        return Supplied(thing=None)
    _add_leg(checked, component, inner, complain)
    shared = {p.name for p in signed.params if p.resource == "llm"} & set(part.params)
    inner = Part.model_validate({"use": inner.use, "with": {**{n: part.params[n] for n in shared}, **inner.params}})

    def supply(p: Param, value: Any, tell: Complain) -> Supplied:
        return _supplied(checked, inner, p, value, tell)

    def below(where: Place, message: str) -> None:
        complain((*place, *where), message)

    made = make(inner, component, kind.method, supply, below)
    if made is None:
        return Supplied(thing=None)
    facts: dict[str, Any] = {"models": made.models, "searches": made.searches, "inline": (made,)}
    if param.as_it_is:
        if not isinstance(made.part, core_of(param.annotation)):
            complain(place, f"{part.use}: {inner.use} does not suit '{param.name}': {_doc(param)}")
            return Supplied(thing=None)
        return Supplied(thing=made.part, **facts)
    label = param.name
    nodes = (lone_node(made, name=label),)
    adapter = InnerReranker if stage == "rerank" else InnerRetriever
    thing = adapter(label=label, nodes=nodes, output=label, budget=Budget())
    return Supplied(thing=thing, runs_inner=True, **facts)


def _doc(param: Param) -> str:
    """What a parameter's protocol asks for, in its own words."""
    text = (core_of(param.annotation).__doc__ or "").strip().partition("\n")[0]
    return text[:1].lower() + text[1:]


def _below(checked: Checked, place: Place) -> Complain:
    def complain(where: Place, message: str) -> None:
        checked.complain((*place, *where), message)

    return complain


def _inner_order(checked: Checked) -> list[str]:
    """Inner graphs so that each follows those it uses; those in a circle are left out, after complaining."""
    graphs = checked.spec.graph.graphs
    uses = {name: graphs_used(graph.nodes.values(), graphs) for name, graph in graphs.items()}
    while True:
        try:
            return list(TopologicalSorter(uses).static_order())
        except CycleError as error:
            circle = error.args[1]
            checked.complain(
                ("graphs", circle[0]), f"the inner graphs use each other in a circle: {' -> '.join(circle)}"
            )
            uses = {name: used for name, used in uses.items() if name not in circle}
            uses = {name: [each for each in used if each in uses] for name, used in uses.items()}


def _check_use_of_inner(checked: Checked) -> None:
    graphs = checked.spec.graph.graphs
    bodies = [checked.spec.graph.nodes, *(graph.nodes for graph in graphs.values())]
    used = {name for nodes in bodies for name in graphs_used(nodes.values(), graphs)}
    all_read = not checked.unread and all(is_known(node) for nodes in bodies for node in nodes.values())
    for name in graphs:
        if name not in used and all_read:  # else a node that cannot be read may be given it
            checked.complain(("graphs", name), "no node is given it; use it or remove it")
        if name in STAGES["retrieve"].registry or name in STAGES["rerank"].registry:
            checked.complain(("graphs", name), f"'{name}' is also the name of a component; choose another name")


def _note_doubts(checked: Checked) -> None:
    """A note for each node whose model may turn out to lack what the node needs of it."""
    for node, made in checked.made.items():
        definition = checked.body.nodes[node]
        for param in checked.signatures[node].params:
            name = str(definition.params.get(param.name))
            model = checked.made_models.get(name)
            if param.resource != "llm" or model is None or not isinstance(model.part, KnowsItsLimits):
                continue
            more = made.part.needs if isinstance(made.part, NeedsPowers) else ()
            needed, may_lack = {*needed_powers(param.annotation), *more}, model.part.may_lack
            for why in dict.fromkeys(may_lack[method] for method in sorted(needed) if method in may_lack):
                checked.notes.append(f"node '{node}': '{name}' may lack what {definition.use} needs: {why}")


def _note_unknown_names(checked: Checked, section: str, parts: Mapping[str, Made]) -> None:
    """A note for each name of weights that can mean no model anywhere. A note, since a folder may come to be."""
    for name, made in parts.items():
        for part in (made.part, *(inline.part for inline in made.inline)):
            for model, _ in part.model_names if isinstance(part, LoadsModels) else ():
                try:
                    require_meaning(model)
                except MissingModel as missing:
                    where = checked.spec.source.where((*checked.place, section, name))
                    checked.notes.append(f"{where}: {section[:-1]} '{name}': {missing}")


def _check_sources(checked: Checked) -> None:
    """A fuser's parameters may name the nodes that it fuses, and no others."""
    for name, part in {**checked.parts, **checked.tried}.items():
        if isinstance(part, ChecksSources):
            try:
                part.require_sources(checked.body.nodes[name].inputs)
            except ValueError as error:
                checked.complain(("nodes", name, "with", "weights"), str(error))
        if isinstance(part, WantsScores) and part.wants_scores:
            _check_scorers(checked, name)


def _check_scorers(checked: Checked, name: str) -> None:
    """What a fuser wants scores of has to be retrievers that can score any document."""
    node = checked.body.nodes[name]
    for source in node.inputs:
        feeder = checked.classes.get(source)
        if isinstance(feeder, type) and not POWERS["score documents"].kept_by(feeder):
            checked.complain(
                ("nodes", name, "in"),
                f"{node.use} compares scores over the whole index, and its input '{source}' "
                f"({checked.body.nodes[source].use}) cannot score documents that it did not give. Take its lists straight "
                "from retrievers of an index, or another norm, such as norm: z_score",
            )


def _check_budgets(checked: Checked) -> None:
    """An assembler must not hand a generator more passages than the model's window has room for.

    One that hands it a small part of that is noted: the limit may be of a smaller model.
    """
    nodes = checked.body.nodes
    inputs = {name: node.inputs for name, node in nodes.items()}
    caps = {
        name: part.max_tokens
        for name, part in checked.parts.items()
        if nodes[name].use.startswith("assemble.") and isinstance(part, CapsTokens) and part.max_tokens is not None
    }
    for name, generator in checked.parts.items():
        if not isinstance(generator, KnowsItsRoom):
            continue
        try:
            room = generator.room()
        except MissingModel as missing:
            if not any(note.endswith(str(missing)) for note in checked.notes):  # a name that means nothing was said
                checked.notes.append(f"node '{name}': its budget could not be checked: {missing}")
            continue
        for above in sorted(caps.keys() & ancestors(name, inputs)):
            if (cap := caps[above]) > room:
                checked.complain(
                    ("nodes", above, "with", "max_tokens"),
                    f"max_tokens {cap:,} does not fit: the model of node '{name}' has room for {room:,} tokens "
                    "of passages beside its prompt and answer. Lower max_tokens here or there.",
                )
            elif cap * WASTED <= room:
                where = checked.spec.source.where((*checked.place, "nodes", above, "with", "max_tokens"))
                checked.notes.append(
                    f"{where}: node '{above}': max_tokens {cap:,} is little for the model of node '{name}', which has room "
                    f"for {room:,} tokens of passages. Raise it, or write null for half of the model's window."
                )
