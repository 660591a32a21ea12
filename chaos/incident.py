"""How a suite function says which incident it replays, where, and with which controls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chaos.catalogue import Incident, find

F = TypeVar("F", bound=Callable[..., None])
ATTRIBUTE = "__kube_ordeal_replay__"
# What a replay's cluster is like, in the order in which they are run: a cluster is made anew where the shape changes.
PLAIN, DENSE, STATEFUL = "plain", "dense", "stateful"
SHAPES = (PLAIN, DENSE, STATEFUL)


@dataclass(frozen=True, slots=True)
class Replay:
    """What a suite function replays: the incident, on which kinds of cluster, the abilities it needs, its controls.

    `shape`: one of SHAPES, so that replays whose clusters are alike are run one after the other.
    """

    incident: Incident
    on: tuple[str, ...]
    needs: tuple[type, ...]
    controls: tuple[str, ...]
    variant: str
    shape: str = PLAIN


def incident(
    incident_id: str,
    *,
    on: Sequence[str],
    needs: Sequence[type] = (),
    controls: Sequence[str] = (),
    variant: str = "",
    shape: str = PLAIN,
) -> Callable[[F], F]:
    """Mark a suite function as the replay of an incident. It is run hardened and, for each control, in that control.

    `on`: "kind", "simulated". `variant` tells apart several functions of one incident. `shape` is DENSE or STATEFUL
    where it asks for dense_shape or stateful_shape (chaos.clusters.base). Raises OrdealError where the catalogue does
    not know the incident or one of the controls.
    """
    found = find(incident_id)
    for control in controls:
        found.control(control)

    def mark(function: F) -> F:
        setattr(function, ATTRIBUTE, Replay(found, tuple(on), tuple(needs), tuple(controls), variant, shape))
        return function

    return mark


def replay_of(function: object) -> Replay | None:
    """What a suite function replays, or None for an ordinary test."""
    found = getattr(function, ATTRIBUTE, None)
    return found if isinstance(found, Replay) else None
