"""For whoever reads, changes, checks and runs graphs, and says what made a run. The built-in graphs lie in this folder."""

from rag.core.report import RunResult, apart
from rag.graph.build import Graph
from rag.graph.check import check
from rag.graph.checked import Made
from rag.graph.form import form_problems
from rag.graph.kinds import parameters_of
from rag.graph.load import builtin_names, load_spec, spec_of
from rag.graph.names import new_name
from rag.graph.signature import needs_index
from rag.graph.spec import GraphSpec, Node, Part, Spec
from rag.graph.wiring import ancestors, topological
from rag.graph.writer import with_writer
from rag.models.identity import model_identity
from rag.pipeline.identity import Identities, graph_identity, index_identity
from rag.pipeline.merged import Merged, Sharing, built_together
from rag.pipeline.pipeline import Pipeline
from rag.pipeline.provenance import Change, Provenance, changes_between, provenance_of, read_provenance

__all__ = [
    "Change",
    "Graph",
    "GraphSpec",
    "Identities",
    "Made",
    "Merged",
    "Node",
    "Part",
    "Pipeline",
    "Provenance",
    "RunResult",
    "Sharing",
    "Spec",
    "ancestors",
    "apart",
    "built_together",
    "builtin_names",
    "changes_between",
    "check",
    "form_problems",
    "graph_identity",
    "index_identity",
    "load_spec",
    "model_identity",
    "needs_index",
    "new_name",
    "parameters_of",
    "provenance_of",
    "read_provenance",
    "spec_of",
    "topological",
    "with_writer",
]
