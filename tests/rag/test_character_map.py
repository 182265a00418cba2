"""The map is read by the tokenizers library, which is the other side of the form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.normalizers import Precompiled

from rag.models.character_map import compiled_map

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@settings(max_examples=60)
@given(
    replacements=st.dictionaries(_CHARACTERS, st.text(_CHARACTERS, max_size=3), max_size=80),
    others=st.lists(_CHARACTERS, max_size=20),
)
def test_each_character_becomes_what_the_map_says_and_others_stay(
    replacements: dict[str, str], others: list[str]
) -> None:
    normaliser = Precompiled(compiled_map({"a": "b", **replacements}))
    for character in {"a", *replacements, *others}:
        expected = {"a": "b", **replacements}.get(character, character)
        assert normaliser.normalize_str(character) == expected


def test_characters_of_many_first_bytes_do_not_lead_into_each_other() -> None:
    """Every unit says its label alone, so two prefixes must never share the place that their units count from."""
    mapped = {chr(code): f"{code:x}" for code in range(0x80, 0x3000, 7)}
    normaliser = Precompiled(compiled_map(mapped))
    for code in range(0x80, 0x3100):
        assert normaliser.normalize_str(chr(code)) == mapped.get(chr(code), chr(code))


@pytest.mark.parametrize("key", ["ab", "", "\0"])
def test_what_is_no_single_character_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="only single characters"):
        compiled_map({key: "x"})
