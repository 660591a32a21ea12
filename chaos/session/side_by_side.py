"""How replays are handed out to processes that run side by side (pytest -n)."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xdist.scheduler import LoadScopeScheduling

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.run import durations
from chaos.run.durations import Durations
from chaos.run.incident import PLAIN, Load, Replay
from chaos.run.mark import is_replay
from chaos.run.options import options_of
from chaos.run.suites import case_of, is_preflight, named, replays

_CLUSTER = re.compile(rf"\[({KIND}|{SIMULATED}|{EXISTING})-[^\]]*\]$")
_SPEC = re.compile(r"::test_spec\[[^\]]*\]$")
OTHER = ""  # the cluster of a test that replays nothing


@dataclass(frozen=True, slots=True)
class Group:
    """Replays that are handed out together: they share a cluster, and ask the same of the machine.

    `where`: the file, or "preflight" for all of that folder.
    """

    where: str
    cluster: str
    shape: str
    load: Load
    preflight: bool

    @property
    def late(self) -> bool:
        """Whether it is left to the end: the machine alone costs the others their time, and their clusters."""
        return self.load is Load.ALONE and not self.preflight

    def __str__(self) -> str:
        return "-".join(each for each in (self.where, self.cluster, self.shape, self.load) if each)


def group(nodeid: str, known: Mapping[str, Replay]) -> Group:
    """The group of a test. Told from its node id and from `known`, the replays by their test (see `replays`), and not
    by pytest-xdist's groups: those mark items in a way that pytest 9 overlooks. A replay that is not known waits.
    """
    found = _CLUSTER.search(nodeid)
    file = nodeid.partition("::")[0]
    preflight = is_preflight(nodeid)
    where = "preflight" if preflight else file
    if found is None:
        return Group(where, OTHER, "", Load.WAITS, preflight)
    replay = known.get(named(nodeid, known))
    shape, load = (replay.shape, replay.load) if replay else (PLAIN, Load.WAITS)
    alone = Load.ALONE if load is Load.ALONE else Load.WAITS  # one that works takes its turn by itself
    return Group(where, found[1], shape, alone, preflight)


class ByCluster(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Groups go to the process that has their cluster, else to one where nobody else has one like it: preflight first,
    then those that take longest on one cluster, for the last to end decides when all is over. The very first is the one
    that was collected first, so that the first verdict comes early.

    A process is ended where only groups are left that want the machine alone, and another process is there for them.
    """

    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        self._known: Mapping[str, Replay] | None = None  # looked up where there is a replay
        self._groups: dict[str, Group] = {}
        self._has: dict[Any, Group] = {}  # by node, what it was handed last
        self._took: Durations | None = None

    def _split_scope(self, nodeid: str) -> str:
        if options_of(self.config).cluster == EXISTING and _SPEC.search(nodeid):
            return nodeid  # that cluster is there for all processes, and specs may run beside each other
        if self._known is None and is_replay(nodeid):
            self._known, self._took = replays(), durations.load()
        found = group(nodeid, self._known or {})
        self._groups[str(found)] = found
        return str(found)

    def schedule(self) -> None:
        """Hand out what is there. A process runs no test before it knows the next one, or that there is none: one that
        came later, for one that died, is told here, as the first ones are by pytest-xdist.
        """
        goes_on = self.collection is not None
        super().schedule()
        if goes_on:
            for node in self.nodes:
                self._reschedule(node)

    def _assign_work_unit(self, node: Any) -> None:
        scope = self._next_of(node) or next(iter(self.workqueue))
        self.workqueue.move_to_end(scope, last=False)
        if scope in self._groups:
            self._has[node] = self._groups[scope]
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        if node not in self.registered_collections:  # it has come for one that died, and still collects
            return
        nearly_through = self._pending_of(self.assigned_work[node]) <= 2  # as pytest-xdist has it
        if self.workqueue and nearly_through and not node.shutting_down and self._next_of(node) is None:
            node.shutdown()
            return
        super()._reschedule(node)

    def remove_node(self, node: Any) -> str | None:
        """A process has died. The replay that it was at is not handed out again: its second try would stand in the
        results where the first one was unknown. Returns it, None where it was at none; raises KeyError for another's.
        """
        units = self.assigned_work[node]
        at = next(((unit, test) for unit in units.values() for test, done in unit.items() if not done), None)
        if at is not None:
            unit, test = at
            unit[test] = True
        for scope in [scope for scope, unit in units.items() if all(unit.values())]:
            del units[scope]  # pytest-xdist would hand it out again, and whoever gets nothing to do waits for ever
        super().remove_node(node)
        self._has.pop(node, None)
        return None if at is None else at[1]

    def _next_of(self, node: Any) -> str | None:
        """What to hand to a process next; None where nothing that is left is for it."""
        others = [each for each in self.nodes if each is not node and not each.shutting_down]
        mine, theirs = self._has.get(node), [self._has[each] for each in others if each in self._has]

        left_s = self._left_s()

        def rank(scope: str) -> tuple[bool, bool, bool, bool, float]:
            found = self._groups.get(scope)
            if found is None:
                return False, False, False, False, 0.0
            if mine is None and not theirs:
                return found.late, False, False, False, 0.0
            taken = any(alike(found, each) for each in theirs)
            new = mine is None or not alike(mine, found)
            return found.late, new, taken, not found.preflight, -left_s[found.cluster, found.shape]

        queue = list(self.workqueue)
        if not queue:
            return None
        ranked = sorted(queue, key=rank)  # stable: else as they were collected
        best = self._groups.get(ranked[0])
        return None if best is not None and best.late and others else ranked[0]

    def _left_s(self) -> dict[tuple[str, str], float]:
        """How long all that is left takes, by what its cluster is like."""
        left_s: dict[tuple[str, str], float] = defaultdict(float)
        asked = options_of(self.config)
        if self._took is None or self._known is None:
            return left_s
        for scope, unit in self.workqueue.items():
            found = self._groups.get(scope)
            if found is None or found.cluster == OTHER:  # what is skipped, too: it names no cluster
                continue
            for nodeid in unit:
                if case := case_of(nodeid, self._known):
                    left_s[found.cluster, found.shape] += self._took.replay_s(
                        case, found.shape, asked.profile, asked.kubernetes
                    )
        return left_s


def alike(one: Group, other: Group) -> bool:
    """Whether two groups run on the same cluster."""
    return (one.cluster, one.shape) == (other.cluster, other.shape)
