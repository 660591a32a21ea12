"""The chance that a promise has to be broken: a hold lasts until it was there, and no longer.

A node that is away is tainted when its turn comes, and its pods are deleted when their toleration has run out: how long
that takes depends on what happened to the cluster before (Timers.eviction_deadline_of).
"""

from collections.abc import Sequence

from chaos.clusters.shape import Timers
from chaos.judge.pods import nothing_terminated
from chaos.judge.taint_rates import tainted_s
from chaos.record.doubts import NoChance
from chaos.record.history import History, Window
from chaos.run.lab import Lab

MARGIN_S = 30.0  # for a busy machine: where all goes well a hold ends by what is seen, long before
TOLD_S = 1.0  # a deletion that is due is seen so much later


def hold_for_eviction(
    lab: Lab, history: History, workload: str, nodes: Sequence[str], *, within_s: float | None = None
) -> bool:
    """Let a fault that keeps `nodes` away last until what this can lead to was seen; False where it was not.

    In a control: until a pod of the workload is terminated. Hardened: until each of the nodes was tainted NoExecute for
    longer than is tolerated by default. `within_s`: at the most; by default as long as the cluster's timers can need.
    """
    timers = lab.current.shape.timers
    limit_s = hold_limit_s(timers, len(nodes)) if within_s is None else within_s
    if lab.control:
        return lab.hold_until_shown(nothing_terminated(workload), within_s=limit_s)
    return hold_for_taints(lab, history, nodes, within_s=limit_s)


def hold_for_taints(lab: Lab, history: History, nodes: Sequence[str], *, within_s: float | None = None) -> bool:
    """Let the fault last until each of `nodes` was tainted NoExecute for longer than is tolerated by default. Each that
    was not is a NoChance record: harm that reached only some of them has not tried what it was to try.
    """
    timers = lab.current.shape.timers
    limit_s = hold_limit_s(timers, len(nodes)) if within_s is None else within_s
    came = lab.hold_until(
        lambda: min(_tainted_so_far_s(history, nodes).values(), default=0.0) > timers.toleration_s + TOLD_S,
        within_s=limit_s,
        because=f"each of {len(nodes)} nodes was tainted for longer than pods tolerate by default",
    )
    if not came:
        for node, so_far_s in _tainted_so_far_s(history, nodes).items():
            if so_far_s <= timers.toleration_s:
                history.add(NoChance(history.now(), node, round(so_far_s, 3), timers.toleration_s))
    return came


def _tainted_so_far_s(history: History, nodes: Sequence[str]) -> dict[str, float]:
    return tainted_s(history, nodes, Window(float("-inf"), history.now()))


def hold_limit_s(timers: Timers, nodes: int) -> float:
    """So long a hold lasts at the most where so many nodes are away. Infinite at an eviction rate of 0."""
    return timers.eviction_deadline_of(nodes) + MARGIN_S
