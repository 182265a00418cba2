"""Random labels and askers over few names, so that they often meet; and the rule, written apart from ours."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

USERS = ("ann", "bob", "cem", "")
TENANTS = ("north", "south", "")
GROUPS = ("finance", "kernel", "docs", "ann", "")


def _some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), max_size=3)


askers = st.fixed_dictionaries(
    {}, optional={"user": st.sampled_from(USERS), "tenant": st.sampled_from(TENANTS), "groups": _some(GROUPS)}
)
labels = st.fixed_dictionaries(
    {"public": st.booleans()},
    optional={
        "tenant": st.sampled_from(TENANTS),
        "owner": st.sampled_from(USERS),
        "groups": _some(GROUPS),
        "users": _some(USERS),
        "deny_users": _some(USERS),
    },
)


def random_label(source: random.Random) -> dict[str, Any]:
    """One, without hypothesis."""
    return {
        "public": source.random() < 0.2,
        "tenant": source.choice(TENANTS),
        "owner": source.choice(USERS),
        "groups": source.choices(GROUPS, k=2),
        "users": source.choices(USERS, k=1),
        "deny_users": source.choices(USERS, k=1) if source.random() < 0.2 else [],
    }


def reads(asker: dict[str, Any], label: dict[str, Any]) -> bool:
    """Whether somebody may read a document, in the words of the data set that has the rule. Empty names are nobody's."""
    user, tenant = asker.get("user"), asker.get("tenant")
    denied = [name for name in label.get("deny_users", []) if name]
    if denied and (not user or user in denied):
        return False
    if label["public"]:
        return True
    if not tenant or label.get("tenant") != tenant:
        return False
    owns = bool(user) and user == label.get("owner")
    named = bool(user) and user in label.get("users", [])
    shared = [group for group in asker.get("groups", []) if group and group in label.get("groups", [])]
    return owns or named or bool(shared)
