"""Options of `rag index` that are about a Ray cluster."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rag.cli.options import positive
from rag.core.cluster import Cluster
from rag.core.errors import SpecError


def add_options(index: ArgumentParser) -> None:
    """Add them to the command."""
    cluster = index.add_argument_group("texts encoded on a Ray cluster")
    cluster.add_argument(
        "--ray", metavar="ADDRESS", help="encode on this Ray cluster, or 'local' (needs the extra ray)"
    )
    cluster.add_argument("--ray-actors", type=positive, metavar="N", help="actors, each with a copy of the model (1)")
    cluster.add_argument("--ray-cpus", type=positive, metavar="N", help="processors of an actor, and its threads (1)")
    cluster.add_argument("--ray-gpus", type=float, metavar="N", help="GPUs of an actor (0)")


def cluster_of(given: Namespace) -> Cluster | None:
    """The cluster that the options name, if they name one.

    Raises:
        SpecError: they do not go together.
    """
    if given.ray is None:
        for name in ("ray_actors", "ray_cpus", "ray_gpus"):
            if vars(given)[name] is not None:
                raise SpecError(f"rag index: --{name.replace('_', '-')} goes with --ray")
        return None
    if given.watch:
        raise SpecError(
            "rag index: --watch builds again and again, a few files at a time; a cluster is for one large build. Give "
            "--ray first, and --watch without it afterwards"
        )
    return Cluster(
        address=given.ray, actors=given.ray_actors or 1, cpus=given.ray_cpus or 1, gpus=given.ray_gpus or 0.0
    )
