"""What is wrong with the arguments of a call, in the form of our errors: where, what, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

MOST_PROBLEMS, LONGEST = 5, 400
"""Problems that are told, and characters of each: a call can be wrong in a million places."""

_ALTERNATIVES = {"str", "dict[str,any]"}
"""Steps of a place that name no argument, but one of the forms that it may have."""

_NO_TEXT, _NO_NUMBER = "it is no text; give a text", "it is no whole number; give one"

_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "it is missing; give it",
    "string_type": lambda _: _NO_TEXT,
    "string_too_short": lambda allowed: f"it is too short; give at least {_counted(allowed['min_length'])}",
    "string_too_long": lambda allowed: f"it is too long; give at most {_counted(allowed['max_length'])}",
    "int_type": lambda _: _NO_NUMBER,
    "int_parsing": lambda _: _NO_NUMBER,
    "int_from_float": lambda _: _NO_NUMBER,
    "greater_than_equal": lambda allowed: f"it is too small; give at least {allowed['ge']:,}",
    "less_than_equal": lambda allowed: f"it is too large; give at most {allowed['le']:,}",
    "list_type": lambda _: "it is no list; give one",
    "too_long": lambda allowed: f"it has too many items; give at most {allowed['max_length']:,}",
    "literal_error": lambda allowed: f"it is none of what is known; give {allowed['expected']}",
    "extra_forbidden": lambda _: "there is no such field; leave it out",
    "model_type": lambda _: "it is no object; give one",
    "value_error": lambda allowed: str(allowed["error"]),
}


def refused(tool: str, known: Sequence[str], error: ValidationError) -> str:
    """Why a tool was not run. The values are not repeated: they may be long, or hostile.

    Args:
        known: the names of the tool's arguments.
    """
    problems = error.errors(include_url=False, include_input=False)
    lines = list(dict.fromkeys(map(_told, problems)))
    more = [f"and {len(lines) - MOST_PROBLEMS:,} more"] if len(lines) > MOST_PROBLEMS else []
    said = ". ".join([*lines[:MOST_PROBLEMS], *more])
    return f"{tool} was not run. {said}. Its arguments are {', '.join(known)}; its input schema says what each takes"


def _told(problem: Mapping[str, Any]) -> str:
    steps = [step for step in problem["loc"] if step not in _ALTERNATIVES]
    place = ".".join(str(step)[:80] for step in steps)
    if len(steps) < len(problem["loc"]):
        return f"{place}: it is neither a text nor an object; give one of them"
    say = _SAID.get(problem["type"])
    said = "it does not fit the input schema" if say is None else say(problem.get("ctx", {}))
    return f"{place}: {said[:LONGEST].rstrip('.')}"


def _counted(n: int) -> str:
    return f"{n:,} character{'' if n == 1 else 's'}"
