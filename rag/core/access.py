"""Who asks, what a document says of its readers, and the one rule that decides between them. Knows no index.

A document's label names its readers; `may_read` is the rule in plain Python, and every faster way of applying it is tested
against that. What cannot be understood lets nobody in. The guide is docs/permissions.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.errors import SpecError

MOST_GROUPS = 1_000
LONGEST_NAME = 200
_LARGEST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks. Names are compared letter by letter; an empty one is nobody's.

    Args:
        user: the name by which labels call this user.
        tenant: the tenant; without one only public documents can be read.
        groups: the groups of that tenant that the user is in, in any order.
    Raises:
        SpecError: a name is no text, too long, or not printable; or there are too many groups.
    """

    user: str = ""
    tenant: str = ""
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.groups, list | tuple | set | frozenset):
            raise SpecError(f"asker: groups is a list of names, not {type(self.groups).__name__}")
        if len(self.groups) > MOST_GROUPS:
            raise SpecError(f"asker: a user is in at most {MOST_GROUPS:,} groups, got {len(self.groups):,}")
        for what, name in (("user", self.user), ("tenant", self.tenant), *(("a group", each) for each in self.groups)):
            if not isinstance(name, str):
                raise SpecError(f"asker: {what} is a text, not {type(name).__name__}")
            if len(name) > LONGEST_NAME or not name.isprintable():
                raise SpecError(f"asker: {what} has at most {LONGEST_NAME} characters, all of them printable")
        object.__setattr__(self, "groups", tuple(sorted(set(self.groups) - {""})))

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"user": self.user, "tenant": self.tenant, "groups": list(self.groups)}


NOBODY = Asker()
"""Who does not say who they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a document says of its readers.

    `public`: everybody reads it, also without a name, but for those denied. Any other is read within its `tenant`, by its
    `owner`, by the `users` that it names, and by whoever is in one of its `groups`. `deny_users` beats all.
    """

    tenant: str = ""
    owner: str = ""
    public: bool = False
    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    deny_users: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "tenant": self.tenant,
            "owner": self.owner,
            "public": self.public,
            "groups": list(self.groups),
            "users": list(self.users),
            "deny_users": list(self.deny_users),
        }


def may_read(asker: Asker, access: Access) -> bool:
    """Whether somebody may read a document with this label.

    Who gives no user name may be anybody, so a label that denies anyone denies them too.

    >>> label = Access(tenant="north", owner="ann", groups=("finance",), deny_users=("bob",))
    >>> [may_read(Asker(user=name, tenant="north", groups=("finance",)), label) for name in ("ann", "bob", "cem")]
    [True, False, True]
    >>> may_read(Asker(user="ann", tenant="south"), label), may_read(NOBODY, Access(public=True))
    (False, True)
    """
    if asker.user in access.deny_users or (access.deny_users and not asker.user):
        return False
    if access.public:
        return True
    if not asker.tenant or asker.tenant != access.tenant:
        return False
    named = bool(asker.user) and (asker.user == access.owner or asker.user in access.users)
    return named or not set(asker.groups).isdisjoint(access.groups)


_TEXTS, _LISTS = ("tenant", "owner"), ("groups", "users", "deny_users")


def read_access(label: Any) -> Access:
    """A document's label as it stands in its metadata or in a file of labels. A field that is null is left out.

    Raises:
        ValueError: it is none, says why. A field that is not known may be a denial, so it is refused.
    """
    if not isinstance(label, Mapping):
        raise ValueError(f"it is no object but {type(label).__name__}")
    if unknown := sorted(str(name)[:40] for name in label.keys() - {*_TEXTS, *_LISTS, "public"}):
        raise ValueError(f"it has a field {unknown[0]!r}; known are public, {', '.join((*_TEXTS, *_LISTS))}")
    label = {name: value for name, value in label.items() if value is not None}
    for name in _TEXTS:
        if not isinstance(label.get(name, ""), str):
            raise ValueError(f"{name} is a text, not {type(label[name]).__name__}")
    for name in _LISTS:
        names = label.get(name, [])
        if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
            raise ValueError(f"{name} is a list of names")
    if not isinstance(label.get("public", False), bool):
        raise ValueError("public is true or false")
    fields: dict[str, Any] = {name: tuple(sorted({*label.get(name, ())} - {""})) for name in _LISTS}
    return Access(**{**label, **fields})


def read_asker(data: Any, *, place: str = "asker") -> Asker:
    """Somebody who asks, from plain data: {"user": "ann", "tenant": "north", "groups": ["finance"]}.

    Raises:
        SpecError: it is something else.
    """
    if isinstance(data, Asker):
        return data
    if not isinstance(data, Mapping):
        raise SpecError(f"{place}: an asker is an object with user, tenant and groups, not {type(data).__name__}")
    if unknown := sorted(str(name)[:40] for name in data.keys() - {"user", "tenant", "groups"}):
        raise SpecError(f"{place}: an asker has no field {unknown[0]!r}; known are user, tenant and groups")
    try:
        return Asker(**{name: value for name, value in data.items() if value is not None})
    except SpecError as error:
        raise SpecError(f"{place}: {str(error).removeprefix('asker: ')}") from None


def asker_of_text(text: str, *, place: str = "asker") -> Asker:
    """An asker from JSON: an object with user, tenant and groups.

    Raises:
        SpecError: it is no JSON, or no asker.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise SpecError(f'{place}: not JSON. Give an object such as {{"user": "ann", "tenant": "north"}}') from None
    return read_asker(data, place=place)


def asker_given(given: str, *, place: str) -> Asker:
    """The same as a command is given it: JSON, or the path of a file that holds it.

    Raises:
        SpecError: there is no such file, or it holds something else.
    """
    if given.lstrip().startswith("{"):
        return asker_of_text(given, place=place)
    try:
        with Path(given).open("rb") as stream:
            raw = stream.read(_LARGEST_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise SpecError(f"{place}: '{given[:LONGEST_NAME]}' is neither JSON nor a file that can be read") from None
    if len(raw) > _LARGEST_BYTES:
        raise SpecError(f"{place}: '{given}' has more than {_LARGEST_BYTES:,} bytes; an asker is one small object")
    return asker_of_text(text, place=f"{place}: {given}")
