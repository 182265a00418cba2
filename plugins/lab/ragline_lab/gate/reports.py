"""A gate's report for those who read it: JUnit XML for build servers, Markdown for people."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rag.writing import printed_line
from ragline_lab.gate.gate import CheckReport, GateReport
from ragline_lab.pages.document import inert, markdown_table

HEAD = ("check", "asked", "figure", "verdict")


def rows_of(report: GateReport) -> list[tuple[str, ...]]:
    """A row for each requirement, below the names of the columns."""
    return [
        HEAD,
        *(
            (check.name, verdict.requirement.label, verdict.told, verdict.state)
            for check in report.checks
            for verdict in check.verdicts
        ),
    ]


def summary(report: GateReport) -> list[str]:
    """What came out as a whole, and what is to be known beside the verdicts."""
    states = [verdict.state for check in report.checks for verdict in check.verdicts]
    counted = ", ".join(
        f"{states.count(state)} {state}" for state in ("passed", "failed", "not shown") if state in states
    )
    lines = [f"{'passed' if report.passed else 'not passed'}: {counted}"]
    lines += [
        f"check '{check}': {', '.join(parts)} changed, and was accepted" for check, parts in report.accepted.items()
    ]
    failing = [check for check in report.checks if check.failed]
    lines += [f"check '{c.name}': {c.failed:,} of {c.queries:,} queries failed at a node and count 0" for c in failing]
    return lines


def markdown(report: GateReport) -> str:
    """A page: what came out, and a row for each requirement."""
    lines = [f"## Gate {inert(report.suite)}", "", *(f"- {inert(line)}" for line in summary(report)), ""]
    return "\n".join([*lines, *markdown_table(rows_of(report)), ""])


def junit(report: GateReport) -> str:
    """JUnit XML: a test suite for each check, a test case for each requirement.

    What is not shown is a failure of a type of its own. Characters that XML has no place for become U+FFFD.
    """
    failures = sum(_failures(check) for check in report.checks)
    n = sum(len(check.verdicts) for check in report.checks)
    seconds = sum(check.seconds for check in report.checks)
    root = _element(None, "testsuites", name=report.suite, tests=n, failures=failures, errors=0, time=f"{seconds:.3f}")
    for check in report.checks:
        _add_check(root, check)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _add_check(root: ET.Element, check: CheckReport) -> None:
    seconds = f"{check.seconds:.3f}"
    n = len(check.verdicts)
    suite = _element(root, "testsuite", name=check.name, tests=n, failures=_failures(check), errors=0, time=seconds)
    properties = _element(suite, "properties")
    facts = {"dataset": check.dataset, "split": check.split, "graph": check.graph, "index": check.index}
    digests = {f"sha256 of {part}": digest for part, digest in check.fingerprint.items()}
    for name, value in {**facts, "queries": str(check.queries), **digests}.items():
        _element(properties, "property", name=name, value=value)
    for verdict in check.verdicts:
        # The seconds are those of the whole check, for all its requirements are of one run.
        case = _element(suite, "testcase", classname=check.name, name=verdict.requirement.label, time="0")
        if verdict.state != "passed":
            _element(case, "failure", type=verdict.state, message=f"{verdict.requirement.label}: {verdict.told}")
        else:
            _element(case, "system-out").text = printed_line(verdict.told)


def _failures(check: CheckReport) -> int:
    return sum(verdict.state != "passed" for verdict in check.verdicts)


def _element(parent: ET.Element | None, tag: str, **attributes: object) -> ET.Element:
    """An element with attributes that XML can hold, below its parent if it has one."""
    said = {name: printed_line(str(value)) for name, value in attributes.items()}
    return ET.Element(tag, said) if parent is None else ET.SubElement(parent, tag, said)
