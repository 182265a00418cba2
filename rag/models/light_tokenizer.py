"""The tokenizer of a folder that ragline wrote, without transformers: to import that takes longer than to read the vocabulary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any


class LightTokenizer:
    """What `rag.models.chat` asks of a tokenizer of transformers, named as there: ids and the chat template, and no more.

    Args:
        folder: with tokenizer.json, tokenizer_config.json and, where the model has a template, chat_template.jinja.

    Raises:
        TemplateSyntaxError: the template has a tag of which jinja knows nothing, such as `generation`.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        named = {name: token for name, token in said.items() if name.endswith("_token") and token}
        self.special_tokens_map = {
            name: token if isinstance(token, str) else str(token["content"])
            for name, token in named.items()
            if isinstance(token, str | dict)
        }
        self.backend_tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.added_tokens_decoder = self.backend_tokenizer.get_added_tokens_decoder()
        template = folder / "chat_template.jinja"
        self.chat_template = template.read_text(encoding="utf-8") if template.is_file() else said.get("chat_template")
        if self.chat_template:
            _ = self._template

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    @property
    def bos_token_id(self) -> int | None:
        """The id of the token that begins a text; None where there is none."""
        return self._id_of("bos_token")

    @property
    def pad_token_id(self) -> int | None:
        """The id of the token that fills a text up; None where there is none."""
        return self._id_of("pad_token")

    def _id_of(self, role: str) -> int | None:
        token = self.special_tokens_map.get(role)
        return None if token is None else self.convert_tokens_to_ids(token)

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the tokens that have a role."""
        ids = map(self.convert_tokens_to_ids, self.special_tokens_map.values())
        return [id_ for id_ in ids if id_ is not None]

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """The id of one token; None where the vocabulary lacks it."""
        id_: int | None = self.backend_tokenizer.token_to_id(token)
        return id_

    def get_chat_template(self) -> str:
        """Its source."""
        return str(self.chat_template)

    def apply_chat_template(
        self, turns: Sequence[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        """The turns as text.

        Raises:
            TemplateError: the template refuses them.
        """
        assert not tokenize, "the text alone is to be had here"
        rendered: str = self._template.render(
            messages=turns,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **self.special_tokens_map,
        )
        return rendered

    @cached_property
    def _template(self) -> Any:
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def refuse(reason: str) -> None:
            raise TemplateError(reason)

        # As transformers sets it up, for templates are written for that.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda value, **given: json.dumps(value, **{"ensure_ascii": False, **given})
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        return environment.from_string(self.get_chat_template())


def light_tokenizer(folder: Path) -> LightTokenizer | None:
    """The tokenizer of the folder; None where its template wants what transformers alone knows."""
    from jinja2.exceptions import TemplateSyntaxError

    try:
        return LightTokenizer(folder)
    except TemplateSyntaxError:
        return None
