"""How fast rows are written, how much room there is for that, and the node that has little."""

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.clusters.abilities import OwnFileSystems
from chaos.clusters.base import Cluster
from chaos.clusters.kind.home import NODEFS
from chaos.errors import OrdealError
from chaos.record.history import History, Window
from chaos.record.records import Phase
from chaos.subjects.mysql.workload import BINLOG_BYTES, FRESH_BYTES

MIB = 1024**2
VOLUME_BYTES = 900 * MIB
LIMIT_BYTES = 800 * MIB
LET_END = "let end"  # the phase in which the writers are ended
SETTLES_WITHIN = 3.0  # times as long as is written at least: what grows still is unknown, or violated
# Both members of the small node have to go for the pressure to end, as with the post-mortem's minimum reclaim.
EVICTION = {
    "evictionHard": {"nodefs.available": "65%"},
    "evictionMinimumReclaim": {"nodefs.available": "30%"},
    "evictionPressureTransitionPeriod": "30s",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_s` transactions a second of all `clients`, each of which overwrites `body_bytes`, for `for_s` seconds. The
    binary log takes what was there and what takes its place. Logs older than `expire_s` go at the next rotation.
    """

    clients: int
    body_bytes: int
    per_s: float
    for_s: float
    expire_s: int

    @property
    def bytes_per_s(self) -> float:
        """By how much a binary log that nothing is taken from grows."""
        return 2 * self.body_bytes * self.per_s

    @property
    def settled_bytes(self) -> float:
        """What a member's data takes once as much expires as is written, relay logs included."""
        return FRESH_BYTES + self.bytes_per_s * (self.expire_s + 5) + 4 * BINLOG_BYTES

    def check(self) -> None:
        """Raises OrdealError where a member would settle above what it may use."""
        if self.settled_bytes > LIMIT_BYTES:
            raise OrdealError(
                f"a member would take {self.settled_bytes / MIB:.0f} MiB, and {LIMIT_BYTES / MIB:.0f} MiB are its "
                "limit: write less a second, or let logs expire sooner"
            )


# The remedy's 300 s need a pace that leaves room for 300 s of it; in smoke the time is shortened, and the pace is not.
PACES = {
    "smoke": Pace(clients=4, body_bytes=128 * 1024, per_s=32, for_s=45, expire_s=10),
    "full": Pace(clients=4, body_bytes=128 * 1024, per_s=5, for_s=540, expire_s=300),
}


def small_node(cluster: Cluster, workers: Sequence[str]) -> str:
    """The worker whose kubelet has a file system of its own. Raises OrdealError where there is none."""
    assert isinstance(cluster, OwnFileSystems)
    for worker in workers:
        if NODEFS in {f.path for f in cluster.own_file_systems(worker)}:
            return worker
    raise OrdealError(f"no worker of {cluster.ref.name} has {NODEFS} as a file system of its own")


def written_in(history: History) -> Window:
    """When it was written for a purpose: from the first hold until the writers were to end. Raises StopIteration."""
    phases = history.of(Phase)
    return Window(
        next(phase.at for phase in phases if phase.name == "hold"),
        next(phase.at for phase in phases if phase.name == LET_END),
    )
