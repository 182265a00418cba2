"""Errors between here and a server, in words that say what to do. Pure functions; keys never get in.

`by`: the component that asked.
"""

from __future__ import annotations

import json
import re

from rag.core.errors import MissingModel, RagError, SpecError, StageError

_SHOWN = 300
_TOO_LONG = re.compile(
    r"context[ _](length|window|size)|maximum (model|input|sequence) length|max_model_len|too long|too many tokens",
    re.IGNORECASE,
)


def dead(url: str, cause: str, *, by: str) -> RagError:
    """Nothing answers: every prompt would meet the same."""
    return MissingModel(
        f"{by}: no server answers at {url} ({cause}). Start one, such as: vllm serve MODEL. Or change 'url'."
    )


def unavailable(url: str, status: int, said: str, tries: int, *, by: str) -> RagError:
    """The server is up but takes no work."""
    why = "is overloaded" if status == 429 else "is not able to serve"
    return MissingModel(
        f"{by}: {url} {why}: HTTP {status} in {tries} tries ({said}). Try later, or lower 'max_in_flight'."
    )


def failed(url: str, status: int, said: str, tries: int, *, by: str) -> RagError:
    """The server failed at this request; another may go well."""
    return StageError(f"{by}: {url} failed at a request in {tries} tries: HTTP {status} ({said})")


def timed_out(url: str, timeout_s: float, *, by: str) -> RagError:
    return StageError(f"{by}: {url} was silent for {timeout_s:g} s. Raise 'timeout_s', or lower max_tokens.")


def broke_off(url: str, cause: str, *, by: str) -> RagError:
    """A stream broke off. Its pieces were handed out already, so it is not tried again."""
    return StageError(f"{by}: the stream from {url} broke off ({cause})")


def too_long(said: str, *, by: str) -> Exception:
    """A prompt and its answer do not fit: a ValueError, as other models raise."""
    return ValueError(
        f"{by}: a prompt and its answer do not fit the model's context window: {said}. Give it less text (the "
        "assembler's or reranker's budget), or lower max_tokens."
    )


def refused(status: int, said: str, *, by: str, url: str, key_variable: str | None) -> Exception:
    """Any other 4xx: no repetition mends it."""
    if status in (401, 403):
        cure = (
            f"Check the key in ${key_variable}."
            if key_variable
            else "Name the variable with the key: 'api_key_variable'."
        )
        return SpecError(f"{by}: {url} wants another key: HTTP {status} ({said}). {cure}")
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(said)):
        return too_long(said, by=by)
    if status in (400, 422):
        return ValueError(f"{by}: {url} does not take this request: HTTP {status} ({said})")
    return SpecError(f"{by}: {url} refuses: HTTP {status} ({said}). 'url' should end where the server's /v1 begins.")


def shown(body: bytes, *, secret: str = "") -> str:
    """What an error's body says, on one line, cut short, the key blacked out."""
    text = body.decode("utf-8", "replace")
    try:
        reply = json.loads(text)
        error = reply.get("error", reply.get("message", reply.get("detail")))
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    if secret:
        text = text.replace(secret, "***")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text[:_SHOWN] or "no reason given"
