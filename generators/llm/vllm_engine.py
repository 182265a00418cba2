"""One vLLM engine for this process: started once, shared by threads, and gone when it is closed.

The asynchronous engine serves batches and streams alike: requests of all threads join the same running batch. vLLM runs
the model in a child process that is started afresh, so a program that uses this keeps its own start behind
`if __name__ == "__main__":`. Usage reports are switched off before vLLM is imported. This module knows no prompts: token ids go
in, and what comes out is read by pure functions.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from multiprocessing import active_children
from typing import Any, TypeVar

from generators.llm import vllm_guard
from rag.core.errors import MissingDependency, MissingModel, StageError
from rag.core.quiet import USAGE_REPORTS_OFF
from rag.core.stopping import unwanted, when_unwanted
from rag.core.types import Completion, SamplingParams
from rag.models.processor import usable_core_ids

T = TypeVar("T")
Request = tuple[list[int], Any]
"""Token ids of a prompt, and vLLM's sampling parameters."""

_LOAD_S = 180
_FEW_CORES = 4
_DEAD = "llm.vllm_offline: the engine has died, most often for want of memory; its log says why. The next call starts another."


def prepare_environment() -> None:
    """No usage reports, no telemetry, little log, all of few cores. Works only before vLLM is imported."""
    os.environ.update(USAGE_REPORTS_OFF)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    # The engine's processes meet on this machine; without this vLLM asks a route to addresses outside for its own one.
    os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")
    # A forked child hangs if a library of this process has used its threads before.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    # Left alone, vLLM on a processor keeps one core free for its scheduler, which is half of two.
    cores = usable_core_ids()
    if len(cores) <= _FEW_CORES:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores)))


@cache
def require_loadable() -> str:
    """vLLM's version and what it runs on, asked of another process, so that this one stays as it is.

    Asked until it loads once: that takes seconds and a process, and a server is asked for its state again and again.

    Raises:
        MissingDependency: it does not load.
    """
    script = "import vllm; from vllm.platforms import current_platform as p; print('vllm', vllm.__version__, 'on', p.device_type)"
    prepare_environment()
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=_LOAD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MissingDependency(f"llm.vllm_offline: import vllm takes longer than {_LOAD_S} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise MissingDependency(f"llm.vllm_offline: vLLM is installed, but does not load: {lines[-1]}")
    return done.stdout.strip().splitlines()[-1]


class Engine:
    """A running engine, with the event loop that serves it in a thread.

    Raises:
        MissingModel: vLLM cannot load the model, or there is no memory for it.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm-loop", daemon=True)
        self._thread.start()
        self._closing = threading.Lock()
        before = set(active_children())
        try:
            self._engine = self._wait(_start(settings))
        except Exception as cause:
            self._end_loop()
            raise MissingModel(
                f"llm.vllm_offline: vLLM does not start '{settings['model']}': {_last_line(cause)}"
            ) from cause

        self._guard = _guarded([child.pid for child in active_children() if child not in before])
        # Registered after multiprocessing's own hook, so it runs before it: that one waits for the engine's process for ever.
        atexit.register(self.close)

    @property
    def dead(self) -> bool:
        return bool(self._engine.errored)

    @property
    def computes_in(self) -> str:
        """The data type and the device that vLLM took."""
        dtype = str(self._engine.model_config.dtype).removeprefix("torch.")
        return f"{dtype} on {self._engine.vllm_config.device_config.device_type}"

    def complete(self, requests: Sequence[Request]) -> list[Any]:
        """The final output of every request, in order. One that fails ends all of them."""
        return self._wait(self._all(requests))

    def stream(self, request: Request) -> Iterator[Any]:
        """The outputs of one request as they come. Closing this aborts it, waiting and while its prompt is read too; and so
        does what makes the reader's work unwanted (`rag.core.stopping`)."""
        outputs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        feeding = asyncio.run_coroutine_threadsafe(self._feed(request, outputs), self._loop)

        def leave() -> None:
            feeding.cancel()
            outputs.put(None)  # one that is cancelled before it began says nothing itself

        try:
            with when_unwanted(leave):
                while (output := outputs.get()) is not None:
                    yield output
            if not unwanted():
                self._result(feeding)
        finally:
            feeding.cancel()

    def forget_prefixes(self) -> None:
        """Empty the cache of what prompts began with."""
        self._wait(self._engine.reset_prefix_cache())

    def close(self) -> None:
        """Stop the engine and its child process. What still runs is aborted."""
        atexit.unregister(self.close)
        with self._closing:
            if self._thread.is_alive():
                self._wait(_stop(self._engine))
                self._end_loop()
                self._guard.terminate()
                self._guard.wait()

    async def _all(self, requests: Sequence[Request]) -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._last(request)) for request in requests]
        return [task.result() for task in tasks]

    async def _last(self, request: Request) -> Any:
        return [output async for output in self._outputs(request)][-1]

    async def _feed(self, request: Request, outputs: queue.SimpleQueue[Any]) -> None:
        try:
            async for output in self._outputs(request):
                outputs.put(output)
        finally:
            outputs.put(None)

    def _outputs(self, request: Request) -> Any:
        from vllm.inputs import tokens_input

        ids, params = request
        return self._engine.generate(tokens_input(ids), params, uuid.uuid4().hex)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)

        def cancel() -> None:
            future.cancel()

        try:
            with when_unwanted(cancel):
                return self._result(future)
        except BaseException:  # such as Ctrl-C: what is running is aborted
            future.cancel()
            raise

    def _result(self, future: Future[T]) -> T:
        try:
            return future.result()
        except ExceptionGroup as group:
            raise _explained(group.exceptions[0]) from group.exceptions[0]
        except Exception as cause:
            raise _explained(cause) from cause

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)
        if not self._loop.is_running():
            self._loop.close()


def completion(
    output: Any,
    params: SamplingParams,
    *,
    text: str | None = None,
    written: int | None = None,
    noted: Sequence[dict[str, float]] | None = None,
) -> Completion:
    """The completion in a final output. Whoever streamed gives what it gathered."""
    said = output.outputs[0]
    noted = logprobs(said) if noted is None else noted
    return Completion(
        text=said.text if text is None else text,
        prompt_tokens=len(output.prompt_token_ids),
        completion_tokens=len(said.token_ids) if written is None else written,
        cached_tokens=output.num_cached_tokens or 0,
        finish_reason=said.finish_reason if said.finish_reason in ("stop", "length") else "abort",
        logprobs=tuple(noted) if params.logprobs else None,
    )


def logprobs(said: Any) -> list[dict[str, float]]:
    """Token -> log-probability at every place. Of two that read alike, the likelier stays."""
    places = []
    for candidates in said.logprobs or ():
        place: dict[str, float] = {}
        for one in sorted(candidates.values(), key=lambda one: -one.logprob):
            place.setdefault(one.decoded_token or "", one.logprob)
        places.append(place)
    return places


def tail_scores(output: Any, tail: Sequence[int]) -> list[float]:
    """Log-probability of each of the last tokens of a prompt."""
    places = output.prompt_logprobs[-len(tail) :]
    return [float(place[id_].logprob) for place, id_ in zip(places, tail, strict=True)]


def forms(params: SamplingParams) -> Any:
    """What holds the completion to a form, as vLLM spells it; None if nothing does."""
    from vllm.sampling_params import StructuredOutputsParams

    if params.choices:
        return StructuredOutputsParams(choice=list(params.choices))
    if params.regex:
        return StructuredOutputsParams(regex=params.regex)
    return StructuredOutputsParams(json=json.loads(params.json_schema)) if params.json_schema else None


def _guarded(engines: Sequence[int | None]) -> subprocess.Popen[bytes]:
    """A process that ends the engines if this one is killed."""
    command = [sys.executable, vllm_guard.__file__, str(os.getpid()), *map(str, filter(None, engines))]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


async def _start(settings: Mapping[str, Any]) -> Any:
    prepare_environment()
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(AsyncEngineArgs(**settings))


async def _stop(engine: Any) -> None:
    engine.shutdown()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _explained(cause: BaseException) -> BaseException:
    """vLLM's refusals are ValueErrors already; its two ways of dying get words."""
    name = type(cause).__name__
    if name == "EngineDeadError":
        return MissingModel(_DEAD)
    if name == "EngineGenerateError":
        return StageError(f"llm.vllm_offline: the engine failed at a request: {_last_line(cause.__cause__ or cause)}")
    return cause


def _last_line(cause: BaseException) -> str:
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1] if lines else type(cause).__name__
