"""Is a run still what its graph gives? Some of its queries are asked again: `rag lab verify`.

seen.py       a run folder, or what a graph just made -> what each query got
differing.py  two of these -> which queries differ, and in what
verdict.py    differences and changed facts -> noise, version, configuration, or none of these
report.py     all of it, for people and as data
verify.py     a run folder -> the report
"""

from ragline_lab.drift.report import Drift
from ragline_lab.drift.verify import verify

__all__ = ["Drift", "verify"]
