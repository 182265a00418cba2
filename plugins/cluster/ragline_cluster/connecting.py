"""How much of which Ray cluster is used, and how this process connects to it.

Ray pickles what it sends: whoever can reach the ports of a cluster can run code on it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

from rag.errors import SpecError

LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """Where to run: `address` of a Ray cluster, or "local" for one that is started here and ends with the run.

    `actors`: most actors of each pool. `cpus`: processors of an actor, which are also its threads. `gpus`: of an actor
    that runs a model; Ray hides from an actor the GPUs that it did not ask for. On other machines the paths of index,
    models and prompts must lead to the same files.

    Raises:
        SpecError: no actor, no processor, or less than no GPU.
    """

    address: str = LOCAL
    actors: int = 1
    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.actors < 1 or self.cpus < 1 or not 0 <= self.gpus < inf:
            raise SpecError(
                f"a cluster works with at least 1 actor of at least 1 processor and 0 GPUs, got {self.actors} of "
                f"{self.cpus} and {self.gpus:g}"
            )

    def require(self) -> None:
        """Return if something answers at the address.

        Ray tries for minutes to reach a cluster that is not there; this asks its port once.

        Raises:
            SpecError: nothing does.
        """
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit():
            return  # "local" and "auto" are names
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise SpecError(
                f"no Ray cluster answers at '{self.address}' ({error}); start one, or use --ray local"
            ) from error

    @contextmanager
    def connected(self, *, n_pools: int = 1) -> Iterator[Any]:
        """Ray, connected; what was started here ends here.

        Args:
            n_pools: that work at the same time; a cluster that is started here has processors for all of them.
        Raises:
            SpecError: there is no cluster of this name.
        """
        _stay_disconnected()
        import ray
        import ray.exceptions

        logging.getLogger("ray").setLevel(logging.ERROR)
        ours = not ray.is_initialized()
        if ours:
            n_cpus = n_pools * self.actors * self.cpus
            here: dict[str, Any] = {"num_cpus": n_cpus, "include_dashboard": False} if self.address == LOCAL else {}
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, **here)
            except (ConnectionError, ValueError, SystemExit) as error:  # Ray exits where it finds no cluster
                raise SpecError(f"no Ray cluster at '{self.address}': {last_line(error)}") from error
        try:
            yield ray
        finally:
            if ours:
                ray.shutdown()


def last_line(error: BaseException) -> str:
    """What an error of Ray comes to; the lines before are where it happened."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _stay_disconnected() -> None:
    """Ray connects by itself whenever one of its threads asks for anything, also behind a run that has ended.

    Ray reads the variable when it is imported. Whoever imported it before may count on that, and keeps it.
    """
    if "ray" not in sys.modules:
        os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
