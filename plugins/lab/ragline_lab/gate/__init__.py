"""Checks of measures that a build has to pass: `rag lab gate`."""

from ragline_lab.gate.gate import GateReport, run_gate
from ragline_lab.gate.suite import Suite, load_suite

__all__ = ["GateReport", "Suite", "load_suite", "run_gate"]
