"""How a suite function says which incident it replays, where, and with which controls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chaos.catalogue import Incident, find

F = TypeVar("F", bound=Callable[..., None])
ATTRIBUTE = "__kube_ordeal_replay__"


@dataclass(frozen=True, slots=True)
class Replay:
    """What a suite function replays: the incident, on which kinds of cluster, the abilities it needs, its controls."""

    incident: Incident
    on: tuple[str, ...]
    needs: tuple[type, ...]
    controls: tuple[str, ...]
    variant: str


def incident(
    incident_id: str, *, on: Sequence[str], needs: Sequence[type] = (), controls: Sequence[str] = (), variant: str = ""
) -> Callable[[F], F]:
    """Mark a suite function as the replay of an incident. It is run hardened and, for each control, in that control.

    `on`: "kind", "simulated". `variant` tells apart several functions of one incident. Raises OrdealError where the
    catalogue does not know the incident or one of the controls.
    """
    found = find(incident_id)
    for control in controls:
        found.control(control)

    def mark(function: F) -> F:
        setattr(function, ATTRIBUTE, Replay(found, tuple(on), tuple(needs), tuple(controls), variant))
        return function

    return mark


def replay_of(function: object) -> Replay | None:
    """What a suite function replays, or None for an ordinary test."""
    found = getattr(function, ATTRIBUTE, None)
    return found if isinstance(found, Replay) else None
