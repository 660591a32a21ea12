"""Comparing what was seen before and after: a comparison that fails says what differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeVar

import pytest

from chaos.basics.waiting import WaitedInVainError, eventually

P = TypeVar("P")
AS_BEFORE_WITHIN_S = SETTLED_WITHIN_S = 300.0  # both end when it is seen
LONGEST = 600


def differences(before: object, after: object) -> str:
    """Where the two differ, for a reader, a line each; empty where they are the same. Both are dataclasses or mappings,
    whose values may be such, texts of several lines, or sequences.
    """
    return "\n".join(_differing("", before, after))


def settled(look: Callable[[], P], sound: Callable[[P], str], *, within_s: float = SETTLED_WITHIN_S) -> P:
    """What is to be compared with later: a look at which nothing is on its way any more, the same twice in a row.

    `sound` says what is not as it should be; empty where all is. A cluster whose nodes are Ready again after an earlier
    test may still be getting rid of their taints, or its pods.
    """
    looks: list[P] = []

    def still() -> bool:
        looks.append(look())
        return not sound(looks[-1]) and len(looks) > 1 and not differences(looks[-2], looks[-1])

    try:
        eventually(still, within_s=within_s, what="the cluster to be still", every_s=1.0)
    except WaitedInVainError as error:
        if len(looks) < 2:
            raise
        why = sound(looks[-1]) or f"it differs from look to look:\n{differences(looks[-2], looks[-1])}"
        pytest.fail(f"{error}: {why}")
    return looks[-1]


def wait_as_before(look: Callable[[], object], before: object, *, within_s: float = AS_BEFORE_WITHIN_S) -> None:
    """Look until all is as before. Fails with what differs; where the last look raised, with that."""
    last = before

    def same() -> bool:
        nonlocal last
        last = look()
        return not differences(before, last)

    try:
        eventually(same, within_s=within_s, what="all to be as before")
    except WaitedInVainError as error:
        why = differences(before, last)
        pytest.fail(f"{within_s:g} s later not all was as before:\n{why}" if why else str(error))


def _differing(where: str, before: object, after: object) -> list[str]:
    mine, others = _parts(before), _parts(after)
    if mine is not None and others is not None:
        keys = dict.fromkeys([*mine, *others])
        inner = [(f"{where}, {key}" if where else str(key), mine.get(key), others.get(key)) for key in keys]
        return [line for name, a, b in inner for line in _differing(name, a, b)]
    if before == after:
        return []
    a, b = _lines(before), _lines(after)
    changed = [f"-{x}" for x in a if x not in b] + [f"+{x}" for x in b if x not in a]
    return [f"{where}: {'; '.join(changed or ['in another order'])[:LONGEST]}"]


def _parts(value: object) -> Mapping[str, object] | None:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return {str(key): each for key, each in value.items()} if isinstance(value, Mapping) else None


def _lines(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return value.splitlines()
    texts = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    return list(value) if texts and isinstance(value, list | tuple) else [str(value)]
