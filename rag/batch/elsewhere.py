"""The same run on other machines: a cluster moves batches through the pools of the graph, this process commits what comes back.

What is sent there is a graph and the address of an index. A pool makes the pipeline from these itself, and checks that it
is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from rag.batch.done import BatchDone, batch_done
from rag.batch.pools import POOLS, advanced, begun, lightened, pools_of
from rag.core.clusters import Cluster
from rag.core.errors import IndexMismatch, SpecError
from rag.core.node import BoundNode
from rag.core.plugins import load_plugin, loaded_plugins
from rag.core.report import RunResult
from rag.core.types import Query
from rag.graph.run import NOT_AN_ITEMS_FAULT
from rag.pipeline import Pipeline, load_pipeline
from rag.pipeline.identity import Identities, graph_identity, index_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One pool of a graph, and what another process needs to make the pipeline of the process that sent it.

    `parts`: hash of the graph without the weights in model folders, which that process may not have.
    """

    pool: str
    graph: dict[str, Any]
    index: str | None
    identities: Identities
    parts: str
    plugins: tuple[str, ...] = ()

    @property
    def uses_model(self) -> bool:
        return self.pool != POOLS[0]

    def start(self) -> Callable[[Any], Any]:
        return _Worker(self)


def through_cluster(
    batches: Iterable[list[Query]], pipeline: Pipeline, identities: Identities, cluster: Cluster
) -> Iterator[BatchDone]:
    """What is left of every batch, in order, when the pools are through with it.

    Raises:
        SpecError: nothing answers at the address.
        SpecError, MissingModel, IndexProblem, ...: as of a run on this machine; the first one ends the run.
        StageError: the cluster broke down for good.
    """
    first, *later = pools_of(pipeline.graph.up_to(pipeline.graph.output))
    job = _Job(
        pool=first,
        graph=pipeline.spec.graph.model_dump(mode="json", by_alias=True),
        index=None if pipeline.index is None else pipeline.index.address,
        identities=identities,
        parts=graph_identity(pipeline.graph, weights=False),
        plugins=loaded_plugins(),
    )
    for done in cluster.through([job, *(replace(job, pool=pool) for pool in later)], map(begun, batches)):
        if isinstance(done, Exception):
            raise done
        yield done


class _Worker:
    """What does the work of a pool. Indexes and weights load at its first batch."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._pipeline: Pipeline | None = None
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ragline")

    def __call__(self, parcel: RunResult | Exception) -> RunResult | BatchDone | Exception:
        """A batch -> the same when this pool is through with it, or what hits all batches alike; later pools hand that on."""
        if isinstance(parcel, Exception):
            return parcel
        try:
            return self._advanced(parcel)
        except NOT_AN_ITEMS_FAULT as error:
            return error

    def _advanced(self, before: RunResult) -> RunResult | BatchDone:
        pipeline = self._loaded()
        order = pipeline.graph.up_to(pipeline.graph.output)
        pools = pools_of(order)
        result = advanced(before, pools[self._job.pool], threads=lambda: self._threads)
        later = [node for pool in list(pools)[list(pools).index(self._job.pool) + 1 :] for node in pools[pool]]
        if later:
            return lightened(result, still_read={source for node in later for source in node.inputs})
        return batch_done(_in_graph_order(result, order), self._job.identities)

    def _loaded(self) -> Pipeline:
        if self._pipeline is None:
            for name in self._job.plugins:
                load_plugin(name)
            pipeline = load_pipeline(self._job.graph, index=self._job.index)
            _require_same(self._job, pipeline)
            self._pipeline = pipeline
        return self._pipeline


def _require_same(job: _Job, pipeline: Pipeline) -> None:
    if index_identity(pipeline.index) != job.identities.index:
        raise IndexMismatch(f"'{job.index}' is another index on a machine of the cluster; give all the same files")
    if graph_identity(pipeline.graph, weights=False) != job.parts:
        raise SpecError("a machine of the cluster has other prompts, or another version of ragline; give all the same")


def _in_graph_order(result: RunResult, order: Iterable[BoundNode]) -> RunResult:
    """The reports as a run in one process gives them; pools may have worked in another order."""
    places = {node.name: place for place, node in enumerate(order)}
    owner, owners = "", dict[str, int]()
    for report in result.nodes:  # those of inner graphs follow the node that ran them
        owner = report.name if report.name in places else owner
        owners[report.name] = places[owner]
    return replace(result, nodes=tuple(sorted(result.nodes, key=lambda report: owners[report.name])))
