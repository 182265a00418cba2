"""llama.cpp in this process, through xllamacpp: one loaded file that answers from any number of threads.

The binding is llama.cpp's own server, and it insists on listening somewhere. It is made to listen on a Unix socket in a
folder that only this user may enter: no address of the network is opened, and nobody else can connect. What another reader
read of a prompt goes through it, as a file in that folder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import regex

from generators.llm.slot_states import SlotStates, StateDoor
from generators.llm.slots import Slots
from generators.llm.torch_reader import TorchReader
from rag.core.errors import MissingModel, RagError, StageError
from rag.core.load import Load
from rag.core.stopping import unwanted
from rag.core.types import Completion, SamplingParams

log = logging.getLogger(__name__)

Chunk = Mapping[str, Any]

_READ_AT_ONCE = 512
"""Tokens of prompts that are read in one step. Between two steps it is asked whether the request is still wanted; so many
go through the model together anyway."""
_TIMED = 200
"""So many tokens of a prompt have to be read for the time that they took to say how fast the model reads.

No more than the least that a question has: where the speed of a busy machine is kept, the next question mends it."""
_WORTH = 128
"""So many tokens have to be read for another reader to be asked, and no fewer than the slot has of them: it reads all anew."""
_TRIED = tuple(range(100, 112))
"""Tokens that both read, to see that they agree."""


class LlamaEngine:
    """A loaded GGUF file with `slots` places for requests, each of `window` tokens. More requests wait for a slot.

    A request that is not wanted any more (`rag.core.stopping`) leaves: from the line at once, from its slot before the next
    token is written, or the next piece of its prompt read.

    Args:
        read: told tokens a second of each prompt of two hundred and more that no slot held.
        reader: reads long prompts in the place of llama.cpp, if both are seen to agree on a few tokens.
    Raises:
        MissingModel: llama.cpp cannot load the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        window: int,
        slots: int,
        threads: int,
        read: Callable[[float], object] = lambda _: None,
        reader: TorchReader | None = None,
    ) -> None:
        import xllamacpp

        self._slots, self._read, self._reader = Slots(slots), read, reader
        self._door, self._trying, self._agrees = StateDoor(), Lock(), False
        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx, settings.n_parallel = window * slots, slots
        settings.n_batch = _READ_AT_ONCE
        settings.endpoint_metrics = True
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.cache_ram_mib = 0  # prompts of other slots are not kept beside the slots: memory has a bound
        settings.ctx_shift = False
        settings.warmup, settings.ui, settings.verbosity = False, False, 0
        settings.hostnames, settings.slot_save_path = [str(self._door.socket)], f"{self._door.folder}/"
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as cause:
            raise MissingModel(
                f"'{path}' does not load in llama.cpp: it is damaged, of an architecture that this version does not"
                f" know, or larger than the memory ({cause})"
            ) from cause
        if reader is None:
            self._door.close()
        self.tokens()  # it answers, so its loop runs: one that is let go of before that would never end

    def load(self) -> Load:
        """Requests in slots, and those that wait."""
        return self._slots.load()

    def tokens(self) -> tuple[int, int]:
        """Tokens of prompts that were read, and tokens that were written, since the file was loaded."""
        counted = dict(line.split() for line in self._server.handle_metrics().splitlines() if not line.startswith("#"))
        return int(counted["llamacpp:prompt_tokens_total"]), int(counted["llamacpp:tokens_predicted_total"])

    def write(
        self, ids: Sequence[int], params: SamplingParams, *, stop: Sequence[str], told: Callable[[str], object]
    ) -> Completion:
        """Write after a prompt; `told` gets each piece of text. What is not wanted any more ends with reason `abort`.

        Raises:
            StageError: llama.cpp refuses the request; says why.
        """
        request = {
            "prompt": list(ids),
            "n_predict": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": params.seed,
            "stop": list(stop),
            "n_probs": params.logprobs,
            **_STREAMED,
            **_PLAIN,
            **_form(params),
        }
        pieces, places, last = list[str](), list[dict[str, float]](), dict[str, Any]()
        failed: list[BaseException] = []

        def take(chunk: Chunk) -> bool:
            if "error" in chunk:
                last.update(chunk)
                return True
            if "prompt_progress" in chunk:
                return unwanted()
            try:
                [choice] = chunk["choices"]
                pieces.append(choice["text"])
                places.extend(
                    _candidates(place, params.logprobs) for place in (choice["logprobs"] or {}).get("content", ())
                )
                last.update(chunk, finish_reason=choice["finish_reason"])
                told(choice["text"])
                return unwanted()
            except BaseException as error:  # it would be lost in the binding
                failed.append(error)
                return True

        with self._slot_for(ids) as slot:
            refused = self._server.handle_completions(request | {"id_slot": slot.number}, take) if slot else None
        if failed:
            raise failed[0]
        _require_served(refused if isinstance(refused, Mapping) else last)
        self._note_speed(last.get("timings", {}))
        usage, text = last.get("usage", {}), "".join(pieces)
        if last.get("finish_reason") == "stop":
            _require_kept(text, params)
        return Completion(
            text=text,
            prompt_tokens=len(ids),
            completion_tokens=usage.get("completion_tokens", len(pieces)),
            cached_tokens=slot.cached(usage) if slot else 0,
            finish_reason=last.get("finish_reason") or "abort",
            logprobs=tuple(places) if params.logprobs else None,
        )

    def _note_speed(self, timings: Mapping[str, float]) -> None:
        if timings.get("prompt_n", 0) >= _TIMED:
            self._read(timings["prompt_per_second"])

    def score(self, ids: Sequence[int], tail: Sequence[int]) -> tuple[list[float], int]:
        """Log-probability of each token of `tail` after `ids`, and how many tokens of `ids` a slot still held.

        The tail is written with a grammar that allows nothing else; what llama.cpp tells of a token is the model's own
        probability, before the grammar.

        Raises:
            StageError: llama.cpp refuses the request; says why.
        """
        request = {
            "prompt": list(ids),
            "n_predict": len(tail),
            "temperature": 0,
            "n_probs": 1,
            "grammar": "root ::= " + " ".join(f"<[{id_}]>" for id_ in tail),
            **_PLAIN,
        }
        with self._slot_for(ids) as slot:
            if not slot:
                raise StageError("llm.llama_cpp: nobody wants these scores any more")
            reply = self._server.handle_completions(request | {"id_slot": slot.number})
        _require_served(reply)
        places = reply["choices"][0]["logprobs"]["content"]
        if [place["id"] for place in places] != list(tail):
            raise StageError("llm.llama_cpp: llama.cpp wrote other tokens than those that were to be scored")
        return [float(place["logprob"]) for place in places], slot.cached(reply["usage"])

    def try_reader(self) -> TorchReader | None:
        """The other reader, once it was seen to agree with llama.cpp; None where it does not, or there is none."""
        with self._trying:
            if self._reader is None or self._agrees:
                return self._reader
            try:
                with self._slots.taken(_TRIED) as slot:
                    if slot is None:
                        return None
                    request = {"prompt": _TRIED, "n_predict": 1, "id_slot": slot[0], **_PLAIN}
                    _require_served(self._server.handle_completions(request))
                    data = self._door.save(slot[0])
                self._agrees = self._reader.agrees(SlotStates.unpacked(data, slot[0], self._slots.n))
                if not self._agrees:
                    self._read_alone("they do not agree")
            except (RagError, OSError, ValueError) as error:
                self._read_alone(error)
            return self._reader

    def _read_alone(self, why: object) -> None:
        log.warning("llm.llama_cpp: llama.cpp reads its prompts itself, and torch does not: %s", why)
        self._reader = None

    @contextmanager
    def _slot_for(self, ids: Sequence[int]) -> Iterator[_Slot | None]:
        reader = self.try_reader() if len(ids) > _WORTH else None
        with self._slots.taken(ids) as slot:
            handed = bool(slot and reader and self._hand_over(*slot, ids, reader))
            yield slot and _Slot(number=slot[0], before=slot[1] if handed else None)

    def _hand_over(self, slot: int, before: int, ids: Sequence[int], reader: TorchReader) -> bool:
        """All but the last token, if it pays: what follows that one is for llama.cpp to say."""
        if len(ids) - before <= max(_WORTH, before):
            return False
        begun = perf_counter()
        states = reader.read(ids[:-1])
        if states is None:
            return False
        try:
            self._door.restore(slot, states.packed(slot, self._slots.n))
        except (StageError, OSError) as error:  # such as a full disk
            self._read_alone(error)
            return False
        if len(ids) >= _TIMED and self._slots.load().busy == 1:
            self._read(len(ids) / (perf_counter() - begun))
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """`before`: tokens of the prompt that it had before another reader handed it all of them; None where none did."""

    number: int
    before: int | None

    def cached(self, usage: Mapping[str, Any]) -> int:
        if self.before is not None:
            return self.before
        return int((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))


_STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
_PLAIN: Mapping[str, Any] = {
    "cache_prompt": True,
    "samplers": ["temperature", "top_p"],
}
"""What every request says: no sampler but those that `SamplingParams` knows."""


def _require_served(reply: Mapping[str, Any]) -> None:
    if "error" in reply:
        raise StageError(f"llm.llama_cpp: {reply['error'].get('message', 'llama.cpp refused the request')}")


def _require_kept(text: str, params: SamplingParams) -> None:
    """A form that llama.cpp cannot read is left out by it without a word, so what was written is looked at."""
    if params.regex and not regex.fullmatch(params.regex, text):
        raise StageError(
            f"llm.llama_cpp: what was written does not match {params.regex!r}; llama.cpp reads regular expressions of"
            " Rust's kind, without look-around and back-references"
        )
    if params.choices and text not in params.choices:
        raise StageError(f"llm.llama_cpp: what was written is none of the {len(params.choices)} choices")
    if params.json_schema:
        try:
            json.loads(text)
        except ValueError as error:
            raise StageError(f"llm.llama_cpp: what was written is not JSON ({error}); was the schema read?") from error


def _require_expression(expression: str) -> None:
    try:
        regex.compile(expression)
    except regex.error as error:
        raise ValueError(f"llm.llama_cpp: regex is not one ({error}): {expression[:80]!r}") from error


def _candidates(place: Mapping[str, Any], n: int) -> dict[str, float]:
    """Token -> log-probability; the one that was written is among them. Of two that read alike, the likelier stays."""
    candidates = place["top_logprobs"][:n]
    if place["id"] not in (one["id"] for one in candidates):
        candidates = [*candidates, place]
    noted: dict[str, float] = {}
    for one in candidates:
        noted.setdefault(str(one["token"]), float(one["logprob"]))
    return noted


def _form(params: SamplingParams) -> dict[str, Any]:
    """What holds the text to a form. Regular expressions are those of llguidance, which is built in."""
    if params.choices:
        rule = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in params.choices)
    elif params.regex:
        _require_expression(params.regex)
        rule = "/" + params.regex.replace("/", r"\/") + "/"
    elif params.json_schema:
        rule = f"%json {params.json_schema}"
    else:
        return {}
    return {"grammar": f"%llguidance {{}}\nstart: {rule}"}
