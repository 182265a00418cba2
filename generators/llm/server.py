"""A language model behind an OpenAI-compatible server."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from generators.llm import server_errors, server_replies
from generators.llm.params import FORMS, require_choices, require_pairs, require_valid
from generators.llm.server_client import NotFound, ServerClient
from generators.llm.server_replies import Malformed
from generators.llm.server_requests import Dialect, chat_body, continued, ids_body, scoring_body
from generators.llm.server_text import as_messages, harmless
from rag.core.contents import TEXT
from rag.core.errors import MissingModel, RagError, SpecError, did_you_mean
from rag.core.side_by_side import side_by_side
from rag.core.types import Completion, Prompt, SamplingParams
from rag.models.chat import encode_prompt, encode_text, end_of_turn, turn_stops

logger = logging.getLogger(__name__)

ASSUMED_WINDOW = 4096
"""Tokens that a model is taken to read whose server does not say it: what small models and common defaults have."""

T = TypeVar("T")


class ServerLLM:
    """A model behind any OpenAI-compatible server, such as `vllm serve` (Kwon et al., SOSP 2023, arXiv 2309.06180).

    Without `tokenizer`, messages go to the server's chat template as text, and turn markers of known spellings are
    broken up first (`generators.llm.server_text`). With `tokenizer`, prompts are laid out here and sent as token ids, so
    no text inside a message can open or close a turn; that needs a server that takes ids, as vLLM does. Scoring and
    choosing need vLLM. Elsewhere a prompt that begins the answer ends with that beginning in the user's turn, since such
    servers do not continue a turn: the answer may repeat it. Prompts of a batch are asked side by side; the server
    batches them. Many threads may call it.

    Args:
        model: its name at the server; unset takes the only one that is served.
        url: where the server's /v1 begins.
        tokenizer: packaged name, folder or hub id of the model's tokenizer, for prompts as token ids.
        context_window: tokens for prompt and completion; unset asks the server, which vLLM answers. Of one that does not
            say it, 4,096 are assumed, with a warning.
        api_key_variable: environment variable that holds the key; unset sends none. The operator says which servers may
            have it, in RAGLINE_API_KEYS.
        dialect: what the server understands beyond the common ground; auto asks it.
        timeout_s: longest silence of the server, in seconds.
        retries: further attempts after 408, 429, 5xx or a broken connection.
        max_in_flight: most requests at a time.
        vision: the model sees pictures; then those of a prompt go with it. A server whose model does not see refuses them.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        url: str = "http://localhost:8000/v1",
        tokenizer: str | None = None,
        context_window: int | None = None,
        api_key_variable: str | None = None,
        dialect: Literal["auto", "vllm", "openai"] = "auto",
        timeout_s: float = 600.0,
        retries: int = 4,
        max_in_flight: int = 64,
        vision: bool = False,
    ) -> None:
        _require_url(url)
        if dialect != "auto" and dialect not in get_args(Dialect):
            raise ValueError(f"llm.server: dialect must be auto, vllm or openai, got {dialect!r}")
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"llm.server: timeout_s must be above 0, got {timeout_s}")
        if retries < 0:
            raise ValueError(f"llm.server: retries must be 0 or above, got {retries}")
        for name, value in (("max_in_flight", max_in_flight), ("context_window", context_window)):
            if value is not None and value < 1:
                raise ValueError(f"llm.server: {name} must be at least 1, got {value}")
        if vision and tokenizer is not None:
            raise ValueError(
                "llm.server: vision needs messages as text, and with 'tokenizer' they go as token ids; leave one out"
            )
        self.url, self.tokenizer_name, self.vision = url, tokenizer, vision
        self.place = ""
        self._model, self._window, self._asked_dialect = model, context_window, dialect
        self._assumes = False
        self._max_in_flight = max_in_flight
        self._client = ServerClient(
            url,
            by="llm.server",
            api_key_variable=api_key_variable,
            timeout_s=timeout_s,
            retries=retries,
            max_in_flight=max_in_flight,
        )
        self._lock = threading.RLock()
        self._served: list[dict[str, Any]] | None = None
        self._own_tokenizer: Any = None

    @property
    def context_window(self) -> int:
        """Tokens for prompt and completion together: as given, else as the server says, else `ASSUMED_WINDOW`.

        Raises:
            MissingModel: no server answers.
        """
        if self._window is None and not self._assumes:
            window = self._card.get("max_model_len")
            if isinstance(window, int) and window > 0:
                self._window = window
            else:
                self._assumes = True
                logger.warning(
                    "%s: %s does not say how much '%s' can read: %s tokens are assumed. Set 'context_window'.",
                    self.place or "llm.server",
                    self.url,
                    self.model_name,
                    f"{ASSUMED_WINDOW:,}",
                )
        return self._window or ASSUMED_WINDOW

    @property
    def model_name(self) -> str:
        """The model's name at the server."""
        if self._model is None:
            names = self._names()
            if len(names) != 1:
                raise SpecError(f"llm.server: set 'model'; {self.url} serves {', '.join(names) or 'none'}")
            self._model = names[0]
        return self._model

    @property
    def dialect(self) -> Dialect:
        """As given, else `vllm` if the server says that it is one."""
        if self._asked_dialect != "auto":
            return self._asked_dialect
        return "vllm" if self._card.get("owned_by") == "vllm" else "openai"

    @property
    def reads(self) -> frozenset[str]:
        """Text, and pictures where it was said that the model sees."""
        return frozenset({TEXT, "picture"} if self.vision else {TEXT})

    @property
    def keeps_forms(self) -> frozenset[str]:
        """All of them on vLLM, JSON schemas elsewhere. With dialect auto this asks the server."""
        return frozenset(FORMS if self.dialect == "vllm" else ("json_schema",))

    @property
    def lacks(self) -> dict[str, str]:
        """Scoring and choosing, where the dialect was set to one that has neither."""
        why = "dialect openai has no word for it; vllm serve has, with dialect vllm"
        return dict.fromkeys(("score", "choose"), why) if self._asked_dialect == "openai" else {}

    @property
    def may_lack(self) -> dict[str, str]:
        """Scoring and choosing, where the dialect is auto: the server is not asked yet."""
        why = "only vLLM scores and chooses, and the server was not asked what it is; dialect vllm or openai says it"
        return dict.fromkeys(("score", "choose"), why) if self._asked_dialect == "auto" else {}

    def signature(self) -> dict[str, str]:
        """Its name and address: what is served there under that name may change unseen."""
        kind = f"{type(self).__module__}:{type(self).__qualname__}"
        return {"kind": kind, "model": self.model_name, "url": self.url}

    def state(self) -> str:
        """One line on a server that is up and has the model.

        Raises:
            RagError: it is not, or has not.
        """
        names = self._names(fresh=True)
        if names and self.model_name not in names:
            raise self._unknown()
        window = f", window {self.context_window:,} tokens" if self._window or self._card.get("max_model_len") else ""
        return f"{self.url} answers and has the model {self.model_name} ({self.dialect}{window})"

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each prompt, with those of the chat template.

        Counted here with `tokenizer`, else by the server (vLLM), else guessed from above: two characters each, 16 a turn.
        """
        if self.tokenizer_name is not None:
            return [len(encode_prompt(self._tokenizer, prompt)) for prompt in prompts]
        if prompts and self.dialect == "vllm":
            return [len(ids) for ids in self._each(self._remote_ids, prompts)]
        return [sum(len(turn.content) // 2 + 16 for turn in prompt) for prompt in prompts]

    def complete(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Completion]:
        """One completion per prompt, in order.

        Raises:
            ValueError: a prompt and `max_tokens` do not fit the context window.
            MissingModel: no server answers, or it has no such model.
            SpecError: the server cannot do what the parameters ask for, or wants another key.
            StageError: a request failed in all attempts, stayed unanswered, or its reply could not be read.
        """
        require_valid(params, by="llm.server", keeps_forms=True)
        if not prompts:
            return []
        bodies = [self._body(prompt, params) for prompt in prompts]
        return [server_replies.completion(reply) for reply in self._each(self._ask, bodies)]

    @property
    def streams_together(self) -> bool:
        """Servers batch what is open at a time, streamed or not; `max_in_flight` bounds it."""
        return True

    @property
    def joins_calls(self) -> bool:
        """Every prompt is a request, and servers batch those that are open."""
        return True

    def stream(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        """The pieces of one completion; the generator's return value is the Completion. Closing it stops the server.

        Raises:
            As `complete`; also StageError if the stream breaks off: what was said is not asked for again.
        """
        require_valid(params, by="llm.server", keeps_forms=True)
        return self._pieces(prompt, params)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of every token of `continuations[i]` after `prompts[i]`.

        Raises:
            SpecError: the server does not score given texts; vLLM does.
            ValueError: the lists differ in length, or a pair does not fit the context window.
        """
        require_pairs(prompts, continuations)
        if not prompts:
            return []
        self._require_scorer()
        tails = self._tails(continuations)
        scored = [place for place, tail in enumerate(tails) if tail]
        scores: list[list[float]] = [[] for _ in tails]
        if scored:
            heads = self._heads([prompts[place] for place in scored])
            of_scored = self._each(self._score, list(zip(heads, [tails[place] for place in scored], strict=True)))
            for place, tokens in zip(scored, of_scored, strict=True):
                scores[place] = tokens
        return scores

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_prompts, n_choices]: log-probability of each whole choice, summed over its tokens.

        Every choice is a request of its own.

        Raises:
            ValueError: no choices, an empty one, or one that does not fit the context window.
            SpecError: as `score`.
        """
        require_choices(choices)
        table = np.zeros((len(prompts), len(choices)), dtype=np.float32)
        if prompts:
            self._require_scorer()
            heads, tails = self._heads(prompts), self._tails(choices)
            scores = self._each(self._score, [(head, tail) for head in heads for tail in tails])
            table[:] = np.reshape([sum(tokens) for tokens in scores], table.shape)
        return table

    def _body(self, prompt: Prompt, params: SamplingParams) -> dict[str, Any]:
        if self.tokenizer_name is None:
            return {"model": self.model_name, **chat_body(prompt, params, dialect=self.dialect, vision=self.vision)}
        ids, tokenizer = encode_prompt(self._tokenizer, prompt), self._tokenizer
        if self._window is not None and len(ids) + params.max_tokens > self._window:
            lengths = f"{len(ids):,} tokens and {params.max_tokens:,} more, of {self._window:,}"
            raise server_errors.too_long(lengths, by="llm.server")
        ends = sorted(end_of_turn(tokenizer))
        body = ids_body(ids, params, dialect=self.dialect, stop=turn_stops(tokenizer), ends=ends)
        return {"model": self.model_name, **body}

    @property
    def _path(self) -> str:
        return "/chat/completions" if self.tokenizer_name is None else "/completions"

    def _ask(self, body: dict[str, Any]) -> Any:
        return self._known_model(lambda: self._client.post(self._path, body))

    def _pieces(self, prompt: Prompt, params: SamplingParams) -> Generator[str, None, Completion]:
        body = self._body(prompt, params) | {"stream": True, "stream_options": {"include_usage": True}}
        pieces: list[str] = []
        logprobs: list[Any] = []
        finish, usage = None, None
        events = self._client.events(self._path, body)
        try:
            while (data := self._known_model(lambda: next(events, None))) is not None:
                event = self._event(data)
                usage = event.get("usage") or usage
                if not event.get("choices"):
                    continue
                choice = server_replies.only_choice(event)
                finish = choice.get("finish_reason") or finish
                logprobs += server_replies.logprobs(choice.get("logprobs")) or ()
                if piece := server_replies.text_of(choice.get("delta") or choice):
                    pieces.append(piece)
                    yield piece
        finally:
            events.close()
        if finish is None:
            raise server_errors.broke_off(self.url, "it ended without a finish reason", by="llm.server")
        return Completion(
            text="".join(pieces),
            finish_reason=server_replies.reason(finish),
            logprobs=tuple(logprobs) if params.logprobs else None,
            **server_replies.tokens(usage),
        )

    def _event(self, data: str) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except ValueError as error:
            raise Malformed(f"llm.server: {self.url} streams what is not JSON") from error
        if not isinstance(event, dict):
            raise Malformed(f"llm.server: {self.url} streams what is not a completion")
        if event.get("error"):
            raise server_errors.broke_off(self.url, self._client.shown(data.encode()), by="llm.server")
        return event

    def _score(self, pair: tuple[list[int], list[int]]) -> list[float]:
        head, tail = pair
        body = {"model": self.model_name, **scoring_body(head, tail)}
        return server_replies.prompt_scores(self._known_model(lambda: self._client.post("/completions", body)), tail)

    def _require_scorer(self) -> None:
        if self.dialect != "vllm":
            raise SpecError(
                f"llm.server: {self.url} does not score given texts; vllm serve does, and so do llm.vllm_offline and "
                "llm.transformers"
            )

    def _heads(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        if self.tokenizer_name is not None:
            return [encode_prompt(self._tokenizer, prompt) for prompt in prompts]
        return self._each(self._remote_ids, prompts)

    def _tails(self, texts: Sequence[str]) -> list[list[int]]:
        if self.tokenizer_name is not None:
            return [encode_text(self._tokenizer, text) for text in texts]
        return self._each(lambda text: self._tokenize({"prompt": harmless(text), "add_special_tokens": False}), texts)

    def _remote_ids(self, prompt: Prompt) -> list[int]:
        return self._tokenize({"messages": as_messages(prompt), **continued(prompt)})

    def _tokenize(self, request: dict[str, Any]) -> list[int]:
        body = {"model": self.model_name, **request}
        reply = self._known_model(lambda: self._client.post("/tokenize", body, from_root=True))
        ids = reply.get("tokens") if isinstance(reply, dict) else None
        if not isinstance(ids, list) or not all(isinstance(id_, int) for id_ in ids):
            raise Malformed(f"llm.server: {self.url} did not say the tokens of a text")
        return ids

    def _each(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """`work` on every item, side by side. The first error ends it; what has not begun is not begun."""
        if len(items) < 2:
            return [work(item) for item in items]
        return side_by_side(work, items, threads=self._max_in_flight)

    def _known_model(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except NotFound as missing:
            raise self._unknown(str(missing)) from missing

    def _unknown(self, said: str = "") -> RagError:
        names = self._names()
        if self.model_name in names:
            return SpecError(f"llm.server: {self.url} lacks what this needs: HTTP 404 ({said})")
        return MissingModel(
            f"llm.server: {self.url} has no model '{self.model_name}'. {did_you_mean(self.model_name, names)}"
        )

    def _names(self, *, fresh: bool = False) -> list[str]:
        return [card["id"] for card in self._cards(fresh=fresh)]

    @property
    def _card(self) -> dict[str, Any]:
        """What the server says of the model; empty if it does not list it."""
        return next((card for card in self._cards() if card["id"] == self.model_name), {})

    def _cards(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The served models. Asked for once, without retries or long patience: a graph is checked with it."""
        with self._lock:
            if self._served is None or fresh:
                try:
                    reply = self._client.look("/models")
                except NotFound:
                    reply = {}
                cards = reply.get("data") if isinstance(reply, dict) else None
                known = cards if isinstance(cards, list) else []
                self._served = [card for card in known if isinstance(card, dict) and isinstance(card.get("id"), str)]
            return self._served

    @property
    def _tokenizer(self) -> Any:
        from generators.llm.loading import load_tokenizer
        from rag.models import resolve

        with self._lock:
            if self._own_tokenizer is None:
                self._own_tokenizer = load_tokenizer(resolve(str(self.tokenizer_name)).path)
            return self._own_tokenizer


def _require_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"llm.server: url is not one ({error})") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"llm.server: url must be like http://localhost:8000/v1, got {url!r}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("llm.server: url holds a name, password or query; give a key by 'api_key_variable'")
