"""May this index serve what a graph asks for? Only what the graph says explicitly is compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from pydantic import BaseModel

from rag.core.errors import IndexMismatch
from retrievers.index.manifest import Manifest
from retrievers.index.settings import AnalyzerSettings, IndexSettings, Leg

_SECTION_OF = {"lexical": ("analyzer", "bm25"), "dense": ("dense",), "promptreps": ("promptreps",)}
_GRAPHS = {"lexical": "bm25", "dense": "hybrid"}
_MODELS = ("dense.encoder", "promptreps.model")


def require_match(manifest: Manifest, settings: IndexSettings, legs: Sequence[str], *, name: str) -> None:
    """Return if the index has all `legs` and was built with every value that `settings` sets explicitly.

    Sections of legs that are not asked for do not count, and two ways to say the same thing are no
    difference: stemmer `porter` and what `auto` came to for the language, two names of one encoder file.

    Raises:
        IndexMismatch: names both sides of every difference.
    """
    problems = [missing_leg(manifest, leg) for leg in legs if leg not in manifest.legs]
    counted = {"chunking", "transforms"} | {s for leg in legs for s in _SECTION_OF.get(leg, ())}
    for section in sorted(settings.model_fields_set & counted):
        if section == "analyzer" and _same_terms(manifest, settings.analyzer):
            continue
        for field, asked, built in _differences(getattr(settings, section), getattr(manifest.settings, section)):
            path = f"{section}.{field}" if field else section
            built = _in_effect(manifest, path, built)
            if asked not in ("auto", built) and not (path in _MODELS and _same_weights(manifest, path, asked)):
                problems.append(f"it was built with {path} {_say(built)}; the graph asks for {_say(asked)}")
    if problems:
        raise IndexMismatch(
            f"index '{name}' cannot serve this graph: {'; '.join(problems)}. "
            f"Build it again for this graph (rag index SRC --index {name} --graph GRAPH) or change the graph"
        )


def missing_leg(manifest: Manifest, leg: str) -> str:
    """Why a graph that needs `leg` cannot run, and what to do."""
    return (
        f"it has no {leg} leg; built with legs {', '.join(manifest.legs)}; "
        f"run: rag index SRC --index DIR --graph {_GRAPHS.get(leg, 'GRAPH')}"
    )


def _differences(asked: Any, built: Any) -> Iterator[tuple[str, Any, Any]]:
    """(dotted field, asked, built) for each explicitly set field that is not equal."""
    if not isinstance(asked, BaseModel):
        if asked != built:
            yield "", asked, built
        return
    for field in sorted(asked.model_fields_set):
        for rest, a, b in _differences(getattr(asked, field), getattr(built, field)):
            yield f"{field}.{rest}" if rest else field, a, b


def _same_terms(manifest: Manifest, asked: AnalyzerSettings) -> bool:
    """Whether the asked analyzer, where it is explicit, makes the terms that the index has."""
    from retrievers.analysis import Analyzer

    built = manifest.settings.analyzer
    wanted = built.model_copy(update={field: getattr(asked, field) for field in asked.model_fields_set})
    return bool(wanted == built or Analyzer(wanted).describe() == Analyzer(built).describe())


def _in_effect(manifest: Manifest, path: str, built: Any) -> Any:
    """What a built `auto` came to, where the manifest says it."""
    named = {"dense.compute": "compute", "promptreps.dtype": "dtype"}
    return _maker(manifest, path).get(named[path], built) if path in named else built


def _same_weights(manifest: Manifest, path: str, asked: str) -> bool:
    from rag.models import locate, weights_sha256

    folder = locate(asked)
    return folder is not None and weights_sha256(folder.path) == _maker(manifest, path).get("weights_sha256")


def _maker(manifest: Manifest, path: str) -> dict[str, Any]:
    """The description of the model behind a setting."""
    if path.startswith("promptreps."):
        return cast(dict[str, Any], (manifest.promptreps or {}).get("encoder", {}))
    return cast(dict[str, Any], manifest.encoder or {})


def _say(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f"{part.use} {dict(part.params)}" for part in value) + "]"
    return repr(value)


def leg_names(legs: Sequence[str]) -> tuple[Leg, ...]:
    """Distinct legs in canonical order.

    Raises:
        ValueError: none, or an unknown one.
    """
    unknown = sorted(set(legs) - set(_SECTION_OF))
    if unknown or not legs:
        raise ValueError(f"legs must be some of {', '.join(_SECTION_OF)}; got {', '.join(legs) or 'none'}")
    return tuple(cast(Leg, leg) for leg in _SECTION_OF if leg in legs)
