"""Many settings of one graph as one run: `rag lab sweep`."""

from rag.lab.sweep.report import SweepReport
from rag.lab.sweep.sweep import sweep

__all__ = ["SweepReport", "sweep"]
