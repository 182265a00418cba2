"""A suite of checks, as a YAML file.

version: 1
checks:
  handbook:
    dataset: sets/handbook            # paths are those from the folder of this file
    graph: hybrid                     # a built-in name, or a file
    baseline: runs/handbook-main      # where a measure asks not_below
    measures:
      nDCG@10: {at_least: 0.6, not_below: 0.0}
      R@100: {at_least: 0.9, by: interval}
    judged:                           # of graphs that answer; see docs/plugins/judging.md
      judge: qwen2.5-coder-1.5b-instruct
      agreement: judge.json           # of rag lab judge --labels
      measures:
        NuggetsWeighted: {at_least: 0.4}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from rag.errors import SpecError, did_you_mean
from rag.files import Source, parse_yaml
from rag.graphs import builtin_names, form_problems
from rag.indexes import IndexSettings
from ragline_lab.gate.verdicts import Kind, Requirement
from ragline_lab.judge.verdicts import MEASURES

Figure = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Wanted(_Frozen):
    """What one measure has to reach."""

    at_least: Figure | None = Field(default=None, description="The mean, or the whole interval, is not below this.")
    at_most: Figure | None = Field(default=None, description="The mean, or the whole interval, is not above this.")
    not_below: Annotated[Figure, Field(ge=0)] | None = Field(
        default=None, description="It is not significantly below the baseline by more than this."
    )
    by: Literal["point", "interval"] = Field(default="point", description="What is asked: the mean, or its interval.")

    @model_validator(mode="after")
    def _asks_something(self) -> Wanted:
        if self.at_least is None and self.at_most is None and self.not_below is None:
            raise ValueError("at_least, at_most or not_below is wanted")
        return self

    def requirements(self, measure: str) -> tuple[Requirement, ...]:
        """One for each thing that is asked."""
        asked: tuple[tuple[Kind, float | None], ...] = (
            ("at_least", self.at_least),
            ("at_most", self.at_most),
            ("not_below", self.not_below),
        )
        return tuple(
            Requirement(measure=measure, kind=kind, threshold=threshold, by=self.by)
            for kind, threshold in asked
            if threshold is not None
        )


class JudgedMeasures(_Frozen):
    """Measures that a model judges, and the file that says how often that model is right."""

    judge: str = Field(description="The model, as rag lab judge takes it.")
    agreement: str = Field(description="File of rag lab judge --labels, of this judge.")
    least: Annotated[Figure, Field(ge=0, le=1)] = Field(
        default=0.7, description="The whole interval of how often the judge is right is not below this."
    )
    nuggets: PositiveInt = Field(default=10, description="Most nuggets of a question.")
    measures: dict[str, Wanted] = Field(min_length=1)

    @model_validator(mode="after")
    def _are_judged(self) -> JudgedMeasures:
        for name, wanted in self.measures.items():
            if name not in MEASURES:
                raise ValueError(f"{name} is not judged. {did_you_mean(name, MEASURES)}")
            if wanted.not_below is not None:
                raise ValueError(f"{name}: not_below is for measures that are not judged; ask at_least or at_most")
        return self


class Check(_Frozen):
    """A graph on a data set, and what its measures have to reach."""

    dataset: str = Field(description="Folder in BEIR layout.")
    graph: str = Field(description="Built-in name or YAML file.")
    split: str = "test"
    within: str | None = Field(default=None, description="A query searches only documents that share this field.")
    limit: PositiveInt | None = Field(default=None, description="Only the first so many questions.")
    index: IndexSettings | None = Field(default=None, description="In place of the graph's own index section.")
    baseline: str | None = Field(default=None, description="Run folder of rag eval, or TREC run.")
    measures: dict[str, Wanted] = Field(min_length=1)
    judged: JudgedMeasures | None = Field(default=None, description="Measures that a model judges.")

    @model_validator(mode="after")
    def _has_what_it_compares_with(self) -> Check:
        below = [name for name, wanted in self.measures.items() if wanted.not_below is not None]
        if below and self.baseline is None:
            raise ValueError(f"{below[0]}: not_below needs a baseline to compare with; name a run")
        if self.baseline is not None and not below:
            raise ValueError("no measure asks not_below, so the baseline is compared with nothing")
        return self


class SuiteFile(_Frozen):
    """The whole file. Keys of `checks` are names of one's own."""

    version: Literal[1]
    description: str = ""
    checks: dict[str, Check] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite that was read, and its file, for messages and paths."""

    path: Path
    source: Source
    checks: Mapping[str, Check]

    def where(self, check: str) -> str:
        """File and line of a check."""
        return self.source.where(("checks", check))

    def place(self, path: str) -> Path:
        """A path of the file, as seen from here."""
        return self.path.parent / Path(path).expanduser()

    def graph(self, check: Check) -> str:
        """A graph as `load_spec` takes it: a built-in name, or a path as seen from here.

        Raises:
            SpecError: it is neither.
        """
        if check.graph in builtin_names():
            return check.graph
        path = self.place(check.graph)
        if not path.is_file():
            hint = did_you_mean(check.graph, builtin_names())
            raise SpecError(f"no graph '{check.graph}': neither built-in nor a file beside the suite. {hint}")
        return str(path)


def load_suite(path: str | Path) -> Suite:
    """Read a suite. What its data sets and graphs hold is looked at by `run_gate`.

    Raises:
        SpecError: no such file, not YAML, or not the form of a suite; all problems at once, with file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not UTF-8 text") from None
    except OSError as cause:
        raise SpecError(f"suite '{path}' cannot be read: {cause.strerror}") from None
    source = parse_yaml(text, name=str(path))
    if not isinstance(source.data, dict):
        raise SpecError(f"{path}: a suite is a mapping with version and checks")
    try:
        file = SuiteFile.model_validate(source.data)
    except ValidationError as error:
        raise SpecError(*form_problems(source, error, SuiteFile, whole="the suite")) from None
    return Suite(path=path, source=source, checks=file.checks)
