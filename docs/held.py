"""Pages whose numbers are held to lines: `not_reached.yaml` lists what no line reaches, by section, with the reason.

All pages are, but those that are made of lines and registries, which are compared whole, and decisions, which tell of
trials and say so.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.record import RESULTS
from docs.exact import is_said, value_of
from docs.page_figures import Number, Section, numbers, sections
from docs.reached import Pool, Said, pool_of, reach_table
from rag.core.yaml_source import parse_yaml

ROOT = Path(__file__).parents[1]
LIST = ROOT / "docs" / "not_reached.yaml"

_COMMAND = re.compile(r"benchmarks(?:/results/|[./])(\w+)|make (bench-[\w-]+)")
_LINK = re.compile(r"\]\([\w./]*results\.md#([\w-]+)\)")


class Except(BaseModel):
    """Numbers of a section that no line reaches, as they are written, by why that is so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lines: tuple[str, ...] = Field(default=(), description="Files of benchmarks/results, where its text names others.")
    other: str = Field(
        default="", description="No measurement of ours: parameters, versions, limits, published figures."
    )
    whole: str = Field(
        default="",
        description="Whole numbers in sentences: parameters and sizes, and counts that chance would reach too.",
    )
    unreached: str = Field(
        default="", description="Measured. Its line is lost or was never kept, or no rule knows how it comes of lines."
    )

    told: Mapping[str, str] = Field(
        default={},
        description="A number as it is written, and the place of lines that it is of, as `docs.exact` reads it.",
    )

    @property
    def numbers(self) -> Counter[str]:
        return Counter(f"{self.other} {self.whole} {self.unreached}".split())


class Listed(BaseModel):
    """`other`: patterns of words whose numbers are no measurement on any page. `made`: pages that are made.
    `trials`: what a page must say that tells of trials without lines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    other: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    trials: str = ""
    pages: Mapping[str, Mapping[str, Except]]


@cache
def listed() -> Listed:
    """What `not_reached.yaml` says."""
    return Listed.model_validate(parse_yaml(LIST.read_text(encoding="utf-8"), name=LIST.name).data)


def held_pages() -> list[str]:
    """From the top of the project, in the order of their names."""
    found = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")]
    return sorted({"README.md", *found}.difference(listed().made) - {each for each in found if tells_trials(each)})


def tells_trials(page: str) -> bool:
    """Whether it is a decision that says so."""
    return page.startswith("docs/decisions/") and listed().trials in " ".join(
        (ROOT / page).read_text(encoding="utf-8").split()
    )


def files_of(section: Section, said: Except, page: str = "") -> frozenset[str]:
    """The files of lines that a section tells of: those that it names, or else those that its page does."""
    return frozenset(said.lines) or _named(section.text) or _named(page)


def _named(text: str) -> frozenset[str]:
    named = {name for found in _COMMAND.findall(text) for name in _recorded_by(*found)}
    return frozenset(named).union(*(_anchors().get(anchor, frozenset()) for anchor in _LINK.findall(text)))


def unreached(section: Section, said: Except, page: str = "") -> Iterator[tuple[str, Number]]:
    """The numbers of a section that no line reaches, each with the field of `Except` where it is at home, if none says more.

    Where it tells of no lines, whole numbers are parameters and bounds, and are left out.
    """
    pool = pool_of(files_of(section, said, page))
    found = _unreached(section, said, pool)
    yield from found if pool.leaves else ((home, number) for home, number in found if not number.is_whole)


def _unreached(section: Section, said: Except, pool: Pool) -> Iterator[tuple[str, Number]]:
    reached = [(table, reach_table(table, pool)) for table in section.tables]
    for table, kept in reached:
        for row, cells in enumerate(table.rows):
            for column, cell in enumerate(cells):
                missing = [each for at, each in enumerate(cell) if (row, column, at) not in kept]
                yield from (("unreached", each) for each in missing if each.text not in said.told)
    told = Said(pool, reached)
    labels = {label for table in section.tables for label in (*table.header, *table.labels)}
    for sentence in section.sentences:
        for number, is_reached in told.reached(_without(sentence)):
            if not is_reached and number.text not in said.told:
                yield "other" if sentence in labels else "whole" if number.is_whole else "unreached", number


def amiss(page: str, text: str) -> Iterator[str]:
    """Numbers that no line reaches and that are not listed, and listed ones that the page does not say.

    A listed one that a new line reaches by chance is no fault: else whoever keeps a line would have to mend pages.
    """
    excepted = listed().pages.get(page, {})
    known = {section.heading for section in sections(text)}
    yield from (f"there is no section '{heading}'" for heading in excepted if heading not in known)
    for section in sections(text):
        said = excepted.get(section.heading, Except())
        found, wanted = Counter(number.text for _, number in unreached(section, said, text)), said.numbers
        on_page = _of_all(section)
        for text_of, words in said.told.items():
            (number,) = numbers(text_of)
            if not is_said(number, words):
                yield f"'{section.heading}': {text_of} is {value_of(words):.6g} by '{words}'"
            if text_of not in on_page:
                yield f"'{section.heading}': take off the list what the page does not say: {text_of}"
        if more := found - wanted:
            yield f"'{section.heading}': no line has {' '.join(more.elements())}"
        if less := wanted - on_page:
            yield f"'{section.heading}': take off the list what the page does not say: {' '.join(less.elements())}"


def _of_all(section: Section) -> Counter[str]:
    cells = (number for table in section.tables for row in table.rows for cell in row for number in cell)
    said = (number for sentence in section.sentences for number in numbers(sentence))
    return Counter(number.text for number in (*cells, *said))


def _without(sentence: str) -> str:
    for pattern in listed().other:
        sentence = re.sub(pattern, " ", sentence)
    return sentence


def main() -> None:
    """What a page would list, as YAML, all that is listed now put where it is."""
    for page in sys.argv[1:]:
        written = [f"  {page}:"]
        excepted = listed().pages.get(page, {})
        text = (ROOT / page).read_text(encoding="utf-8")
        for section in sections(text):
            said = excepted.get(section.heading, Except())
            known = {name: Counter(getattr(said, name).split()) for name in ("other", "whole", "unreached")}
            kept: dict[str, list[str]] = {"other": [], "whole": [], "unreached": []}
            for home, number in unreached(section, said, text):
                at = next((name for name, some in known.items() if some[number.text] > 0), home)
                known[at][number.text] -= 1
                kept[at].append(number.text)
            fields = [f"lines: [{', '.join(said.lines)}]"] * bool(said.lines)
            fields += [f'{name}: "{" ".join(some)}"' for name, some in kept.items() if some]
            fields += ["told:"] * bool(said.told)
            fields += [f"  {json.dumps(number)}: {json.dumps(words)}" for number, words in said.told.items()]
            if fields:
                written += [f"    {json.dumps(section.heading)}:", *(f"      {each}" for each in fields)]
        sys.stdout.write("\n".join(written) + " {}" * (len(written) == 1) + "\n")
        sys.stdout.flush()


@cache
def _recorded_by(module: str, target: str) -> frozenset[str]:
    """The files that a benchmark writes, or those of a target of the Makefile."""
    if target:
        rule = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        modules = re.findall(r"(?:\$\((?:BENCH|TRAIN)\)|benchmarks)\.(\w+)", rule[1] if rule else "")
        return frozenset(name for each in modules for name in _recorded_by(each, ""))
    sources = (ROOT / "benchmarks" / f"{module}.py", *ROOT.glob(f"plugins/*/benchmarks/{module}.py"))
    text = " ".join(each.read_text(encoding="utf-8") for each in sources if each.is_file())
    names = {module, *re.findall(r'(?:results/|RESULTS / "|record\("|NAME(?:, \w+)* = ")(\w+)', text)}
    return frozenset(name for name in names if (RESULTS / f"{name}.jsonl").is_file())


@cache
def _anchors() -> Mapping[str, frozenset[str]]:
    page = "docs/reference/results.md"
    excepted = listed().pages.get(page, {})
    return {
        _anchor(section.heading): files_of(section, excepted.get(section.heading, Except()))
        for section in sections((ROOT / page).read_text(encoding="utf-8"))
    }


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    main()
