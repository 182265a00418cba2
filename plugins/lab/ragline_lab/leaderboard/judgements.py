"""What the runs of a set are measured by, where they were not measured when they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.errors import SpecError
from rag.evaluate import RETRIEVAL_MEASURES, Plan, answer_measure_name, load_beir, plan_evaluation, read_qrels


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgements:
    """Where judgements are: a data set, or a folder of data sets by the names of the sets; and files of qrels by set.

    `measures`: those wanted; None takes what `rag eval` would.
    """

    dataset: Path | None = None
    split: str = "test"
    qrels: Mapping[str, Path] | None = None
    measures: Sequence[str] | None = None

    def plan(self, name: str) -> Plan | None:
        """How the runs of a set are measured; None where nobody said.

        Raises:
            SpecError: the data set or the file cannot be read, or has not what a measure needs.
        """
        if self.qrels and name in self.qrels:
            wanted = self.measures or RETRIEVAL_MEASURES
            of_rankings = tuple(measure for measure in wanted if answer_measure_name(measure) is None)
            return Plan(queries=(), qrels=read_qrels(self.qrels[name]), retrieval=of_rankings)
        if self.dataset is None:
            return None
        own = self.dataset / name
        data = load_beir(own if own.is_dir() else self.dataset)
        return plan_evaluation(data, graph="", ranks=True, gives_answers=True, split=self.split, measures=self.measures)


def qrels_by_set(given: Sequence[str], sets: Sequence[str]) -> dict[str, Path]:
    """`SET=FILE` as it was given; a file alone where there is one set.

    Raises:
        SpecError: a set is not there, or a file alone does not say of which of several it is.
    """
    found: dict[str, Path] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if name in sets and equals:
            found[name] = Path(file)
        elif len(sets) == 1 and not equals:
            found[sets[0]] = Path(each)
        else:
            raise SpecError(f"--qrels {each}: SET=FILE is wanted, SET one of {', '.join(sets)}")
    return found
