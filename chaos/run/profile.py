"""Profiles: how long and how large a run is. `smoke` shortens timers by cluster flags; `full` uses shipped defaults."""

from dataclasses import dataclass

from chaos.clusters.shape import Timers
from chaos.errors import OrdealError


@dataclass(frozen=True, slots=True)
class Profile:
    """Timers for each kind of cluster, repeats for what can fail by chance, the simulated cluster's size in nodes.

    `zone_timers` are those of simulated clusters of hundreds of nodes, whose heartbeats cost more the shorter they are.
    """

    name: str
    kind_timers: Timers
    simulated_timers: Timers
    zone_timers: Timers
    repeats: int
    simulated_nodes: int


PROFILES = {
    "smoke": Profile(
        name="smoke",
        kind_timers=Timers(monitor_grace_s=16, monitor_period_s=2, toleration_s=12, leader_lease_s=8),
        simulated_timers=Timers(monitor_grace_s=8, monitor_period_s=1, toleration_s=4, leader_lease_s=8),
        zone_timers=Timers(monitor_grace_s=16, monitor_period_s=2, toleration_s=4),
        repeats=3,
        simulated_nodes=1000,
    ),
    "full": Profile(
        name="full",
        kind_timers=Timers(),
        simulated_timers=Timers(),
        zone_timers=Timers(),
        repeats=10,
        simulated_nodes=5000,
    ),
}


def find(name: str) -> Profile:
    """The profile of that name. Raises OrdealError that names those there are."""
    try:
        return PROFILES[name]
    except KeyError:
        raise OrdealError(f"there is no profile {name!r}; there are: {', '.join(PROFILES)}") from None
