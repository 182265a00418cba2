"""Reading takes time in proportion to the file: no pattern of a reader, and no reader, is slowed down by a made text."""

from __future__ import annotations

import ast
import gc
import importlib
import pkgutil
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

import rag.ingest
from rag.ingest import Limits, Reader, SourceFile, chunk, discover, word_spans
from rag.ingest.settings import ChunkSettings

TIMES, MOST = 16, 32
"""At so many times the length a pattern may take so many times as long."""
LENGTH = 1_000
"""Characters of the shorter text. Above the largest number of repetitions that a pattern asks for."""
LEAST_OF = 5
FAST_S = 0.02
"""What the longer text may take whatever the shorter takes: a pattern whose time grows by the square takes longer."""
parser: Any = importlib.import_module("re._parser")


def modules() -> list[ModuleType]:
    return [importlib.import_module(f"rag.ingest.{each.name}") for each in pkgutil.iter_modules(rag.ingest.__path__)]


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """All that stand at the top of the readers' modules, also inside tuples, dictionaries and classes there."""
    for module in modules():
        todo = list(vars(module).items())
        seen = set[int]()
        while todo:
            name, value = todo.pop()
            if isinstance(value, re.Pattern):
                yield f"{module.__name__.rpartition('.')[2]}.{name}", value
            elif isinstance(value, (list, tuple, frozenset, set)):
                todo += [(f"{name}[{number}]", each) for number, each in enumerate(value)]
            elif isinstance(value, dict) and not name.startswith("__"):
                todo += [(f"{name}[{key}]", each) for key, each in value.items()]
            elif isinstance(value, type) and value.__module__ == module.__name__ and id(value) not in seen:
                seen.add(id(value))
                todo += [(f"{name}.{key}", each) for key, each in vars(value).items()]


@dataclass
class Made:
    """What a pattern is sensitive to: characters, and texts after which it may go on with many more of them."""

    chars: set[str] = field(default_factory=lambda: {"a", "0", " ", "\n"})
    starts: set[str] = field(default_factory=set)
    groups: dict[int, str] = field(default_factory=dict)


def samples(items: Iterable[Any], made: Made, before: str = "") -> list[str]:
    """Short texts that match: the first takes the first of all alternatives, each other another one at one place."""
    texts = [""]

    def go_on(more: list[str]) -> None:
        main = texts[0]
        texts[:] = [text + more[0] for text in texts] + [main + each for each in more[1:]]

    for op, argument in items:
        match str(op):
            case "LITERAL":
                made.chars |= {chr(argument)} if not chr(argument).isalnum() else set()
                go_on([chr(argument)])
            case "NOT_LITERAL":
                made.chars.add(chr(argument))
                go_on(["a" if argument != ord("a") else "b"])
            case "ANY":
                go_on(["a"])
            case "IN":
                found = list(_members(argument))
                made.chars |= {each for each in found if not each.isalnum()}
                go_on(found[:1] if str(argument[0][0]) != "NEGATE" else ["a"])
            case "BRANCH":
                go_on([text for inner in argument[1] for text in samples(inner, made, before + texts[0])])
            case "SUBPATTERN":
                inner = samples(argument[3], made, before + texts[0])
                if argument[0] is not None:
                    made.groups[argument[0]] = inner[0]
                go_on(inner)
            case "ATOMIC_GROUP":
                go_on(samples(argument, made, before + texts[0]))
            case "GROUPREF":
                go_on([made.groups.get(argument, "a")])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, _, inner = argument
                made.starts |= {before + text for text in texts}
                once = samples(inner, made, before + texts[0])
                go_on([once[0] * least, *(each * max(least, 1) for each in once)])
            case "ASSERT" | "ASSERT_NOT":
                samples(argument[1], made)
    return texts


def _members(argument: Iterable[Any]) -> Iterator[str]:
    categories = {"CATEGORY_SPACE": " \n", "CATEGORY_DIGIT": "0", "CATEGORY_WORD": "a0_"}
    for op, value in argument:
        if str(op) == "LITERAL":
            yield chr(value)
        elif str(op) == "RANGE":
            yield from {chr(value[0]): None, chr(value[1]): None}
        elif str(op) == "CATEGORY":
            yield from categories.get(str(value), "a!")


def texts_for(pattern: re.Pattern[Any], length: int) -> Iterator[tuple[str, str]]:
    """(what it is, a text of about this length) for all that may make the pattern slow."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    made = Made()
    whole = samples(parser.parse(source, pattern.flags), made)
    chars = sorted(made.chars)
    units = {"".join(each) for each in (*product(chars), *product(chars, repeat=2))}
    units |= {*whole, *made.starts, *(start + char for start in made.starts for char in chars)}
    for unit in sorted(filter(None, units)):
        for end in ("", "y", "\n!"):
            yield f"{unit!r} again and again, then {end!r}", unit * (length // len(unit)) + end
    for start, char, end in product(sorted(made.starts), chars, ("y", "\n!")):
        yield f"{start!r}, then {char!r} again and again, then {end!r}", start + char * length + end


def cpu_s(work: Callable[[], object], *, at_most_s: float = 0.5) -> float:
    """The processor's time that it takes; infinite where that is more than `at_most_s`.

    No garbage is collected meanwhile. An error that a signal raises inside what the collector calls is not raised
    but told as a warning, which fails the test, and the work goes on.
    """

    class _LongError(Exception):
        pass

    def stop(number: int, frame: FrameType | None) -> None:
        raise _LongError

    former = signal.signal(signal.SIGVTALRM, stop)
    collects = gc.isenabled()
    gc.disable()
    before = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, at_most_s)
    try:
        work()
        return time.process_time() - before
    except _LongError:
        return float("inf")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
        if collects:
            gc.enable()


def everywhere(pattern: re.Pattern[Any], text: str) -> Callable[[], object]:
    """Looks for a pattern at all places, as the strictest of its users does."""
    searched: Any = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
    return lambda: sum(1 for _ in pattern.finditer(searched))


def slow(pattern: re.Pattern[Any]) -> list[str]:
    found = list[str]()
    for (what, short), (_, long) in zip(texts_for(pattern, LENGTH), texts_for(pattern, TIMES * LENGTH), strict=True):
        if cpu_s(everywhere(pattern, long)) < FAST_S:
            continue
        once = min(cpu_s(everywhere(pattern, short)) for _ in range(LEAST_OF))
        most = max(MOST * once, FAST_S)
        if all(cpu_s(everywhere(pattern, long), at_most_s=most) > most for _ in range(LEAST_OF)):
            found.append(f"{what}: {once:.4f} s, and more than {most:.4f} s at {TIMES} times the length")
            break
    return found


@pytest.mark.parametrize(("name", "pattern"), [pytest.param(*each, id=each[0]) for each in patterns()])
def test_every_pattern_of_the_readers_is_linear(name: str, pattern: re.Pattern[Any]) -> None:
    assert slow(pattern) == [], name


def test_the_test_finds_patterns_that_are_not() -> None:
    made_slow = [r"(?:\d+[.)]?)+\s", r" *x", r"\[[^\]]*\]", r"\\begin\{v\}.*?\\end", r"a+b|\s+$"]
    assert [pattern for pattern in made_slow if not slow(re.compile(pattern, re.DOTALL))] == []


def test_every_pattern_stands_where_the_test_finds_it() -> None:
    """At the top of its module, and not inside a function, where each call would also look it up again."""
    inside = list[str]()
    for path in sorted(Path(rag.ingest.__file__).parent.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.Lambda):
                inside += [
                    f"{path.name}:{call.lineno}"
                    for call in ast.walk(function)
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
                    if isinstance(call.func.value, ast.Name) and call.func.value.id == "re"
                ]
    assert inside == []


def again(unit: str, size: int = 300_000) -> str:
    return unit * (size // len(unit))


SIGNS = "x " + "¶" * 40 + "y"
MADE = {
    "signs.md": f"# {SIGNS}\n",
    "signs.html": f"<h1>{SIGNS}</h1>",
    "signs.rst": f"{SIGNS}\n{'=' * 60}\n",
    "classes.tex": again("\\documentclass "),
    "listings.tex": again("\\begin{verbatim}"),
    "titles.tex": again("\\title["),
    "references.tex": again("\\ref["),
    "colons.rst": again(":"),
    "directive.rst": f".. {again(':')}",
    "spaces.rst": f":a:`{again(' ')}",
    "words.rst": again("a."),
    "punycode.html": f"<meta charset=punycode>{again('a')}",
    "punycode.eml": f"From: a\nContent-Type: text/plain; charset=punycode\n\n{again('a')}",
    "quotes.eml": f"From: a\nTo: {again(chr(34))}\n\nx",
    "parameters.eml": f"From: a\nContent-Type: text/plain; {again('a=b; ')}\n\nx",
    "quoted.mbox": f"From x\nSubject: a\n\n{again('>')}",
    "mails.mbox": again("From x\nSubject: a\n\n"),
    "fonts.1": f".TH a 1\n.SH {again(chr(92) + 'f[')}",
    "spaces.html": again("<i> </i>"),
    "tables.html": again("<table>", 40_000),
    "headings.html": again("<h1>", 40_000),
    "blank.log": f"a\n{again(' ')}\nb",
    "blank.py": f"a = 1\n{again(' ')}\nb = 2\n",
}


@pytest.mark.parametrize("name", MADE)
def test_a_text_that_is_made_to_be_slow_is_read_like_another(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(MADE[name] + "\n\nWords.\n")
    (file,) = discover(tmp_path).files
    with Reader(limits=Limits(seconds=10.0), report=lambda problem: None) as reader:
        stretches = list(reader.stream(file))
    before = time.process_time()
    assert [unit for each in stretches for unit in chunk(each, settings=ChunkSettings(), spans=word_spans)]
    assert time.process_time() - before < 10


def test_an_outline_of_digits_is_no_work(
    tmp_path: Path, pdf: Callable[..., bytes], at: Callable[..., SourceFile]
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf([["Some text."]], outline=[("1" * 40 + "a", 0)]))
    with Reader(limits=Limits(seconds=5.0)) as reader:
        (document,) = reader.read(at(tmp_path / "a.pdf"))
    assert document.text == "Some text."
