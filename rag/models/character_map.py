"""A map of characters, as the normaliser of a sentencepiece tokenizer takes it (`tokenizers.normalizers.Precompiled`).

It is a double array (Aoe, 1989) of the characters in UTF-8, in the form that darts-clone writes and sentencepiece reads:
each unit of 32 bits holds a byte's label, the distance to the units of what may follow, and whether a character ends there;
then come the replacements, each with a zero behind it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from itertools import count

_ENDS = 1 << 8
"""Mark of a unit after which a character may end; the unit at label 0 then says where its replacement begins."""
_VALUE = 1 << 31
_FAR = 1 << 9
"""Mark of a distance that is kept without its last eight bits."""
_BLOCK = 256
"""Units of one block differ in their last eight bits alone, so labels never lead out of it."""


def compiled_map(replacements: Mapping[str, str]) -> bytes:
    """The map of single characters to texts, which may be empty. The character 0 cannot be mapped.

    Raises:
        ValueError: a key is no single character, or is 0.
    """
    if odd := [key for key in replacements if len(key) != 1 or key == "\0"]:
        raise ValueError(f"only single characters other than 0 can be mapped, got {odd[0]!r}")
    texts, starts = bytearray(), dict[str, int]()
    for text in sorted(set(replacements.values())):
        starts[text] = len(texts)
        texts += text.encode() + b"\0"
    units = _double_array({key.encode(): starts[text] for key, text in replacements.items()})
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(texts)


def _double_array(values: Mapping[bytes, int]) -> list[int]:
    following: dict[bytes, set[int]] = {b"": set()}
    for key in values:
        for end in range(len(key)):
            following.setdefault(key[:end], set()).add(key[end])
        following.setdefault(key, set()).add(0)
    units, room, places = [0], _Room(), {b"": 0}
    for prefix in sorted(following, key=lambda each: (len(each), each)):
        labels, place = following[prefix], places[prefix]
        base = room.base(labels)
        units += [0] * (_BLOCK * (base // _BLOCK + 1) - len(units))
        units[place] |= _distance(place ^ base) | (_ENDS if 0 in labels else 0)
        for label in labels:
            units[base ^ label] = label if label else _VALUE | values[prefix]
            places[prefix + bytes([label])] = base ^ label
    return units


class _Room:
    """Which units are free. A base serves one prefix alone, for a unit says its label and not where one came from."""

    def __init__(self) -> None:
        self._taken, self._bases, self._first = {0}, {0}, 1

    def base(self, labels: Iterable[int]) -> int:
        """A base with a free unit for each label; they are taken from now on. Far behind the last one nobody looks again."""
        base = next(
            base
            for base in count(self._first)
            if base not in self._bases and all(base ^ label not in self._taken for label in labels)
        )
        self._bases.add(base)
        self._taken.update(base ^ label for label in labels)
        self._first = max(self._first, base - _BLOCK)
        return base


def _distance(distance: int) -> int:
    if distance < 1 << 21:
        return distance << 10
    return distance << 2 | _FAR
