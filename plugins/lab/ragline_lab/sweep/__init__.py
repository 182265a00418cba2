"""Many settings of one graph as one run: `rag lab sweep`."""

from ragline_lab.sweep.report import SweepReport
from ragline_lab.sweep.sweep import sweep

__all__ = ["SweepReport", "sweep"]
